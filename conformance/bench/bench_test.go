package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/conformance/bench/figures"
)

func TestFlags(t *testing.T) {
	for _, tc := range []struct {
		args  string
		dir   string
		parts []string
		fails string
	}{
		{"", "conformance/bench/report", known, ""},
		{"-quick", "bin/bench-report", known, ""},
		{"-quick -dir x", "x", known, ""},
		{"-parts control,analysis", "conformance/bench/report", []string{"control", "analysis"}, ""},
		{"-parts control,cold", "", nil, `"cold" is none of packet, watching, control, memory, analysis`},
		{"rendr", "", nil, `"rendr" is no flag`},
	} {
		t.Run(tc.args, func(t *testing.T) {
			o, dir, err := flags(strings.Fields(tc.args))
			if tc.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tc.fails) {
					t.Errorf("error %v, want %q", err, tc.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.parts, o.parts); diff != "" || dir != tc.dir {
				t.Errorf("into %s, want %s; parts (-want +got):\n%s", dir, tc.dir, diff)
			}
		})
	}
}

// TestMachineIsKnown: without these nobody can compare.
func TestMachineIsKnown(t *testing.T) {
	m := machine(t.Context(), "v1")
	for what, value := range map[string]string{"processor": m.CPU, "kernel": m.Kernel, "nft": m.NFT, "Go": m.Go} {
		if value == "" {
			t.Errorf("the %s is not known", what)
		}
	}
	if m.Cores < 1 || m.Memory < 1 || m.Revision != "v1" {
		t.Errorf("machine %+v", m)
	}
}

// TestDataBeforeReport: what was measured is written, and read back into a
// report.
func TestDataBeforeReport(t *testing.T) {
	dir := t.TempDir()
	run := &figures.Run{Quick: true}
	run.Add(figures.Figure{Part: "analysis", Name: "flows", Variant: "index", At: figures.Setting{"workloads": 10}, Unit: "1/s", Samples: []float64{1, 2}})
	if err := write(dir, run); err != nil {
		t.Fatal(err)
	}
	if err := renderAgain(dir); err != nil {
		t.Fatal(err)
	}
	if err := renderAgain(t.TempDir()); err == nil {
		t.Error("a report of nothing was made")
	}
}
