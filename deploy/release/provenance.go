package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// Files that are about the others.
const (
	sumsFile       = "SHA256SUMS"
	provenanceFile = "sluice-provenance.intoto.json"
)

// statement is an in-toto statement with SLSA's provenance.
type statement struct {
	Type          string     `json:"_type"`
	Subject       []resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     predicate  `json:"predicate"`
}

// resource is something that went in or came out.
type resource struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest,omitempty"`
}

type predicate struct {
	BuildDefinition definition `json:"buildDefinition"`
	RunDetails      details    `json:"runDetails"`
}

type definition struct {
	BuildType            string            `json:"buildType"`
	ExternalParameters   map[string]string `json:"externalParameters"`
	ResolvedDependencies []resource        `json:"resolvedDependencies"`
}

type details struct {
	Builder  builder  `json:"builder"`
	Metadata metadata `json:"metadata,omitzero"`
}

type builder struct {
	ID string `json:"id"`
}

type metadata struct {
	InvocationID string `json:"invocationId,omitempty"`
}

// buildType says how to read the parameters: make release with this version and
// this image's name, on this commit.
const buildType = "https://github.com/sluice-net/sluice/deploy/release@v1"

// sums writes the checksums of all files of the release, as sha256sum -c reads
// them, and returns them by name.
func (o options) sums() (map[string]string, error) {
	entries, err := os.ReadDir(o.dir)
	if err != nil {
		return nil, fmt.Errorf("list the release: %w", err)
	}
	sums := map[string]string{}
	var text strings.Builder
	for _, e := range entries {
		if e.Name() == sumsFile || e.Name() == provenanceFile {
			continue // of an earlier run
		}
		data, err := os.ReadFile(o.place(e.Name()))
		if err != nil {
			return nil, fmt.Errorf("sum up the release: %w", err)
		}
		sums[e.Name()] = digest(data)
		fmt.Fprintf(&text, "%s  %s\n", sums[e.Name()], e.Name())
	}
	return sums, o.write(sumsFile, []byte(text.String()))
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// provenance writes how the files and the image came to be. It is a statement: who
// signs it is the workflow.
func (o options) provenance(sums map[string]string) error {
	image, err := imageDigest(o.archive)
	if err != nil {
		return err
	}
	subjects := []resource{{Name: o.image, Digest: map[string]string{"sha256": image}}}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		subjects = append(subjects, resource{Name: name, Digest: map[string]string{"sha256": sums[name]}})
	}
	from, err := o.dependencies()
	if err != nil {
		return err
	}
	s := statement{
		Type: "https://in-toto.io/Statement/v1", Subject: subjects, PredicateType: "https://slsa.dev/provenance/v1",
		Predicate: predicate{
			definition{buildType, map[string]string{"version": o.version, "image": o.image, "repository": o.repository, "revision": o.revision}, from},
			details{builder{o.builder}, metadata{o.invocation}},
		},
	}
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("write the provenance: %w", err)
	}
	return o.write(provenanceFile, append(data, '\n'))
}

// dependencies are the commit, and what the binaries say that they are built
// from: Go, and modules with the sums that go.sum holds. The Debian packages of
// the image are in its bills of materials, which are subjects themselves.
func (o options) dependencies() ([]resource, error) {
	out := map[string]resource{}
	for _, name := range o.binaries {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		built, err := buildinfo.Read(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("read what %s is built from: %w", name, err)
		}
		toolchain := "pkg:golang/stdlib@" + strings.TrimPrefix(built.GoVersion, "go")
		out[toolchain] = resource{URI: toolchain}
		for _, m := range built.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			uri := "pkg:golang/" + m.Path + "@" + strings.ReplaceAll(m.Version, "+", "%2B")
			sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:"))
			if err != nil || len(sum) != sha256.Size {
				return nil, fmt.Errorf("%s of %s: its sum %q is none of go.sum's", m.Path, name, m.Sum)
			}
			out[uri] = resource{URI: uri, Digest: map[string]string{"dirHash1": hex.EncodeToString(sum)}}
		}
	}
	list := []resource{{URI: "git+" + o.repository, Digest: map[string]string{"gitCommit": o.revision}}}
	for _, uri := range slices.Sorted(maps.Keys(out)) {
		list = append(list, out[uri])
	}
	return list, nil
}

// imageDigest is that by which a registry will know the image.
func imageDigest(archive string) (string, error) {
	f, err := os.Open(archive)
	if err != nil {
		return "", fmt.Errorf("read the image: %w", err)
	}
	defer func() { _ = f.Close() }()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err != nil {
			return "", fmt.Errorf("find the index of image %s: %w", archive, err)
		}
		if h.Name != "index.json" {
			continue
		}
		var index struct {
			Manifests []struct{ Digest string }
		}
		if err := json.NewDecoder(r).Decode(&index); err != nil {
			return "", fmt.Errorf("read the index of image %s: %w", archive, err)
		}
		if len(index.Manifests) != 1 {
			return "", fmt.Errorf("image %s has %d entries", archive, len(index.Manifests))
		}
		sum, ok := strings.CutPrefix(index.Manifests[0].Digest, "sha256:")
		if !ok {
			return "", errors.New("the image's digest is no SHA-256")
		}
		return sum, nil
	}
}
