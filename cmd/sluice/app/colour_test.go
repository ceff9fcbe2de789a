package app

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestColourFlag(t *testing.T) {
	file := write(t, "shop.yaml", shopManifests)
	for _, noColour := range []string{"", "1"} {
		t.Setenv("NO_COLOR", noColour)
		for mode, want := range map[string]bool{"auto": false, "always": true, "never": false} {
			r := sluice(t, "", "explain", "shop/web", "shop/db:5432", "-f", file, "--color", mode)
			if r.code != exitOK || strings.Contains(r.out, "\x1b[") != want {
				t.Errorf("NO_COLOR=%q --color=%s: %+v", noColour, mode, r)
			}
			if r := sluice(t, "", "explain", "shop/web", "shop/db:5432", "-f", file, "-o", "json", "--color", mode); strings.Contains(r.out, "\x1b[") {
				t.Errorf("--color=%s colours JSON: %s", mode, r.out)
			}
		}
	}
	if r := sluice(t, "", "explain", "shop/web", "shop/db:5432", "-f", file, "--color", "yes"); r.code != exitUnusable || !strings.Contains(r.err, `"yes" is none of [auto always never]`) {
		t.Errorf("%+v", r)
	}
}

// A line is drawn when something has taken its time, and is gone at the end.
func TestProgress(t *testing.T) {
	for ticks, want := range map[int]string{
		0: "", 1: "", 2: "\r\x1b[2Kreading … 2 s\r\x1b[2K", 3: "\r\x1b[2Kreading … 2 s\r\x1b[2Kreading … 3 s\r\x1b[2K",
	} {
		var out bytes.Buffer
		clock := make(chan time.Time)
		erase := draw(&out, "reading", clock)
		for range ticks {
			clock <- time.Time{}
		}
		erase()
		erase() // as a deferred call does
		if out.String() != want {
			t.Errorf("%d ticks: %q, want %q", ticks, out.String(), want)
		}
	}
	// What is no terminal is told nothing.
	var out bytes.Buffer
	streams := IOStreams{ErrOut: &out}
	streams.busy("reading")()
	if out.Len() > 0 {
		t.Errorf("%q", out.String())
	}
}
