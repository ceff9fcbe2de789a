package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// image is a container image that every node has from the start; nothing is
// ever pulled.
type image struct {
	reference string
	program   string // the file that it is made of, and its entry point
	args      []string
	module    string // where extra's modules are pinned
	extra     map[string]moduleFile
}

// moduleFile is a file in a module that comes from the module cache.
type moduleFile struct{ module, path string }

const pauseImage = "localhost/sluice-cluster/pause:latest"

// testImages is where the upstream tests look for their images on our cluster:
// nowhere but on the nodes themselves. The names below it are those of
// test/utils/image/manifest.go in the Kubernetes version of kubernetes/go.mod.
const testImages = "localhost/e2e-test-images"

var images = []image{
	{reference: pauseImage, program: "pause"},
	{
		reference: testImages + "/agnhost:2.63.0",
		program:   "agnhost",
		args:      []string{"pause"},
		module:    "kubernetes",
		extra: map[string]moduleFile{
			"/localhost.crt": {"k8s.io/kubernetes", "test/images/agnhost/porter/localhost.crt"},
			"/localhost.key": {"k8s.io/kubernetes", "test/images/agnhost/porter/localhost.key"},
		},
	},
}

func (i *image) file() string { return i.program + ".tar" }

// writeImage writes an OCI image of one layer as an archive that containerd
// imports. The same contents give the same bytes.
func writeImage(path, reference, entry string, args []string, contents map[string]string) error {
	next, err := os.Create(path + ".next")
	if err != nil {
		return err
	}
	defer next.Close()
	layer, err := layerOf(contents)
	if err != nil {
		return err
	}
	config, err := json.Marshal(object{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config": object{
			"Entrypoint": []string{"/" + entry},
			"Cmd":        args,
			"Env":        []string{"PATH=/"},
			"WorkingDir": "/",
		},
		"rootfs": object{"type": "layers", "diff_ids": []string{digest(layer)}},
	})
	if err != nil {
		return err
	}
	const oci = "application/vnd.oci.image."
	manifest, err := json.Marshal(object{
		"schemaVersion": 2,
		"mediaType":     oci + "manifest.v1+json",
		"config":        descriptor(oci+"config.v1+json", config),
		"layers":        []object{descriptor(oci+"layer.v1.tar", layer)},
	})
	if err != nil {
		return err
	}
	named := descriptor(oci+"manifest.v1+json", manifest)
	named["annotations"] = object{"io.containerd.image.name": reference}
	named["platform"] = object{"architecture": runtime.GOARCH, "os": "linux"}
	index, err := json.Marshal(object{
		"schemaVersion": 2,
		"mediaType":     oci + "index.v1+json",
		"manifests":     []object{named},
	})
	if err != nil {
		return err
	}

	archive := tar.NewWriter(next)
	for _, entry := range []struct {
		name string
		data []byte
	}{
		{"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		{"index.json", index},
		{blob(manifest), manifest},
		{blob(config), config},
		{blob(layer), layer},
	} {
		if err := addFile(archive, entry.name, 0o644, entry.data); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	if err := next.Close(); err != nil {
		return err
	}
	return os.Rename(next.Name(), path)
}

// layerOf is a filesystem with the given files and what programs expect of any:
// a /tmp and a /etc.
func layerOf(contents map[string]string) ([]byte, error) {
	var layer bytes.Buffer
	archive := tar.NewWriter(&layer)
	for _, dir := range []tar.Header{{Name: "etc/", Mode: 0o755}, {Name: "tmp/", Mode: 0o1777}} {
		dir.Typeflag = tar.TypeDir
		if err := archive.WriteHeader(&dir); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(contents)) {
		data, err := os.ReadFile(contents[name])
		if err != nil {
			return nil, err
		}
		if err := addFile(archive, strings.TrimPrefix(filepath.Clean(name), "/"), 0o755, data); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return layer.Bytes(), nil
}

func addFile(archive *tar.Writer, name string, mode int64, data []byte) error {
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err := io.Copy(archive, bytes.NewReader(data))
	return err
}

func descriptor(mediaType string, data []byte) object {
	return object{"mediaType": mediaType, "digest": digest(data), "size": len(data)}
}

func digest(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

func blob(data []byte) string { return fmt.Sprintf("blobs/sha256/%x", sha256.Sum256(data)) }
