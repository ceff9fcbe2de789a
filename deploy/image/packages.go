package main

import (
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// addPackages adds of the Debian packages that files come from what goes with
// a copy of them: the licences, and the package database's entries, by which
// scanners find what is in an image (a file a package, as images without dpkg
// have it).
func (r root) addPackages(files []string) error {
	packages := map[string]bool{}
	for _, f := range files {
		p, err := packageOf(f)
		if err != nil {
			return err
		}
		packages[p] = true
	}
	for _, p := range slices.Sorted(maps.Keys(packages)) {
		status, err := exec.Command("dpkg-query", "--status", p).Output()
		if err != nil {
			return fmt.Errorf("read status of package %s: %w", p, err)
		}
		name, _, _ := strings.Cut(p, ":")
		r["var/lib/dpkg/status.d/"+name] = file{0o644, status}
		if err := r.addLicences(name); err != nil {
			return err
		}
	}
	return nil
}

var commonLicence = regexp.MustCompile(`/usr/share/common-licenses/[A-Za-z][A-Za-z0-9.+-]*[A-Za-z0-9]`)

func (r root) addLicences(pkg string) error {
	copyright := "usr/share/doc/" + pkg + "/copyright"
	if err := r.add(copyright, "/"+copyright, 0o644); err != nil {
		return err
	}
	// A copyright file names the texts that it does not repeat.
	for _, text := range commonLicence.FindAll(r[copyright].data, -1) {
		name := string(text)
		if err := r.add(strings.TrimPrefix(name, "/"), name, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// packageOf names the installed package that a file is from. Since /lib and
// /usr/lib became one, packages and programs may call the same file either.
func packageOf(name string) (string, error) {
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
