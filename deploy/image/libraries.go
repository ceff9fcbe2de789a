package main

import (
	"bufio"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// architectures in OCI's terms, which are Go's.
var architectures = map[elf.Machine]string{
	elf.EM_X86_64:  "amd64",
	elf.EM_AARCH64: "arm64",
	elf.EM_ARM:     "arm",
	elf.EM_RISCV:   "riscv64",
	elf.EM_PPC64:   "ppc64le",
	elf.EM_S390:    "s390x",
}

// inspect reads a binary's architecture and its loader, which is empty if it
// is statically linked.
func inspect(binary string) (arch, loader string, err error) {
	f, err := elf.Open(binary)
	if err != nil {
		return "", "", fmt.Errorf("read binary: %w", err)
	}
	defer func() { _ = f.Close() }()
	arch, ok := architectures[f.Machine]
	if !ok {
		return "", "", fmt.Errorf("read binary %s: unknown machine %s", binary, f.Machine)
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		name := make([]byte, p.Filesz)
		if _, err := p.ReadAt(name, 0); err != nil {
			return "", "", fmt.Errorf("read loader of %s: %w", binary, err)
		}
		loader = string(bytes.TrimRight(name, "\x00"))
	}
	return arch, loader, nil
}

// staticArch is the architecture of a binary that needs nothing but a kernel.
func staticArch(binary string) (string, error) {
	arch, loader, err := inspect(binary)
	if err == nil && loader != "" {
		err = fmt.Errorf("%s is dynamically linked: build it with CGO_ENABLED=0", binary)
	}
	return arch, err
}

// needed are the loader of a binary and all libraries that it loads, as its
// loader finds them, and its architecture.
func needed(binary string) (paths []string, arch string, err error) {
	arch, loader, err := inspect(binary)
	if err != nil || loader == "" {
		return nil, arch, err
	}
	// What ldd does. Not readelf's list: that names no places, and where to
	// look is the loader's own business.
	cmd := exec.Command(loader, "--list", binary)
	cmd.Env = []string{} // an LD_PRELOAD must not get into the image
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
		}
		return nil, "", fmt.Errorf("list libraries of %s: %w", binary, err)
	}
	paths, err = parseList(out, loader)
	if err != nil {
		return nil, "", fmt.Errorf("list libraries of %s: %w", binary, err)
	}
	return paths, arch, nil
}

// parseList reads lines such as
//
//	linux-vdso.so.1 (0x00007ffd5a9f2000)
//	libmnl.so.0 => /lib/x86_64-linux-gnu/libmnl.so.0 (0x00007f0d6e9c1000)
//	/lib64/ld-linux-x86-64.so.2 (0x00007f0d6eb2a000)
func parseList(list []byte, loader string) ([]string, error) {
	paths := []string{loader}
	for lines := bufio.NewScanner(bytes.NewReader(list)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		name, place, found := strings.Cut(line, " => ")
		if !found {
			continue // the kernel's vdso, or the loader itself
		}
		place, _, _ = strings.Cut(place, " (")
		if !strings.HasPrefix(place, "/") {
			return nil, fmt.Errorf("%s: %s", name, place)
		}
		if !slices.Contains(paths, place) {
			paths = append(paths, place)
		}
	}
	slices.Sort(paths)
	return paths, nil
}
