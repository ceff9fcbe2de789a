package deploy_test

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/sluice-net/sluice/conformance/kerneltest"
)

// scratch is a directory for what is built once for all tests.
var scratch string

func inScratch(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "sluice-deploy-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	return kerneltest.Run(m)
}

// builtImage is the image as "make image" builds it.
type builtImage struct {
	archive string
	// root is its root file system, unpacked.
	root string
}

// imageTags are the build tags of the binary in the image.
const imageTags = "nolab"

var build = sync.OnceValues(func() (builtImage, error) {
	img := builtImage{filepath.Join(scratch, "image.tar"), filepath.Join(scratch, "root")}
	sluice, layer := filepath.Join(scratch, "sluice"), filepath.Join(scratch, "layer.tar")
	for _, args := range [][]string{
		{"build", "-trimpath", "-buildvcs=false", "-tags", imageTags, "-ldflags", "-s -w", "-o", sluice, "../cmd/sluice"},
		{"run", "./image", "-sluice", sluice, "-out", img.archive, "-layer", layer},
	} {
		cmd := exec.Command("go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return img, fmt.Errorf("go %v: %w: %s", args, err, out)
		}
	}
	return img, unpack(layer, img.root)
})

// multi is the image for both architectures, and the prefix of the bills of
// materials beside it, as "make image ARCHES='amd64 arm64'" builds it: what is not
// this machine's own comes from packages that are downloaded.
var multi = sync.OnceValues(func() (files [2]string, err error) {
	files = [2]string{filepath.Join(scratch, "multi.tar"), filepath.Join(scratch, "bom-")}
	args := []string{"run", "./image", "-version", "v1.2.3", "-out", files[0], "-sbom", files[1]}
	for _, arch := range architectures {
		binary := filepath.Join(scratch, "sluice-"+arch)
		cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags", imageTags, "-ldflags", "-s -w", "-o", binary, "../cmd/sluice")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
		if out, err := cmd.CombinedOutput(); err != nil {
			return files, fmt.Errorf("build for %s: %w: %s", arch, err, out)
		}
		args = append(args, "-sluice", binary)
		if arch == runtime.GOARCH {
			continue
		}
		packages := filepath.Join(scratch, "packages-"+arch)
		if out, err := exec.Command("image/fetch-packages", arch, packages).CombinedOutput(); err != nil {
			return files, fmt.Errorf("fetch packages for %s: %w: %s", arch, err, out)
		}
		args = append(args, "-packages", arch+"="+packages)
	}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return files, fmt.Errorf("go %v: %w: %s", args, err, out)
	}
	return files, nil
})

// architectures are those that releases are for.
var architectures = []string{"amd64", "arm64"}

func theImage(t testing.TB) builtImage {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("tests of the image run what is in it, in namespaces: run them as root")
	}
	img, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func unpack(archive, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := filepath.Join(dir, h.Name)
		if h.Typeflag == tar.TypeDir {
			if err := os.MkdirAll(name, 0o755); err != nil {
				return err
			}
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if err := os.WriteFile(name, data, h.FileInfo().Mode()); err != nil {
			return err
		}
	}
}
