package enforcer

import (
	"context"
	"maps"
	"slices"

	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/tables"
)

// growing is a counter of the kernel's.
type growing struct {
	// counted is what it was when it was last read.
	counted uint64
	known   bool
}

// read takes in what the kernel counted, and returns by how much that grew. It begins anew
// with a new table, and an earlier agent may have left it where it is.
func (g *growing) read(counted uint64) int {
	was, known := g.counted, g.known
	g.counted, g.known = counted, true
	if !known {
		return 0
	}
	if counted < was {
		was = 0
	}
	return int(counted - was)
}

// dropCounters are those of packets that are dropped and of which nobody is told
// one by one, by the name of the counter.
type dropCounters map[string]*growing

// watchDrops takes what the kernel counted into the metrics.
func (s *syncer) watchDrops(ctx context.Context) {
	if s.drops == nil {
		s.drops = dropCounters{}
	}
	names := append(slices.Sorted(maps.Values(compiler.DropCounters)), compiler.UntoldCounter)
	found, err := tables.ReadCounters(s.ns, names...)
	if err != nil {
		klog.FromContext(ctx).V(2).Info("Failed to read counters of dropped packets", "err", err)
		return
	}
	grown := func(name string) float64 {
		g := s.drops[name]
		if g == nil {
			g = &growing{}
			s.drops[name] = g
		}
		return float64(g.read(found[name]))
	}
	for reason, name := range compiler.DropCounters {
		s.metrics.dropped.WithLabelValues(reason).Add(grown(name))
	}
	s.metrics.untold.Add(grown(compiler.UntoldCounter))
}
