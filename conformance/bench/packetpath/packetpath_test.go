package packetpath

import (
	"testing"

	"github.com/sluice-net/sluice/conformance/bench/figures"
)

// TestRun shows that the harness works and that all shapes do the same work:
// Run fails if one allows something else than its policies.
func TestRun(t *testing.T) {
	results, err := Run(t.Context(), Options{Quick: true, Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	sampled := map[Shape]map[Metric]bool{}
	for _, r := range results {
		if sampled[r.Shape] == nil {
			sampled[r.Shape] = map[Metric]bool{}
		}
		sampled[r.Shape][r.Metric] = true
		median, ratio := figures.Median(r.Samples), figures.RatioOf(r.Samples, r.Base).Value
		if !(median > 0) || !(ratio > 0) || len(r.Samples) != quickRepeats*quickTurns || len(r.Base) != len(r.Samples) {
			t.Errorf("%s %s, %s, %s: median %v, ratio %v, samples %v to %v", r.Topology, r.Shape, r.Load, r.Metric, median, ratio, r.Samples, r.Base)
		}
		t.Logf("%-6s %-15s %-20s %12.2f ± %.2f  ratio %.3f  %s", r.Topology, r.Shape, r.Metric, median, figures.MAD(r.Samples), ratio, r.Note)
	}
	if len(sampled) != 8 {
		t.Errorf("%d shapes, want 8", len(sampled))
	}
	for shape, metrics := range sampled {
		if len(metrics) != 7 {
			t.Errorf("%s: %d metrics, want 7", shape, len(metrics))
		}
	}
}
