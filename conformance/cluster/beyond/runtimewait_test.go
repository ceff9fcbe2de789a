package beyond

import (
	"bufio"
	"strconv"
	"strings"
	"testing"
)

// runtimeWaits is for how long the container runtime of the first node has waited for its
// agent, Pods with their start: how many of them for at most so many seconds, by metric.
type runtimeWaits struct {
	within []string
	counts []int
}

func (w *world) runtimeWaits(token string) (out runtimeWaits) {
	w.t.Helper()
	metrics, err := w.fromAgent(cluster.nodes[0], token, "/metrics")
	w.must("read the agent's metrics", err)
	const bucket = `sluice_nri_wait_seconds_bucket{le="`
	for lines := bufio.NewScanner(strings.NewReader(metrics)); lines.Scan(); {
		rest, is := strings.CutPrefix(lines.Text(), bucket)
		within, count, found := strings.Cut(rest, `"} `)
		if !is || !found {
			continue
		}
		n, err := strconv.Atoi(count)
		w.must("read the metric of waits", err)
		out.within, out.counts = append(out.within, within), append(out.counts, n)
	}
	if len(out.counts) == 0 {
		w.t.Fatalf("the agent has no metric of waits:\n%s", metrics)
	}
	return out
}

// since logs what was added to a histogram.
func (r runtimeWaits) since(t *testing.T, before runtimeWaits) {
	t.Helper()
	all := r.counts[len(r.counts)-1] - before.counts[len(before.counts)-1]
	at := func(share float64) string {
		for i, n := range r.counts {
			if float64(n-before.counts[i]) >= share*float64(all) {
				return r.within[i]
			}
		}
		return "?"
	}
	if all == 0 {
		t.Error("the container runtime has waited with no Pod for the agent")
		return
	}
	t.Logf("the container runtime waited with %d Pods for the agent: with half of them up to %s s, nine of ten %s s, all %s s", all, at(0.5), at(0.9), at(1))
}
