package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseList(t *testing.T) {
	list := `	linux-vdso.so.1 (0x00007f8c036fb000)
	libmnl.so.0 => /lib/x86_64-linux-gnu/libmnl.so.0 (0x00007f8c033e4000)
	libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f8c033ec000)
	/lib64/ld-linux-x86-64.so.2 (0x00007f8c036fd000)
`
	got, err := parseList([]byte(list), "/lib64/ld-linux-x86-64.so.2")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libmnl.so.0", "/lib64/ld-linux-x86-64.so.2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := parseList([]byte("\tlibmnl.so.0 => not found\n"), "/ld.so"); err == nil || !strings.Contains(err.Error(), "libmnl.so.0") {
		t.Errorf("a library that is missing: %v", err)
	}
}

func TestRunNamesWhatIsWrong(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("#!/bin/sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	for want, o := range map[string]options{
		"read binary":                 {sluice: text, nft: "/usr/sbin/nft"},
		"no such file":                {sluice: text + "-none", nft: "/usr/sbin/nft"},
		"build it with CGO_ENABLED=0": {sluice: "/usr/sbin/nft", nft: "/usr/sbin/nft"},
	} {
		o.out = filepath.Join(t.TempDir(), "image.tar")
		if err := run(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
		if _, err := os.Stat(o.out); err == nil {
			t.Error("an image was written")
		}
	}
}
