package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// packages are Debian packages that an image is made of.
type packages interface {
	// has and read take absolute paths, and follow links.
	has(name string) bool
	read(name string) ([]byte, error)
	// owner names the package that a file is from.
	owner(name string) (string, error)
	// status is a package's entry in the package database.
	status(pkg string) ([]byte, error)
}

// addPackages adds of the Debian packages that files come from what goes with
// a copy of them: the licences, and the package database's entries, by which
// scanners find what is in an image (a file a package, as images without dpkg
// have it).
func (r root) addPackages(from packages, files []string) error {
	names := map[string]bool{}
	for _, f := range files {
		p, err := from.owner(f)
		if err != nil {
			return err
		}
		names[p] = true
	}
	for _, p := range slices.Sorted(maps.Keys(names)) {
		status, err := from.status(p)
		if err != nil {
			return err
		}
		name, _, _ := strings.Cut(p, ":")
		r["var/lib/dpkg/status.d/"+name] = file{0o644, status}
		if err := r.addLicences(from, name); err != nil {
			return err
		}
	}
	return nil
}

var commonLicence = regexp.MustCompile(`/usr/share/common-licenses/[A-Za-z][A-Za-z0-9.+-]*[A-Za-z0-9]`)

func (r root) addLicences(from packages, pkg string) error {
	copyright := "usr/share/doc/" + pkg + "/copyright"
	if err := r.add(from, copyright, "/"+copyright, 0o644); err != nil {
		return err
	}
	// A copyright file names the texts that it does not repeat. They are
	// every Debian's own, whatever the machine, so this one's will do.
	for _, text := range commonLicence.FindAll(r[copyright].data, -1) {
		name := string(text)
		if err := r.add(installed{}, strings.TrimPrefix(name, "/"), name, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// installed are the packages of the machine that this runs on.
type installed struct{}

func (installed) has(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

func (installed) read(name string) ([]byte, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("add to the image: %w", err)
	}
	return data, nil
}

// owner tries all names of a file: since /lib and /usr/lib became one, packages
// and programs may call the same file either.
func (installed) owner(name string) (string, error) {
	tried := []string{name}
	if real, err := filepath.EvalSymlinks(name); err == nil {
		tried = append(tried, real, strings.TrimPrefix(real, "/usr"))
	}
	for _, n := range append(tried, strings.TrimPrefix(name, "/usr")) {
		out, err := exec.Command("dpkg-query", "--search", n).Output()
		if err != nil {
			continue
		}
		if pkg, _, found := strings.Cut(string(out), ": "); found {
			return pkg, nil
		}
	}
	return "", fmt.Errorf("%s is from no installed Debian package: the image is made of packages, so that it can be said what is in it", name)
}

func (installed) status(pkg string) ([]byte, error) {
	out, err := exec.Command("dpkg-query", "--status", pkg).Output()
	if err != nil {
		return nil, fmt.Errorf("read status of package %s: %w", pkg, err)
	}
	return out, nil
}
