package controlpath_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/conformance/bench/controlpath"
	"github.com/sluice-net/sluice/conformance/bench/figures"
	"github.com/sluice-net/sluice/conformance/kerneltest"
	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/conformance/scale"
)

// TestMain is also the prober's process.
func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == "prober" {
		if err := controlpath.Probe(os.Stdin, os.Stdout, os.Args[2], os.Args[3], os.Args[4]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(kerneltest.Run(m))
}

// TestRunMeasuresEverything, once, in a small cluster of each shape and
// behind a bridge.
func TestRunMeasuresEverything(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	published := scale.Cluster{Pods: 60, Namespaces: 6, Policies: 120, LocalPods: 6, Shape: scale.Published}
	o := controlpath.Options{
		Sizes: []controlpath.Size{
			{Name: "large", Cluster: scale.Large(300), Topology: lab.PTP}, {Name: "published", Cluster: published, Topology: lab.PTP},
			{Name: "bridge", Cluster: scale.Large(300), Topology: lab.Bridge},
		},
		Selected: []scale.Selected{{Policies: 12, Everybody: true}, {Policies: 12, Plain: true}},
		Rounds:   1, Starts: 1, Bursts: []int{20}, Prober: []string{self, "prober"}, Log: t.Logf,
	}
	var run figures.Run
	if err := controlpath.Run(t.Context(), o, &run); err != nil {
		t.Fatal(err)
	}
	if len(run.Missing) > 0 {
		t.Fatalf("missing: %v", run.Missing)
	}
	for _, size := range o.Sizes {
		fs := run.Of(controlpath.Part, size.Name)
		for _, name := range fs.Names(controlpath.Commit) {
			for _, ms := range fs.Find(name, controlpath.Commit, nil) {
				if ms <= 0 {
					t.Errorf("%s: %s took %v ms until the commit", size.Name, name, ms)
				}
			}
		}
		for _, name := range fs.Names("operations") {
			if strings.HasPrefix(name, "policy elsewhere") && figures.Max(fs.Find(name, "operations", nil)) != 0 {
				t.Errorf("%s: %s: the kernel heard of it", size.Name, name)
			}
		}
		for _, want := range []struct{ name, variant string }{
			{"remote Pod comes", controlpath.Own}, {"local Pod goes", controlpath.Commit}, {"policy changes", controlpath.Commit},
			{controlpath.OneElement, controlpath.Floor}, {controlpath.OneChain, controlpath.Floor}, {controlpath.ColdStart, controlpath.Floor}, {controlpath.ColdStart, controlpath.Gap},
			{"20 Pods come", controlpath.Floor}, {"20 Pods come", controlpath.Gap}, {"idle", controlpath.Gap},
		} {
			if len(fs.Find(want.name, want.variant, nil)) == 0 {
				t.Errorf("%s: no samples of %s, %s", size.Name, want.name, want.variant)
			}
		}
	}
	for _, of := range o.Selected {
		fs := run.Of(controlpath.Part, controlpath.SelectedKind(of))
		for name, variant := range map[string]string{
			"one policy more": controlpath.Commit, "that policy goes": controlpath.Commit, "a policy isolates another Pod": controlpath.Commit,
			controlpath.OneElement: controlpath.Floor, controlpath.ColdStart: controlpath.Commit, controlpath.Rules: "", controlpath.Chains: "",
		} {
			if samples := fs.Find(name, variant, nil); len(samples) == 0 || samples[0] <= 0 {
				t.Errorf("%+v: %s, %s: %v", of, name, variant, samples)
			}
		}
	}
}
