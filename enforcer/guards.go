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
	// stale: the table may hold guards that nobody needs, such as an earlier
	// agent's.
	stale bool
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

// Waiting reports whether something is to be tried again.
func (g *guards) Waiting() bool { return g.stale || len(g.failed) > 0 }

// Run changes the guards of some interfaces: all in one transaction if that
// succeeds, each on its own if not. What failed earlier is tried again.
func (g *guards) Run(ctx context.Context, plans []compiler.GuardPlan) {
	if g.Waiting() {
		// The change of a guard that is not there makes no sense.
		g.Replace(ctx)
		return
	}
	if len(plans) > 1 && g.transact(ctx, opsOf(plans)) == nil {
		return
	}
	for _, p := range plans {
		g.one(ctx, p)
	}
}

// Replace makes all guards anew: in one transaction, so that none is missing
// for a moment, or else each on its own over what is there.
func (g *guards) Replace(ctx context.Context) {
	clear(g.failed)
	plans := g.all()
	ops := []compiler.Op{
		{Verb: compiler.Add, Object: &knftables.Table{}},
		{Verb: compiler.Delete, Object: &knftables.Table{}},
	}
	err := g.transact(ctx, append(ops, opsOf(plans)...))
	g.stale = err != nil
	if err == nil {
		return
	}
	klog.FromContext(ctx).V(2).Info("Could not replace all guards at once, trying one by one", "err", err)
	for _, p := range plans {
		g.one(ctx, p)
	}
}

func opsOf(plans []compiler.GuardPlan) []compiler.Op {
	var out []compiler.Op
	for _, p := range plans {
		out = append(out, p.Ops...)
	}
	return out
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
