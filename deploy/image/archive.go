package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
)

// Media types of the OCI image format.
const (
	indexType    = "application/vnd.oci.image.index.v1+json"
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar"
)

// image is what goes into an archive: how to run it, and for each architecture
// one layer.
type image struct {
	name, version string
	variants      []variant
}

// variant is the image of one architecture.
type variant struct {
	arch  string
	layer []byte
}

// descriptor points at a blob.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Platform    *platform         `json:"platform,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

// config is the OCI image configuration.
type config struct {
	platform
	Created string     `json:"created"`
	Config  execution  `json:"config"`
	RootFS  rootFS     `json:"rootfs"`
	History []historic `json:"history"`
}

type execution struct {
	Entrypoint []string          `json:"Entrypoint"`
	Env        []string          `json:"Env"`
	WorkingDir string            `json:"WorkingDir"`
	Labels     map[string]string `json:"Labels,omitempty"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

type historic struct {
	Created   string `json:"created"`
	CreatedBy string `json:"created_by"`
}

// manifest is the OCI image manifest and, without its configuration, the
// index over manifests.
type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        *descriptor  `json:"config,omitempty"`
	Layers        []descriptor `json:"layers,omitempty"`
	Manifests     []descriptor `json:"manifests,omitempty"`
}

// dockerManifest is what "docker load" reads where it knows no OCI archives.
type dockerManifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// epoch is the time of everything in the image: a real one would make each
// build another image.
const epoch = "1970-01-01T00:00:00Z"

func (i image) config(v variant) config {
	c := config{
		platform: platform{v.arch, "linux"}, Created: epoch,
		Config: execution{
			Entrypoint: []string{"/" + sluicePath},
			// nft is looked for.
			Env:        []string{"PATH=/usr/sbin:/usr/bin"},
			WorkingDir: "/",
			Labels: map[string]string{
				"org.opencontainers.image.title":    "Sluice",
				"org.opencontainers.image.licenses": "Apache-2.0",
			},
		},
		RootFS:  rootFS{"layers", []string{digest(v.layer)}},
		History: []historic{{epoch, "deploy/image"}},
	}
	if i.version != "" {
		c.Config.Labels["org.opencontainers.image.version"] = i.version
	}
	return c
}

// write writes the archive: of one architecture as everybody can load it, of
// several as one index over them.
func (i image) write(w io.Writer) error {
	a := archive{}
	var manifests []descriptor
	var docker []dockerManifest
	for _, v := range i.variants {
		m, d, err := a.variant(i, v)
		if err != nil {
			return err
		}
		manifests, docker = append(manifests, m), append(docker, d)
	}
	top := manifests[0]
	if len(manifests) > 1 {
		var err error
		if top, err = a.json(indexType, manifest{SchemaVersion: 2, MediaType: indexType, Manifests: manifests}); err != nil {
			return err
		}
	} else if err := a.top("manifest.json", docker); err != nil {
		// Without a word about architectures: none where there are several.
		return err
	}
	top.Annotations = map[string]string{
		// containerd takes the whole name from the one, others from the other.
		"io.containerd.image.name":          i.name,
		"org.opencontainers.image.ref.name": i.name,
	}
	if err := a.top("oci-layout", map[string]string{"imageLayoutVersion": "1.0.0"}); err != nil {
		return err
	}
	if err := a.top("index.json", manifest{SchemaVersion: 2, MediaType: indexType, Manifests: []descriptor{top}}); err != nil {
		return err
	}
	return a.write(w)
}

// archive is a tar archive's files by name.
type archive map[string][]byte

// variant adds one architecture's layer, configuration and manifest.
func (a archive) variant(i image, v variant) (descriptor, dockerManifest, error) {
	layer := a.blob(layerType, v.layer)
	cfg, err := a.json(configType, i.config(v))
	if err != nil {
		return descriptor{}, dockerManifest{}, err
	}
	m, err := a.json(manifestType, manifest{SchemaVersion: 2, MediaType: manifestType, Config: &cfg, Layers: []descriptor{layer}})
	m.Platform = &platform{v.arch, "linux"}
	return m, dockerManifest{blobPath(cfg.Digest), []string{i.name}, []string{blobPath(layer.Digest)}}, err
}

// top adds a file of the archive that is no blob.
func (a archive) top(name string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	a[name] = data
	return nil
}

func (a archive) blob(mediaType string, data []byte) descriptor {
	d := digest(data)
	a[blobPath(d)] = data
	return descriptor{MediaType: mediaType, Digest: d, Size: len(data)}
}

func (a archive) json(mediaType string, value any) (descriptor, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return descriptor{}, fmt.Errorf("write %s: %w", mediaType, err)
	}
	return a.blob(mediaType, data), nil
}

func (a archive) write(w io.Writer) error {
	t := tar.NewWriter(w)
	for _, d := range []string{"blobs/", "blobs/sha256/"} {
		if err := t.WriteHeader(header(d, tar.TypeDir, 0o755, 0)); err != nil {
			return fmt.Errorf("write directory %s: %w", d, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if err := writeEntry(t, header(name, tar.TypeReg, 0o644, len(a[name])), a[name]); err != nil {
			return err
		}
	}
	if err := t.Close(); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// blobPath is where the image layout has a blob.
func blobPath(digest string) string {
	return "blobs/sha256/" + digest[len("sha256:"):]
}
