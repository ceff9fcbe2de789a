package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A package's files are found as a loader would: through links, and in /usr where
// a package has them in / and the other way round.
func TestDownloadedFollowsLinks(t *testing.T) {
	d := downloaded{files: map[string]packaged{
		"/lib/aarch64-linux-gnu/libc.so.6":         {pkg: "libc6", data: []byte("c")},
		"/lib/aarch64-linux-gnu/ld.so":             {pkg: "libc6", data: []byte("ld")},
		"/lib/ld.so":                               {pkg: "libc6", link: "aarch64-linux-gnu/ld.so"},
		"/usr/lib/aarch64-linux-gnu/libmnl.so.0":   {pkg: "libmnl0", link: "libmnl.so.0.2"},
		"/usr/lib/aarch64-linux-gnu/libmnl.so.0.2": {pkg: "libmnl0", data: []byte("mnl")},
		"/lib/absolute":                            {pkg: "a", link: "/lib/ld.so"},
		"/lib/round":                               {pkg: "a", link: "round"},
		"/lib/nowhere":                             {pkg: "a", link: "none"},
	}}
	for name, want := range map[string]string{
		"/lib/aarch64-linux-gnu/libc.so.6":     "libc6 c",
		"/usr/lib/aarch64-linux-gnu/libc.so.6": "libc6 c",
		"/lib/ld.so":                           "libc6 ld",
		"/usr/lib/ld.so":                       "libc6 ld",
		"/lib/aarch64-linux-gnu/libmnl.so.0":   "libmnl0 mnl",
		"/lib/absolute":                        "libc6 ld",
		"/lib/round":                           "",
		"/lib/nowhere":                         "",
		"/lib/libc.so.6":                       "",
	} {
		got := ""
		if d.has(name) {
			data, err := d.read(name)
			owner, oerr := d.owner(name)
			if err != nil || oerr != nil {
				t.Errorf("%s: %v, %v", name, err, oerr)
			}
			got = owner + " " + string(data)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if _, err := d.read("/lib/nowhere"); err == nil {
		t.Error("a file that is not there was read")
	}
}

func TestPackagesAreOfOneArchitectureAndThere(t *testing.T) {
	if _, err := openPackages(t.TempDir(), "arm64"); err == nil || !strings.Contains(err.Error(), "no .deb file") {
		t.Errorf("an empty directory: %v", err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.deb"), []byte("no package"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openPackages(dir, "arm64"); err == nil || !strings.Contains(err.Error(), "a.deb") {
		t.Errorf("a file that is no package: %v", err)
	}
}

func TestRunNamesWhatIsWrong(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("#!/bin/sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	for want, o := range map[string]options{
		"-sluice":                     {},
		"-layer":                      {binaries: list{text, text}, layer: text},
		"read binary":                 {binaries: list{text}},
		"no such file":                {binaries: list{text + "-none"}},
		"build it with CGO_ENABLED=0": {binaries: list{"/usr/sbin/nft"}},
	} {
		o.nft, o.out = "/usr/sbin/nft", filepath.Join(t.TempDir(), "image.tar")
		if err := run(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
		if _, err := os.Stat(o.out); err == nil {
			t.Error("an image was written")
		}
	}
}
