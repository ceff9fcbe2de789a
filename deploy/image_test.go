package deploy_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestImageIsReproducible(t *testing.T) {
	img := theImage(t)
	again := filepath.Join(t.TempDir(), "image.tar")
	cmd := exec.Command("go", "run", "./image", "-sluice", filepath.Join(scratch, "sluice"), "-out", again)
	// Neither who builds, nor where and when, gets into it.
	cmd.Env = append(os.Environ(), "TZ=Asia/Tokyo", "USER=somebody", "LANG=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	first, err := os.ReadFile(img.archive)
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(again)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("the same binary gave two images")
	}
}

func TestImageHoldsSluiceAndNftAndNothingElse(t *testing.T) {
	img := theImage(t)
	programs := map[string]bool{}
	libraries := map[string]bool{}
	err := filepath.WalkDir(img.root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel := strings.TrimPrefix(name, img.root+"/")
		info, err := d.Info()
		switch {
		case err != nil:
			return err
		case !info.Mode().IsRegular() || info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0:
			t.Errorf("%s is %s", rel, info.Mode())
		case strings.HasPrefix(rel, "lib"):
			libraries[filepath.Base(rel)] = true
		case info.Mode()&0o111 != 0:
			programs[rel] = true
		case !strings.HasPrefix(rel, "usr/share/doc/") && !strings.HasPrefix(rel, "usr/share/common-licenses/") && !strings.HasPrefix(rel, "var/lib/dpkg/status.d/"):
			t.Errorf("unexpected file %s", rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]bool{"usr/bin/sluice": true, "usr/sbin/nft": true}, programs); diff != "" {
		t.Errorf("programs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(reached(t, img.root), libraries); diff != "" {
		t.Errorf("libraries (-needed +there):\n%s", diff)
	}
}

// reached are the libraries that nft is linked with, directly or not, read from
// the files themselves, and the loader.
func reached(t *testing.T, root string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	next := []string{"nft"}
	for len(next) > 0 {
		name := next[0]
		next = next[1:]
		found, err := filepath.Glob(filepath.Join(root, "usr", "sbin", name))
		for _, pattern := range []string{"lib*", "lib*/*"} {
			more, _ := filepath.Glob(filepath.Join(root, pattern, name))
			found = append(found, more...)
		}
		if err != nil || len(found) != 1 {
			t.Errorf("%s is in %v", name, found)
			continue
		}
		f, err := elf.Open(found[0])
		if err != nil {
			t.Fatal(err)
		}
		libs, err := f.ImportedLibraries()
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range libs {
			if !out[l] {
				out[l] = true
				next = append(next, l)
			}
		}
	}
	return out
}

func TestArchiveIsAnImageLayout(t *testing.T) {
	files := archive(tarFiles(t, readFile(t, theImage(t).archive)))
	blob := func(d descriptor) []byte {
		t.Helper()
		return files.blob(t, d)
	}
	var index struct{ Manifests []descriptor }
	into(t, files["index.json"], &index)
	if len(index.Manifests) != 1 {
		t.Fatalf("index %s", files["index.json"])
	}
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	into(t, blob(index.Manifests[0]), &manifest)
	var config struct {
		Config struct{ Entrypoint []string }
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	into(t, blob(manifest.Config), &config)
	blob(manifest.Layers[0])
	if diff := cmp.Diff([]string{manifest.Layers[0].Digest}, config.RootFS.DiffIDs); diff != "" {
		t.Errorf("the layer is not what the configuration says:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"/usr/bin/sluice"}, config.Config.Entrypoint); diff != "" {
		t.Errorf("entry point (-want +got):\n%s", diff)
	}
	for name, c := range containers(t) {
		if got := index.Manifests[0].Annotations["io.containerd.image.name"]; got != c.Image {
			t.Errorf("the image is named %s, %s wants %s", got, name, c.Image)
		}
	}
}

// archive is an image layout's files by name.
type archive map[string][]byte

// descriptor is what an image layout says of a blob.
type descriptor struct {
	MediaType   string
	Digest      string
	Size        int
	Annotations map[string]string
	Platform    struct{ OS, Architecture string }
}

func (a archive) blob(t *testing.T, d descriptor) []byte {
	t.Helper()
	data := a["blobs/"+strings.ReplaceAll(d.Digest, ":", "/")]
	sum := sha256.Sum256(data)
	if d.Digest != "sha256:"+hex.EncodeToString(sum[:]) || d.Size != len(data) {
		t.Fatalf("descriptor %+v points at %d bytes of digest %x", d, len(data), sum)
	}
	return data
}

// tarFiles are the regular files of a tar archive.
func tarFiles(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func into(t *testing.T, data []byte, value any) {
	t.Helper()
	if err := json.Unmarshal(data, value); err != nil {
		t.Fatalf("%v: %s", err, data)
	}
}

// The packet lab runs as root and sends what it is told to: no agent carries it.
func TestImageCarriesNoLab(t *testing.T) {
	reached := func(tags string) (lab, enforcer bool) {
		out, err := exec.Command("go", "list", "-deps", "-tags", tags, "../cmd/sluice").Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(out), "/sluice/conformance"), strings.Contains(string(out), "/sluice/enforcer\n")
	}
	if lab, enforcer := reached(imageTags); lab || !enforcer {
		t.Errorf("the image's binary reaches the lab: %v, the enforcer: %v", lab, enforcer)
	}
	if lab, _ := reached(""); !lab {
		t.Error("no binary reaches the lab: what would \"make demo\" run?")
	}
}

// mostOfTheProgram is far above what the program has, in bytes, and below what it would
// have with all methods of all types in it.
const mostOfTheProgram = 52 << 20

// A program that calls methods by names which the linker does not know keeps them all: one
// template had it grow from 43 to 63 MB, and the agent's memory on each node by 19 MiB.
func TestTheProgramHasNoMethodsThatNothingCalls(t *testing.T) {
	info, err := os.Stat(filepath.Join(theImage(t).root, "usr", "bin", "sluice"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > mostOfTheProgram {
		t.Errorf("the program has %d MB: go build -ldflags=-dumpdep says what is marked ReflectMethod, and who reaches it", info.Size()/1e6)
	}
}
