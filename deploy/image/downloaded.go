package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// downloaded are packages in files, for a machine of another kind than this one.
// They are read, never installed: nothing of them runs here.
type downloaded struct {
	files   map[string]packaged
	control map[string][]byte
}

// packaged is a file of a package, or a link to one.
type packaged struct {
	pkg, link string
	data      []byte
}

// openPackages reads all packages in a directory, which have to be of one
// architecture, in Debian's terms, or of all.
func openPackages(dir, arch string) (downloaded, error) {
	d := downloaded{map[string]packaged{}, map[string][]byte{}}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return d, fmt.Errorf("read packages: %w", err)
	}
	if len(debs) == 0 {
		return d, fmt.Errorf("read packages: %s holds no .deb file", dir)
	}
	for _, deb := range debs {
		if err := d.open(deb, arch); err != nil {
			return d, fmt.Errorf("read package %s: %w", deb, err)
		}
	}
	return d, nil
}

func (d downloaded) open(deb, arch string) error {
	control, err := dpkgDeb("--field", deb)
	if err != nil {
		return err
	}
	pkg, is := field(control, "Package"), field(control, "Architecture")
	switch {
	case pkg == "":
		return errors.New("it has no name")
	case is != arch && is != "all":
		return fmt.Errorf("it is for %s, not %s", is, arch)
	case d.control[pkg] != nil:
		return fmt.Errorf("a second version of %s", pkg)
	}
	// As if it were installed: that is what scanners look for.
	first, rest, _ := bytes.Cut(control, []byte("\n"))
	d.control[pkg] = bytes.Join([][]byte{first, []byte("Status: install ok installed"), rest}, []byte("\n"))
	contents, err := dpkgDeb("--fsys-tarfile", deb)
	if err != nil {
		return err
	}
	for r := tar.NewReader(bytes.NewReader(contents)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		f := packaged{pkg: pkg}
		switch h.Typeflag {
		case tar.TypeReg:
			f.data, err = io.ReadAll(r)
		case tar.TypeSymlink:
			f.link = h.Linkname
		case tar.TypeLink:
			f.link = path.Join("/", h.Linkname) //nolint:gosec // a key of a map, never a file here
		default:
			continue
		}
		if err != nil {
			return err
		}
		d.files[path.Join("/", h.Name)] = f //nolint:gosec // a key of a map, never a file here
	}
}

func dpkgDeb(args ...string) ([]byte, error) {
	out, err := exec.Command("dpkg-deb", args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
	}
	return out, err
}

// field is one of a package's control fields, if it is there and of one line.
func field(control []byte, name string) string {
	for line := range strings.Lines(string(control)) {
		if value, ok := strings.CutPrefix(line, name+": "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// find follows links to a file. Since /lib is a link to /usr/lib, which no
// package holds, a file may be in either.
func (d downloaded) find(name string) (packaged, bool) {
	for range 16 {
		f, ok := d.files[name]
		if !ok {
			other, in := strings.CutPrefix(name, "/usr")
			if !in {
				other = "/usr" + name
			}
			if f, ok = d.files[other]; ok {
				name = other
			}
		}
		switch {
		case !ok || f.link == "":
			return f, ok
		case path.IsAbs(f.link):
			name = path.Clean(f.link)
		default:
			name = path.Join(path.Dir(name), f.link)
		}
	}
	return packaged{}, false
}

func (d downloaded) has(name string) bool {
	_, ok := d.find(name)
	return ok
}

func (d downloaded) read(name string) ([]byte, error) {
	f, ok := d.find(name)
	if !ok {
		return nil, fmt.Errorf("add to the image: %s is in none of the %d downloaded packages", name, len(d.control))
	}
	return f.data, nil
}

func (d downloaded) owner(name string) (string, error) {
	f, ok := d.find(name)
	if !ok {
		return "", fmt.Errorf("%s is from no downloaded Debian package", name)
	}
	return f.pkg, nil
}

func (d downloaded) status(pkg string) ([]byte, error) {
	control, ok := d.control[pkg]
	if !ok {
		return nil, fmt.Errorf("read status of package %s: it was not downloaded", pkg)
	}
	return control, nil
}
