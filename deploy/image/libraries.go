package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"path"
	"slices"
)

// machine is what a binary is built for.
type machine struct {
	// arch in OCI's terms, which are Go's.
	arch string
	// debian is what Debian calls it, in packages and in names of directories.
	debian, triplet string
}

var machines = map[elf.Machine]machine{
	elf.EM_X86_64:  {"amd64", "amd64", "x86_64-linux-gnu"},
	elf.EM_AARCH64: {"arm64", "arm64", "aarch64-linux-gnu"},
}

// inspect reads what a binary is built for and its loader, which is empty if it
// is statically linked.
func inspect(name string, f *elf.File) (m machine, loader string, err error) {
	m, ok := machines[f.Machine]
	if !ok {
		return m, "", fmt.Errorf("read binary %s: unknown machine %s", name, f.Machine)
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		text := make([]byte, p.Filesz)
		if _, err := p.ReadAt(text, 0); err != nil {
			return m, "", fmt.Errorf("read loader of %s: %w", name, err)
		}
		loader = string(bytes.TrimRight(text, "\x00"))
	}
	return m, loader, nil
}

// openBinary reads a binary's headers.
func openBinary(name string, data []byte) (*elf.File, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read binary %s: %w", name, err)
	}
	return f, nil
}

// staticMachine is what a binary that needs nothing but a kernel is built for.
func staticMachine(name string, data []byte) (machine, error) {
	f, err := openBinary(name, data)
	if err != nil {
		return machine{}, err
	}
	m, loader, err := inspect(name, f)
	if err == nil && loader != "" {
		err = fmt.Errorf("%s is dynamically linked: build it with CGO_ENABLED=0", name)
	}
	return m, err
}

// needed are the loader of a binary and all libraries that it loads, directly or
// not, by the paths at which its loader finds them. They are read from the files
// themselves, and nothing is run, so that it works for machines of another kind.
// Where a loader looks in Debian is a short list; a binary that brings a list of
// its own is refused.
func needed(from packages, binary string) (paths []string, arch string, err error) {
	names := []string{binary}
	for i := 0; i < len(names); i++ {
		data, err := from.read(names[i])
		if err != nil {
			return nil, "", err
		}
		f, err := openBinary(names[i], data)
		if err != nil {
			return nil, "", err
		}
		m, loader, err := inspect(names[i], f)
		if err != nil {
			return nil, "", err
		}
		if arch == "" {
			arch = m.arch
		}
		if m.arch != arch {
			return nil, "", fmt.Errorf("%s is for %s, %s for %s", names[i], m.arch, binary, arch)
		}
		libs, err := imported(from, f, m)
		if err != nil {
			return nil, "", fmt.Errorf("list libraries of %s: %w", names[i], err)
		}
		if loader != "" {
			libs = append([]string{loader}, libs...) // the C library names it, too, elsewhere
		}
		for _, lib := range libs {
			if !slices.ContainsFunc(names, func(n string) bool { return path.Base(n) == path.Base(lib) }) {
				names = append(names, lib)
			}
		}
	}
	return slices.Sorted(slices.Values(names[1:])), arch, nil
}

// imported are the libraries that a file itself names, where they are. The
// loader, which libraries name as well, is where binaries say that it is.
func imported(from packages, f *elf.File, m machine) ([]string, error) {
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		if list, err := f.DynString(tag); err == nil && len(list) > 0 {
			return nil, fmt.Errorf("it looks for them in %v besides", list)
		}
	}
	names, err := f.ImportedLibraries()
	if err != nil {
		return nil, err
	}
	var paths []string
	var missing []error
	for _, name := range names {
		found := ""
		for _, dir := range []string{"/lib/" + m.triplet, "/usr/lib/" + m.triplet, "/lib", "/usr/lib", "/lib64"} {
			if from.has(path.Join(dir, name)) {
				found = path.Join(dir, name)
				break
			}
		}
		if found == "" {
			missing = append(missing, fmt.Errorf("%s: not found", name))
			continue
		}
		paths = append(paths, found)
	}
	return paths, errors.Join(missing...)
}
