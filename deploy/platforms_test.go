package deploy_test

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// variants are the files in the image of each architecture, by name.
func variants(t *testing.T) map[string]map[string][]byte {
	t.Helper()
	built, err := multi()
	if err != nil {
		t.Fatal(err)
	}
	a := archive(tarFiles(t, readFile(t, built[0])))
	var top, index struct{ Manifests []descriptor }
	into(t, a["index.json"], &top)
	if len(top.Manifests) != 1 || top.Manifests[0].Annotations["io.containerd.image.name"] != "sluice.invalid/sluice:dev" {
		t.Fatalf("index %s", a["index.json"])
	}
	into(t, a.blob(t, top.Manifests[0]), &index)
	out := map[string]map[string][]byte{}
	for _, d := range index.Manifests {
		var manifest struct {
			Config descriptor
			Layers []descriptor
		}
		into(t, a.blob(t, d), &manifest)
		var config struct {
			OS, Architecture string
			RootFS           struct {
				DiffIDs []string `json:"diff_ids"`
			}
		}
		into(t, a.blob(t, manifest.Config), &config)
		if d.Platform.OS != "linux" || config.OS != "linux" || d.Platform.Architecture != config.Architecture {
			t.Errorf("the index says %+v, the configuration %s/%s", d.Platform, config.OS, config.Architecture)
		}
		if len(manifest.Layers) != 1 || !slices.Equal(config.RootFS.DiffIDs, []string{manifest.Layers[0].Digest}) {
			t.Errorf("%s: layers %v, of which the configuration says %v", config.Architecture, manifest.Layers, config.RootFS.DiffIDs)
		}
		out[config.Architecture] = tarFiles(t, a.blob(t, manifest.Layers[0]))
	}
	if got := slices.Sorted(maps.Keys(out)); !slices.Equal(got, architectures) {
		t.Fatalf("the image is for %v, not %v", got, architectures)
	}
	return out
}

// Every program and library is built for the machine, and all libraries that any
// of them names are there, once.
func TestImageIsWholeOnEachArchitecture(t *testing.T) {
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	for arch, files := range variants(t) {
		there, wanted := map[string]int{}, map[string]bool{}
		programs := 0
		for name, data := range files {
			f, err := elf.NewFile(bytes.NewReader(data))
			if err != nil {
				if strings.HasPrefix(name, "lib") || strings.Contains(name, "bin/") {
					t.Errorf("%s: %s: %v", arch, name, err)
				}
				continue
			}
			if f.Machine != machines[arch] {
				t.Errorf("%s: %s is for %s", arch, name, f.Machine)
			}
			if strings.Contains(name, "bin/") {
				programs++
			} else {
				there[path.Base(name)]++
			}
			libs, err := f.ImportedLibraries()
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range libs {
				wanted[l] = true
			}
			for _, p := range f.Progs {
				loader := make([]byte, p.Filesz)
				if p.Type != elf.PT_INTERP || name != "usr/sbin/nft" {
					continue
				}
				if _, err := p.ReadAt(loader, 0); err != nil {
					t.Fatal(err)
				}
				if at := strings.Trim(string(loader), "/\x00"); files[at] == nil {
					t.Errorf("%s: nft's loader is not at %s", arch, at)
				}
			}
		}
		want := map[string]int{}
		for l := range wanted {
			want[l] = 1
		}
		if diff := cmp.Diff(want, there); diff != "" || programs != 2 || len(there) < 5 {
			t.Errorf("%s: %d programs; libraries (-needed +there):\n%s", arch, programs, diff)
		}
	}
}

// Both have the same packages: whatever is said of one architecture's image holds
// for the other's. Versions may differ where this machine is behind its mirror.
func TestArchitecturesHaveTheSamePackages(t *testing.T) {
	names := map[string][]string{}
	for arch, files := range variants(t) {
		for name, data := range files {
			if !strings.HasPrefix(name, "var/lib/dpkg/status.d/") {
				continue
			}
			names[arch] = append(names[arch], path.Base(name))
			for _, line := range []string{"\nStatus: install ok installed\n", "\nArchitecture: " + arch + "\n"} {
				if !strings.Contains(string(data), line) {
					t.Errorf("%s: %s lacks %q", arch, name, line)
				}
			}
			if copyright := "usr/share/doc/" + path.Base(name) + "/copyright"; files[copyright] == nil {
				t.Errorf("%s: there is no %s", arch, copyright)
			}
		}
		slices.Sort(names[arch])
	}
	if diff := cmp.Diff(names["amd64"], names["arm64"]); diff != "" {
		t.Errorf("(-amd64 +arm64):\n%s", diff)
	}
}

// The bill of materials names what is in the image, all of it and nothing else.
func TestBillOfMaterialsIsTheImages(t *testing.T) {
	built, err := multi()
	if err != nil {
		t.Fatal(err)
	}
	for arch, files := range variants(t) {
		var bom struct {
			Components []struct {
				Name, Version, Purl string
				Hashes              []struct{ Alg, Content string }
			}
		}
		into(t, readFile(t, built[1]+arch+".cdx.json"), &bom)
		debs, modules := map[string]bool{}, map[string]bool{}
		for _, c := range bom.Components {
			switch {
			case strings.HasPrefix(c.Purl, "pkg:deb/debian/"):
				debs[c.Name+" "+c.Version] = true
			case strings.HasPrefix(c.Purl, "pkg:golang/"):
				modules[c.Name] = true
			case c.Name == "github.com/sluice-net/sluice":
				sum := sha256.Sum256(files["usr/bin/sluice"])
				if len(c.Hashes) != 1 || c.Hashes[0].Content != hex.EncodeToString(sum[:]) {
					t.Errorf("%s: sluice is %x, not %v", arch, sum, c.Hashes)
				}
			default:
				t.Errorf("%s: unexpected %+v", arch, c)
			}
		}
		want := map[string]bool{}
		for name, data := range files {
			if strings.HasPrefix(name, "var/lib/dpkg/status.d/") {
				want[line(data, "Package")+" "+line(data, "Version")] = true
			}
		}
		if diff := cmp.Diff(want, debs); diff != "" {
			t.Errorf("%s (-image +bill):\n%s", arch, diff)
		}
		for _, module := range []string{"stdlib", "k8s.io/client-go", "sigs.k8s.io/knftables"} {
			if !modules[module] {
				t.Errorf("%s: it does not name %s", arch, module)
			}
		}
	}
}

func line(control []byte, field string) string {
	for l := range strings.Lines(string(control)) {
		if value, ok := strings.CutPrefix(l, field+": "); ok {
			return strings.TrimSpace(value)
		}
	}
	return fmt.Sprintf("no %s", field)
}
