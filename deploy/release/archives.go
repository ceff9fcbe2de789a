package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"
)

// file is one of an archive.
type file struct {
	mode int64
	data []byte
}

// pack makes a compressed archive: sorted, of nobody's and of no time.
func pack(files map[string]file) ([]byte, error) {
	var out bytes.Buffer
	compressed := gzip.NewWriter(&out)
	w := tar.NewWriter(compressed)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f := files[name]
		h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: f.mode, Size: int64(len(f.data)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("pack %s: %w", name, err)
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, fmt.Errorf("pack %s: %w", name, err)
		}
	}
	if err := errors.Join(w.Close(), compressed.Close()); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	return out.Bytes(), nil
}

// plugin is an archive of the plugin, as the krew manifest names it.
type plugin struct{ OS, Arch, Bin, Complete, URI, SHA256 string }

// plugins writes an archive for each platform, and the krew manifest over them.
func (o options) plugins() error {
	licence, err := o.read("LICENSE")
	if err != nil {
		return err
	}
	var list []plugin
	for _, platform := range slices.Sorted(maps.Keys(o.binaries)) {
		binary, err := os.ReadFile(o.binaries[platform])
		if err != nil {
			return fmt.Errorf("read the binary for %s: %w", platform, err)
		}
		system, arch, _ := strings.Cut(platform, "/")
		bin, complete := "sluice", "kubectl_complete-sluice"
		if system == "windows" {
			bin, complete = bin+".exe", complete+".cmd"
		}
		completion, err := o.read("deploy/krew/" + complete)
		if err != nil {
			return err
		}
		archive, err := pack(map[string]file{bin: {0o755, binary}, complete: {0o755, completion}, "LICENSE": {0o644, licence}})
		if err != nil {
			return err
		}
		name := fmt.Sprintf("sluice-%s-%s-%s.tar.gz", o.version, system, arch)
		if err := o.write(name, archive); err != nil {
			return err
		}
		list = append(list, plugin{system, arch, bin, complete, strings.TrimSuffix(o.downloads, "/") + "/" + name, digest(archive)})
	}
	text, err := o.read("deploy/krew/sluice.yaml.tmpl")
	if err != nil {
		return err
	}
	t, err := template.New("krew").Option("missingkey=error").Parse(string(text))
	if err != nil {
		return fmt.Errorf("read the krew manifest: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, map[string]any{"Version": o.version, "Platforms": list}); err != nil {
		return fmt.Errorf("fill in the krew manifest: %w", err)
	}
	return o.write("sluice-krew.yaml", out.Bytes())
}

// chart writes the chart as "helm package" would, of this version and with the
// image's name.
func (o options) chart() error {
	dir := filepath.Join(o.source, "deploy", "helm", "sluice")
	files := map[string]file{}
	tree := os.DirFS(dir)
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(tree, name)
		files["sluice/"+name] = file{0o644, data}
		return err
	})
	if err != nil {
		return fmt.Errorf("read the chart: %w", err)
	}
	number := strings.TrimPrefix(o.version, "v")
	for _, c := range []struct{ file, old, by string }{
		{"sluice/Chart.yaml", "\nversion: 0.0.0-dev\n", "\nversion: " + number + "\n"},
		{"sluice/Chart.yaml", "\nappVersion: dev\n", "\nappVersion: " + o.version + "\n"},
		{"sluice/values.yaml", "repository: sluice.invalid/sluice\n", "repository: " + o.image + "\n"},
	} {
		text, err := replace(string(files[c.file].data), 1, c.old, c.by)
		if err != nil {
			return fmt.Errorf("change the chart's %s: %w", c.file, err)
		}
		files[c.file] = file{0o644, []byte(text)}
	}
	packed, err := pack(files)
	if err != nil {
		return err
	}
	return o.write("sluice-"+number+".tgz", packed)
}
