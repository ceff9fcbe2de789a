package enforcer

import (
	"context"

	"k8s.io/klog/v2"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
)

// guards brings the guards of Pod interfaces into the kernel. An interface may
// vanish at any time, and a failure on one must hold up nothing else.
type guards struct {
	transact func(ctx context.Context, ops []compiler.Op) error
	metrics  *metrics
	// all returns the guards of all interfaces as they should be.
	all func() []compiler.GuardPlan
	// failed are interfaces whose guard is not what it should be.
	failed map[string]bool
	// leftover are the chains that an earlier agent left.
	leftover []string
}

func newGuards(s *syncer) *guards {
	return &guards{
		metrics: s.metrics, failed: map[string]bool{},
		all: func() []compiler.GuardPlan { return s.compiler.Guards() },
		transact: func(ctx context.Context, ops []compiler.Op) error {
			return s.drift.Ours(func() error { return s.tables.Transact(ctx, knftables.NetDevFamily, ops) })
		},
	}
}

// Inherit names the chains that an earlier agent left. Those that are not used
// any more go with the first Replace.
func (g *guards) Inherit(chains []string) { g.leftover = chains }

// Waiting reports whether some guard is to be tried again.
func (g *guards) Waiting() bool { return len(g.failed) > 0 }

// Run changes the guards of some interfaces: all in one transaction if that
// succeeds, each on its own if not.
func (g *guards) Run(ctx context.Context, plans []compiler.GuardPlan) {
	if len(plans) == 0 {
		return
	}
	var all []compiler.Op
	for _, p := range plans {
		all = append(all, p.Ops...)
	}
	if len(plans) > 1 && g.transact(ctx, all) == nil {
		for _, p := range plans {
			delete(g.failed, p.Veth)
		}
		return
	}
	for _, p := range plans {
		g.one(ctx, p)
	}
}

func (g *guards) one(ctx context.Context, p compiler.GuardPlan) {
	err := g.transact(ctx, p.Ops)
	switch {
	case err == nil:
		delete(g.failed, p.Veth)
	case knftables.IsNotFound(err):
		// The interface is gone and took its guard along.
		delete(g.failed, p.Veth)
		klog.FromContext(ctx).V(4).Info("Interface to guard is gone", "interface", p.Veth)
	default:
		g.metrics.guardFailures.Inc()
		g.failed[p.Veth] = true
		klog.FromContext(ctx).Error(err, "Failed to guard a Pod's interface", "interface", p.Veth)
	}
}

// Replace makes all guards anew, and removes those that an earlier agent left
// and nobody needs.
func (g *guards) Replace(ctx context.Context) {
	clear(g.failed)
	g.Run(ctx, g.all())
}
