package packetpath

import (
	"testing"

	"github.com/sluice-net/sluice/conformance/bench/figures"
)

// TestRunWatching shows that each kind of watching is measured under each of its kinds of
// traffic, and that changes of policies are.
func TestRunWatching(t *testing.T) {
	results, err := RunWatching(t.Context(), Options{Quick: true, Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	type cell struct {
		topology string
		watching Watching
		traffic  Traffic
	}
	metrics := map[cell]int{}
	for _, r := range results {
		metrics[cell{r.Topology, r.Watching, r.Traffic}]++
		ratio := figures.RatioOf(r.Samples, r.Base).Value
		if !(figures.Median(r.Samples) > 0) || !(ratio > 0) || len(r.Samples) != len(r.Base) {
			t.Errorf("%+v: ratio %v", r, ratio)
		}
		t.Logf("%-6s %-9s %-30s %-22s %12.2f  ratio %.3f", r.Topology, r.Watching, r.Traffic, r.Metric, figures.Median(r.Samples), ratio)
	}
	if len(metrics) != 2*5 {
		t.Errorf("%d cells, want 10: %v", len(metrics), metrics)
	}
	for c, n := range metrics {
		if n < 3 {
			t.Errorf("%+v has %d metrics", c, n)
		}
	}
}
