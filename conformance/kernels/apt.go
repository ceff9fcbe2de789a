package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// kernel is an unpacked package of a kernel.
type kernel struct {
	// Package is as it was asked for, Deb the package that has the kernel, and Version
	// its version.
	Package, Deb, Version string
	// Release is what uname says.
	Release string
	dir     string
}

// named is the kernel without where it was unpacked.
func (k kernel) named() kernel {
	k.dir = ""
	return k
}

func (k kernel) String() string {
	if k.Release == "" {
		return k.Package
	}
	return k.Release
}

// fetchKernel downloads and unpacks a kernel. Nothing is installed. The package that is
// named may be one that depends on that of the newest version.
func fetchKernel(ctx context.Context, dir, name string) (kernel, error) {
	k := kernel{Package: name}
	a := apt{dir: filepath.Join(dir, "apt")}
	pkg, suite, _ := strings.Cut(name, "/")
	if err := a.prepare(ctx, suite); err != nil {
		return k, err
	}
	fields, err := a.show(ctx, pkg)
	if err != nil {
		return k, err
	}
	if real := realPackage(fields["Depends"]); real != "" {
		pkg = real
		if fields, err = a.show(ctx, pkg); err != nil {
			return k, err
		}
	}
	k.Deb, k.Version = pkg, fields["Version"]
	k.Release = strings.TrimSuffix(strings.TrimPrefix(pkg, "linux-image-"), "-unsigned")
	k.dir = filepath.Join(dir, k.Deb+"_"+strings.ReplaceAll(k.Version, ":", "%"))
	if _, err := os.Stat(k.image()); err == nil {
		return k, nil
	}
	if err := os.MkdirAll(k.dir, 0o755); err != nil {
		return k, err
	}
	if _, err := a.run(ctx, k.dir, "apt-get", "download", pkg+"="+k.Version); err != nil {
		return k, err
	}
	debs, err := filepath.Glob(filepath.Join(k.dir, "*.deb"))
	if err != nil {
		return k, err
	}
	if len(debs) != 1 {
		return k, fmt.Errorf("download %s: %d packages came", pkg, len(debs))
	}
	if _, err := a.run(ctx, k.dir, "dpkg-deb", "-x", debs[0], k.dir); err != nil {
		return k, err
	}
	// The list of what modules need is made where a package is installed.
	if _, err := a.run(ctx, k.dir, "depmod", "-b", k.root(), k.Release); err != nil {
		return k, err
	}
	if _, err := os.Stat(k.image()); err != nil {
		return k, fmt.Errorf("unpack %s: %w", pkg, err)
	}
	return k, nil
}

func (k kernel) image() string { return filepath.Join(k.dir, "boot", "vmlinuz-"+k.Release) }

// root is below which lib/modules is.
func (k kernel) root() string {
	if _, err := os.Stat(filepath.Join(k.dir, "usr", "lib", "modules")); err == nil {
		return filepath.Join(k.dir, "usr")
	}
	return k.dir
}

func (k kernel) moduleDir() string { return filepath.Join(k.root(), "lib", "modules", k.Release) }

// realPackage is the image that a package without one depends on.
func realPackage(depends string) string {
	for _, d := range strings.Split(depends, ",") {
		if name, _, _ := strings.Cut(strings.TrimSpace(d), " "); strings.HasPrefix(name, "linux-image-") {
			return name
		}
	}
	return ""
}

// apt runs apt's programs, with a list of sources and a state of its own where the suite is
// one that the machine's does not have.
type apt struct {
	dir     string
	options []string
}

func (a *apt) prepare(ctx context.Context, suite string) error {
	if suite == "" {
		return nil
	}
	site, key, err := mirror(ctx)
	if err != nil {
		return err
	}
	base := filepath.Join(a.dir, suite)
	for _, d := range []string{"lists/partial", "cache/archives/partial", "parts"} {
		if err := os.MkdirAll(filepath.Join(base, d), 0o755); err != nil {
			return err
		}
	}
	source := "deb " + site + " " + suite + " main\n"
	if key != "" {
		source = "deb [signed-by=" + key + "] " + site + " " + suite + " main\n"
	}
	list := filepath.Join(base, "sources.list")
	if err := os.WriteFile(list, []byte(source), 0o644); err != nil {
		return err
	}
	for _, o := range []string{
		"Dir::Etc::SourceList=" + list, "Dir::Etc::SourceParts=" + filepath.Join(base, "parts"),
		"Dir::State::Lists=" + filepath.Join(base, "lists"), "Dir::Cache=" + filepath.Join(base, "cache"),
		"APT::Sandbox::User=root",
	} {
		a.options = append(a.options, "-o", o)
	}
	_, err = a.run(ctx, base, "apt-get", "update", "-o", "APT::Update::Error-Mode=any")
	return err
}

// mirror is where the machine has Debian from, and the key to it.
func mirror(ctx context.Context) (site, key string, err error) {
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(REPO_URI)|$(ORIGIN)|$(COMPONENT)|$(SIGNED_BY)", "Created-By: Packages").Output()
	if err != nil {
		return "", "", fmt.Errorf("ask apt where it has Debian from: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) == 4 && f[1] == "Debian" && f[2] == "main" && !strings.HasSuffix(strings.TrimSuffix(f[0], "/"), "-security") {
			// An apt that does not know the field leaves it as it is; the keys that it
			// trusts are Debian's anyway.
			if strings.HasPrefix(f[3], "$") {
				f[3] = ""
			}
			return f[0], f[3], nil
		}
	}
	return "", "", errors.New("apt has Debian from nowhere: run apt-get update")
}

func (a *apt) run(ctx context.Context, dir, program string, args ...string) (string, error) {
	if strings.HasPrefix(program, "apt") {
		args = append(a.options[:len(a.options):len(a.options)], args...)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

// show are the fields of a package's newest version.
func (a *apt) show(ctx context.Context, pkg string) (map[string]string, error) {
	text, err := a.run(ctx, ".", "apt-cache", "show", "--no-all-versions", pkg)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(line, ": "); ok && out[name] == "" && !strings.HasPrefix(line, " ") {
			out[name] = strings.TrimSpace(value)
		}
	}
	if out["Version"] == "" {
		return nil, fmt.Errorf("apt knows no package %s", pkg)
	}
	return out, nil
}
