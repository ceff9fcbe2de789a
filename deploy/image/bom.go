package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
)

// bom is a bill of materials in CycloneDX 1.6: of the image, the programs and
// the libraries in it, and of sluice, the Go modules that it is built from. It
// bears no time and no random number, so that the same image has the same one.
type bom struct {
	Schema       string       `json:"$schema"`
	Format       string       `json:"bomFormat"`
	SpecVersion  string       `json:"specVersion"`
	SerialNumber string       `json:"serialNumber"`
	Version      int          `json:"version"`
	Metadata     bomMetadata  `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type bomMetadata struct {
	Component component `json:"component"`
}

type component struct {
	Type    string    `json:"type"`
	Ref     string    `json:"bom-ref"`
	Name    string    `json:"name"`
	Version string    `json:"version,omitempty"`
	Purl    string    `json:"purl,omitempty"`
	Hashes  []bomHash `json:"hashes,omitempty"`
}

type bomHash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn"`
}

// bom says what is in the image, from what is in it and nothing else: the
// entries of the package database, and what the Go linker wrote into sluice.
func (r root) bom(version, arch string) ([]byte, error) {
	debs, err := r.debs()
	if err != nil {
		return nil, err
	}
	binary := r[sluicePath].data
	built, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		return nil, fmt.Errorf("read what sluice is built from: %w", err)
	}
	modules := goModules(built)
	sum := sha256.Sum256(binary)
	image := component{Type: "container", Ref: "image", Name: "sluice", Version: version}
	sluice := component{
		Type: "application", Ref: "sluice", Name: built.Main.Path, Version: version,
		Hashes: []bomHash{{"SHA-256", hex.EncodeToString(sum[:])}},
	}
	b := bom{
		Schema: "http://cyclonedx.org/schema/bom-1.6.schema.json", Format: "CycloneDX", SpecVersion: "1.6",
		Version: 1, Metadata: bomMetadata{image},
		Components: slices.Concat([]component{sluice}, modules, debs),
		Dependencies: []dependency{
			{image.Ref, append([]string{sluice.Ref}, refs(debs)...)},
			{sluice.Ref, refs(modules)},
		},
	}
	b.SerialNumber = serialNumber(arch, b)
	out, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the bill of materials: %w", err)
	}
	return append(out, '\n'), nil
}

// debs are the Debian packages that the image has files of.
func (r root) debs() ([]component, error) {
	var out []component
	for _, name := range slices.Sorted(maps.Keys(r)) {
		if !strings.HasPrefix(name, "var/lib/dpkg/status.d/") {
			continue
		}
		control := r[name].data
		pkg, version, arch := field(control, "Package"), field(control, "Version"), field(control, "Architecture")
		if pkg == "" || version == "" || arch == "" {
			return nil, fmt.Errorf("read %s: it lacks a name, a version or an architecture", name)
		}
		purl := fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s", url.PathEscape(pkg), escapeVersion(version), arch)
		out = append(out, component{Type: "library", Ref: purl, Name: pkg, Version: version, Purl: purl})
	}
	return out, nil
}

// escapeVersion is a version in a package URL, where a plus or a colon may mean
// something else.
func escapeVersion(v string) string {
	return strings.NewReplacer("+", "%2B", ":", "%3A").Replace(url.PathEscape(v))
}

func goModules(built *debug.BuildInfo) []component {
	add := func(path, version string) component {
		purl := fmt.Sprintf("pkg:golang/%s@%s", path, escapeVersion(version))
		return component{Type: "library", Ref: purl, Name: path, Version: version, Purl: purl}
	}
	// The standard library has the vulnerabilities that scanners look for first.
	out := []component{add("stdlib", strings.TrimPrefix(built.GoVersion, "go"))}
	for _, m := range built.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		out = append(out, add(m.Path, m.Version))
	}
	return out
}

func refs(list []component) []string {
	out := make([]string, len(list))
	for i, c := range list {
		out[i] = c.Ref
	}
	return out
}

// serialNumber is a UUID of version 8, which is what its maker wants it to be: the
// beginning of a hash over what it numbers.
func serialNumber(arch string, b bom) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %+v", arch, b))
	id := sum[:16]
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[0:4], id[4:6], id[6:8], id[8:10], id[10:16])
}
