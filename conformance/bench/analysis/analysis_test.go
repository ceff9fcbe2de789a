package analysis_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/sluice-net/sluice/cmd/sluice/app"
	"github.com/sluice-net/sluice/conformance/bench/analysis"
	"github.com/sluice-net/sluice/conformance/bench/figures"
)

// TestMain is Sluice, too, for what is measured as a process of its own.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "sluice" {
		os.Exit(app.Main(context.Background(), os.Args[2:], app.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}))
	}
	os.Exit(m.Run())
}

// TestRunMeasuresEverything, however little of it.
func TestRunMeasuresEverything(t *testing.T) {
	var run figures.Run
	o := analysis.Options{Workloads: []int{60}, Policies: []int{10}, Rounds: 1, Slice: time.Millisecond, VerifyFlows: 100, Log: t.Logf}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o.Sluice, o.Estates = []string{self, "sluice"}, []analysis.Estate{{Workloads: 100, Policies: 20}}
	if err := analysis.Run(t.Context(), o, &run); err != nil {
		t.Fatal(err)
	}
	if len(run.Missing) > 0 {
		t.Errorf("missing: %v", run.Missing)
	}
	for _, f := range []struct{ name, variant string }{
		{analysis.Flows, analysis.Index}, {analysis.Flows, analysis.Naive}, {analysis.Pairs, analysis.Reach},
		{analysis.Pairs, analysis.OneByOne}, {analysis.Pairs, analysis.Naive}, {analysis.Verify, "command"},
		{analysis.Selected, analysis.OneByOne}, {analysis.Selected, analysis.Reach},
		{analysis.CPU, analysis.List}, {analysis.CPU, analysis.Exposure}, {analysis.CPU, analysis.Lint}, {analysis.CPU, analysis.Diff}, {analysis.Resident, analysis.List},
	} {
		if len(run.Of(analysis.Part, "").Find(f.name, f.variant, nil)) == 0 {
			t.Errorf("no samples of %s, %s", f.name, f.variant)
		}
	}
}
