package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// files are what a machine's root has, by path without the first slash.
type files map[string]file

// file is a regular file, or a link if it has a target.
type file struct {
	mode   fs.FileMode
	data   []byte
	target string
}

// copy takes a file of this machine, links followed.
func (f files) copy(name, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("take %s: %w", from, err)
	}
	info, err := os.Stat(from)
	if err != nil {
		return fmt.Errorf("take %s: %w", from, err)
	}
	f[name] = file{mode: info.Mode().Perm(), data: data}
	return nil
}

func (f files) link(name, target string) { f[name] = file{mode: 0o777, target: target} }

// tree takes all regular files below a directory, but for files and directories that are
// left out.
func (f files) tree(name, from string, leaveOut func(file string) bool) error {
	err := filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != from && leaveOut(p):
			return fs.SkipDir
		case d.IsDir() || leaveOut(p):
			return nil
		}
		if info, err := os.Stat(p); err != nil || !info.Mode().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		return f.copy(path.Join(name, filepath.ToSlash(rel)), p)
	})
	if err != nil {
		return fmt.Errorf("take what is in %s: %w", from, err)
	}
	return nil
}

// commands are what the tests run, and the machine itself: a test that runs another fails
// there. All are in bin, which the other directories for programs lead to.
var commands = []string{
	"bash", "bridge", "cat", "depmod", "env", "ip", "ip6tables", "ip6tables-legacy", "ip6tables-restore", "iptables", "iptables-legacy",
	"iptables-nft", "iptables-restore", "iptables-save", "ipvsadm", "kmod", "ls", "modprobe", "nft", "nsenter", "sh", "sleep", "sysctl", "tc", "timeout",
	"true", "unshare",
}

// libraryDirs are where shared libraries are looked for, as the linker of Debian does.
var libraryDirs = []string{"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"}

// addLibraries takes what a program needs.
func (f files) addLibraries(program string) error {
	libraries := map[string]bool{}
	if err := needs(program, libraries); err != nil {
		return err
	}
	for _, lib := range slices.Sorted(maps.Keys(libraries)) {
		if err := f.copy(lib[1:], lib); err != nil {
			return err
		}
	}
	return nil
}

// addCommands takes the commands, and the libraries that they need.
func (f files) addCommands() error {
	for _, name := range commands {
		found, err := exec.LookPath(name)
		if err != nil {
			return fmt.Errorf("the tests run %s, which is not here: %w", name, err)
		}
		if err := f.copy("bin/"+name, found); err != nil {
			return err
		}
		if err := f.addLibraries(found); err != nil {
			return err
		}
	}
	for _, dir := range []string{"sbin", "usr/bin", "usr/sbin"} {
		f.link(dir, "/bin")
	}
	// Plug-ins of iptables, which it opens by itself.
	const plugins = "/usr/lib/x86_64-linux-gnu/xtables"
	return f.tree(plugins[1:], plugins, func(string) bool { return false })
}

// needs collects the libraries, and the loader, of a program or a library.
func needs(name string, libraries map[string]bool) error {
	e, err := elf.Open(name)
	if err != nil {
		var format *elf.FormatError
		if errors.As(err, &format) {
			return nil // a script
		}
		return fmt.Errorf("read %s: %w", name, err)
	}
	defer func() { _ = e.Close() }()
	imported, err := e.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	for _, p := range e.Progs {
		if p.Type == elf.PT_INTERP {
			loader, err := io.ReadAll(p.Open())
			if err != nil {
				return fmt.Errorf("read %s: %w", name, err)
			}
			libraries[strings.TrimRight(string(loader), "\x00")] = true
		}
	}
	for _, lib := range imported {
		at, err := findLibrary(lib)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if libraries[at] {
			continue
		}
		libraries[at] = true
		if err := needs(at, libraries); err != nil {
			return err
		}
	}
	return nil
}

func findLibrary(name string) (string, error) {
	for _, dir := range libraryDirs {
		at := filepath.Join(dir, name)
		if _, err := os.Stat(at); err == nil {
			return at, nil
		}
	}
	return "", fmt.Errorf("library %s is nowhere", name)
}

// settings are files that the commands read names from, as far as they are here.
var settings = []string{"/etc/protocols", "/etc/services", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/ld.so.cache", "/etc/iproute2"}

func (f files) addSettings() error {
	for _, s := range settings {
		info, err := os.Stat(s)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err == nil && info.IsDir():
			err = f.tree(s[1:], s, func(string) bool { return false })
		case err == nil:
			err = f.copy(s[1:], s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
