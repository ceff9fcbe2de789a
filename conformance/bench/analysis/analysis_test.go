package analysis_test

import (
	"testing"
	"time"

	"github.com/sluice-net/sluice/conformance/bench/analysis"
	"github.com/sluice-net/sluice/conformance/bench/figures"
)

// TestRunMeasuresEverything, however little of it.
func TestRunMeasuresEverything(t *testing.T) {
	var run figures.Run
	o := analysis.Options{Workloads: []int{60}, Policies: []int{10}, Rounds: 1, Slice: time.Millisecond, VerifyFlows: 100, Log: t.Logf}
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
	} {
		if len(run.Of(analysis.Part, "").Find(f.name, f.variant, nil)) == 0 {
			t.Errorf("no samples of %s, %s", f.name, f.variant)
		}
	}
}
