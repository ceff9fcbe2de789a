package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// release makes one of this test's own binary and an image of which the index is
// all that is read.
func release(t *testing.T) options {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	o := options{
		version: "v1.2.3-rc.1", image: "registry.example/org/sluice", archive: filepath.Join(dir, "sluice-image.tar"), dir: dir, source: "../..",
		binaries:  binaries{"linux/amd64": binary, "linux/arm64": binary, "darwin/arm64": binary, "windows/amd64": binary},
		downloads: "https://downloads.example/v1.2.3-rc.1/",
		build: build{
			repository: "https://code.example/sluice", revision: strings.Repeat("0a", 20), builder: "https://ci.example/release@v1", invocation: "https://ci.example/run/5",
		},
	}
	var image bytes.Buffer
	w := tar.NewWriter(&image)
	index := fmt.Sprintf(`{"manifests":[{"digest":"sha256:%s"}]}`, strings.Repeat("1b", 32))
	if err := w.WriteHeader(&tar.Header{Name: "index.json", Mode: 0o644, Size: int64(len(index))}); err != nil {
		t.Fatal(err)
	}
	_, werr := w.Write([]byte(index))
	if err := errors.Join(werr, w.Close(), os.WriteFile(o.archive, image.Bytes(), 0o644), os.WriteFile(filepath.Join(dir, "sluice-image-amd64.cdx.json"), []byte("{}"), 0o644)); err != nil {
		t.Fatal(err)
	}
	return o
}

func read(t *testing.T, o options, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(o.place(name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestReleaseIsWholeAndReproducible(t *testing.T) {
	o := release(t)
	if err := run(o); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{
		"SHA256SUMS": true, "sluice-provenance.intoto.json": true, "sluice-krew.yaml": true, "sluice.yaml": true, "cleanup.yaml": true,
		"sluice-1.2.3-rc.1.tgz": true, "sluice-v1.2.3-rc.1-linux-amd64.tar.gz": true, "sluice-v1.2.3-rc.1-linux-arm64.tar.gz": true,
		"sluice-v1.2.3-rc.1-darwin-arm64.tar.gz": true, "sluice-v1.2.3-rc.1-windows-amd64.tar.gz": true,
		"sluice-image.tar": true, "sluice-image-amd64.cdx.json": true,
	}
	first := map[string][]byte{}
	got := map[string]bool{}
	entries, err := os.ReadDir(o.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		got[e.Name()] = true
		first[e.Name()] = read(t, o, e.Name())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if err := run(o); err != nil {
		t.Fatal(err)
	}
	for name, data := range first {
		if !bytes.Equal(data, read(t, o, name)) {
			t.Errorf("%s differs the second time", name)
		}
	}
}

// Whatever is published is named with its sum, in the checksums and in the
// statement.
func TestEveryFileIsVouchedFor(t *testing.T) {
	o := release(t)
	if err := run(o); err != nil {
		t.Fatal(err)
	}
	want, sums := map[string]string{o.image: strings.Repeat("1b", 32)}, ""
	entries, err := os.ReadDir(o.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != sumsFile && e.Name() != provenanceFile {
			want[e.Name()] = digest(read(t, o, e.Name()))
			sums += want[e.Name()] + "  " + e.Name() + "\n"
		}
	}
	if diff := cmp.Diff(sums, string(read(t, o, sumsFile))); diff != "" {
		t.Errorf("checksums (-want +got):\n%s", diff)
	}
	var s statement
	if err := json.Unmarshal(read(t, o, provenanceFile), &s); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, subject := range s.Subject {
		got[subject.Name] = subject.Digest["sha256"]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("subjects (-want +got):\n%s", diff)
	}
	from := s.Predicate.BuildDefinition.ResolvedDependencies
	if len(from) < 2 || from[0].Digest["gitCommit"] != o.revision || from[0].URI != "git+"+o.repository {
		t.Errorf("dependencies %+v", from)
	}
	for _, r := range from[1:] {
		if !strings.HasPrefix(r.URI, "pkg:golang/stdlib@") && len(r.Digest["dirHash1"]) != 64 {
			t.Errorf("no sum of %+v", r)
		}
	}
}

func TestPluginArchive(t *testing.T) {
	o := release(t)
	if err := run(o); err != nil {
		t.Fatal(err)
	}
	for platform, program := range map[string]string{"linux-arm64": "sluice", "darwin-arm64": "sluice", "windows-amd64": "sluice.exe"} {
		unzipped, err := gzip.NewReader(bytes.NewReader(read(t, o, "sluice-v1.2.3-rc.1-"+platform+".tar.gz")))
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]int64{}
		for r := tar.NewReader(unzipped); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got[h.Name] = h.Mode
		}
		complete := "kubectl_complete-sluice"
		if strings.HasSuffix(program, ".exe") {
			complete += ".cmd"
		}
		if diff := cmp.Diff(map[string]int64{program: 0o755, complete: 0o755, "LICENSE": 0o644}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", platform, diff)
		}
		if krew := string(read(t, o, "sluice-krew.yaml")); !strings.Contains(krew, "{from: "+program+", to: .}") || !strings.Contains(krew, "bin: "+program+"\n") || !strings.Contains(krew, "{from: "+complete+", to: .}") {
			t.Errorf("%s is not in\n%s", program, krew)
		}
	}
}

// No name of the tree's own image is left in what is published.
func TestPublishedNamesLeadToTheRegistry(t *testing.T) {
	o := release(t)
	if err := run(o); err != nil {
		t.Fatal(err)
	}
	for name, times := range map[string]int{"sluice.yaml": 1, "cleanup.yaml": 2} {
		text := string(read(t, o, name))
		if n := strings.Count(text, "image: registry.example/org/sluice:v1.2.3-rc.1\n"); n != times || strings.Contains(text, "image: sluice.invalid") {
			t.Errorf("%s names the image %d times, not %d", name, n, times)
		}
	}
}

func TestReleaseNamesWhatIsWrong(t *testing.T) {
	for want, change := range map[string]func(*options){
		"-version":                func(o *options) { o.version = "1.2.3" },
		"-image":                  func(o *options) { o.image = "registry.example/sluice:v1" },
		"-revision":               func(o *options) { o.revision = "main" },
		"-sluice":                 func(o *options) { o.binaries = nil },
		"-downloads":              func(o *options) { o.downloads = "" },
		"-builder":                func(o *options) { o.builder = "" },
		"read the image":          func(o *options) { o.archive += ".none" },
		"read the sources":        func(o *options) { o.source = o.dir },
		"read the binary for":     func(o *options) { o.binaries["linux/amd64"] = o.dir + "/none" },
		"is built from":           func(o *options) { o.binaries["linux/amd64"] = o.archive },
		"find the index of image": func(o *options) { o.archive = o.dir + "/sluice-image-amd64.cdx.json" },
	} {
		o := release(t)
		change(&o)
		if err := run(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	if _, err := replace("a b", 2, "a", "c"); err == nil {
		t.Error("a name that is missing is not noticed")
	}
	if err := (binaries{}).Set("amd64=file"); err == nil {
		t.Error("a platform without a system is taken")
	}
}
