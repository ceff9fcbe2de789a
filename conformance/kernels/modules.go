package main

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// moduleDirs are where the modules are that tests can come to need, as far as they are
// about packets: the kernel loads them by itself, with modprobe, as on any machine.
var moduleDirs = []string{"kernel/net/"}

// moduleNames are those that stand elsewhere.
var moduleNames = []string{
	"dummy", "veth", "vxlan", "geneve", "bareudp", "ifb", "macvlan", "ipvlan", "wireguard", "tun", "bonding", "vrf",
	"libcrc32c", "crc32c_generic", "crc32c-intel", "sha1_generic", "sha256_generic", "hmac", "md5",
}

// loadedModules are loaded before the tests begin: nothing asks for these by itself.
var loadedModules = []string{"br_netfilter", "nf_conntrack", "nf_tables", "veth", "nfnetlink_log", "nf_log_syslog"}

// modules are the files of the modules, with whatever they depend on and the lists that
// modprobe reads.
func (k kernel) modules() (files, error) {
	dir := k.moduleDir()
	data, err := os.ReadFile(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return nil, fmt.Errorf("read what modules depend on: %w", err)
	}
	needed, err := closure(data, wanted)
	if err != nil {
		return nil, err
	}
	lists, err := filepath.Glob(filepath.Join(dir, "modules.*"))
	if err != nil {
		return nil, err
	}
	for _, l := range lists {
		needed = append(needed, filepath.Base(l))
	}
	out := files{}
	for _, name := range needed {
		if err := out.copy(path.Join("lib/modules", k.Release, name), filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// wanted reports whether a module is one that tests can come to need.
func wanted(file string) bool {
	if slices.ContainsFunc(moduleDirs, func(d string) bool { return strings.HasPrefix(file, d) }) {
		return true
	}
	name, _, _ := strings.Cut(path.Base(file), ".ko")
	return slices.Contains(moduleNames, name)
}

// closure reads modules.dep, and returns the modules that are wanted and all that these
// depend on, sorted. Each line of it has all dependencies of one, not the next ones only.
func closure(dep []byte, wanted func(file string) bool) ([]string, error) {
	needed := map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(dep))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		file, on, ok := strings.Cut(lines.Text(), ":")
		if !ok {
			return nil, fmt.Errorf("modules.dep: %q says nothing of a module", lines.Text())
		}
		if !wanted(file) {
			continue
		}
		needed[file] = true
		for _, d := range strings.Fields(on) {
			needed[d] = true
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("modules.dep: %w", err)
	}
	if len(needed) == 0 {
		return nil, fmt.Errorf("modules.dep has none of the modules")
	}
	return slices.Sorted(maps.Keys(needed)), nil
}
