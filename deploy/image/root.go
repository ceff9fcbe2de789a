package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// Where things are inside.
const (
	sluicePath = "usr/bin/sluice"
	nftPath    = "usr/sbin/nft"
)

// mountPoints are what a container runtime mounts on, so that it need not
// create them where the root is read-only.
var mountPoints = []string{"dev", "etc", "proc", "run", "sys", "var"}

// file is a regular file of the image.
type file struct {
	mode int64
	data []byte
}

// root is a root file system: regular files by path, without a leading slash.
// Directories follow from them. There are no links, so that it can be read as
// a list of what is in it.
type root map[string]file

// buildRoot collects the image's files and says for which architecture they
// are, in the terms of OCI. The packages are the machine's own, or those that were
// downloaded for the binary's architecture.
func buildRoot(sluice, nft string, dirs map[string]string) (root, string, error) {
	data, err := installed{}.read(sluice)
	if err != nil {
		return nil, "", err
	}
	m, err := staticMachine(sluice, data)
	if err != nil {
		return nil, "", err
	}
	var from packages = installed{}
	if dir, ok := dirs[m.arch]; ok {
		if from, err = openPackages(dir, m.debian); err != nil {
			return nil, "", err
		}
	}
	libs, nftArch, err := needed(from, nft)
	if err != nil {
		return nil, "", err
	}
	if m.arch != nftArch {
		return nil, "", fmt.Errorf("%s is for %s, %s for %s: download packages for %s", sluice, m.arch, nft, nftArch, m.arch)
	}
	r := root{sluicePath: file{0o755, data}}
	if err := r.add(from, nftPath, nft, 0o755); err != nil {
		return nil, "", err
	}
	for _, lib := range libs {
		// By the name that it is asked for; what is a link outside becomes the
		// file.
		if err := r.add(from, strings.TrimPrefix(lib, "/"), lib, 0o755); err != nil {
			return nil, "", err
		}
	}
	if err := r.addPackages(from, append(libs, nft)); err != nil {
		return nil, "", err
	}
	return r, m.arch, nil
}

func (r root) add(from packages, name, as string, mode int64) error {
	data, err := from.read(as)
	if err != nil {
		return err
	}
	r[name] = file{mode, data}
	return nil
}

// dirs are the directories, sorted: each comes after the one it is in.
func (r root) dirs() []string {
	seen := map[string]bool{}
	for _, d := range mountPoints {
		seen[d] = true
	}
	for name := range r {
		for d := path.Dir(name); d != "."; d = path.Dir(d) {
			seen[d] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// tar is the file system as an archive: sorted, owned by root, of one time.
func (r root) tar() ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, d := range r.dirs() {
		if err := w.WriteHeader(header(d+"/", tar.TypeDir, 0o755, 0)); err != nil {
			return nil, fmt.Errorf("write directory %s: %w", d, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r)) {
		f := r[name]
		if err := writeEntry(w, header(name, tar.TypeReg, f.mode, len(f.data)), f.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("write layer: %w", err)
	}
	return buf.Bytes(), nil
}

func header(name string, kind byte, mode int64, size int) *tar.Header {
	return &tar.Header{Name: name, Typeflag: kind, Mode: mode, Size: int64(size), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
}

func writeEntry(w *tar.Writer, h *tar.Header, data []byte) error {
	if err := w.WriteHeader(h); err != nil {
		return fmt.Errorf("write %s: %w", h.Name, err)
	}
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("write %s: %w", h.Name, err)
	}
	return nil
}
