package packetpath

import (
	"testing"
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
		if r.Median <= 0 || r.Ratio <= 0 || len(r.Samples) != quickRepeats*quickTurns {
			t.Errorf("%s %s, %s, %s: median %v, ratio %v, samples %v", r.Topology, r.Shape, r.Load, r.Metric, r.Median, r.Ratio, r.Samples)
		}
		t.Logf("%-6s %-15s %-20s %12.2f ± %.2f  ratio %.3f  %s", r.Topology, r.Shape, r.Metric, r.Median, r.MAD, r.Ratio, r.Note)
	}
	if len(sampled) != 7 {
		t.Errorf("%d shapes, want 7", len(sampled))
	}
	for shape, metrics := range sampled {
		if len(metrics) != 7 {
			t.Errorf("%s: %d metrics, want 7", shape, len(metrics))
		}
	}
}
