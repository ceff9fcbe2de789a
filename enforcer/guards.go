package enforcer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
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
	// inKernel lists the chains of the guards' table.
	inKernel func() ([]string, error)
	// failed are interfaces whose guard is not what it should be, and why.
	failed map[string]error
	// stale: the table may hold guards that nobody needs, such as an earlier
	// agent's, and they could not be removed.
	stale bool
}

func newGuards(s *syncer) *guards {
	return &guards{
		metrics: s.metrics, failed: map[string]error{},
		all:      func() []compiler.GuardPlan { return s.compiler.Guards() },
		inKernel: func() ([]string, error) { return guardChains(s.ns) },
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

// guardsAtOnce are how many guards make one transaction. That of all 500 of a
// node held a processor for 200 ms.
const guardsAtOnce = 16

// Replace makes all guards what they should be, over whatever is there, and
// removes what is none of them. Each is changed in one transaction, so that
// none is missing for a moment. What cannot be changed, such as a chain that
// somebody hung elsewhere, only goes with the whole table.
func (g *guards) Replace(ctx context.Context) {
	clear(g.failed)
	g.stale = false
	plans := g.all()
	if len(plans) == 0 && g.whole(ctx, nil) == nil {
		return
	}
	for some := range slices.Chunk(plans, guardsAtOnce) {
		err := g.transact(ctx, opsOf(some))
		if err == nil {
			continue
		}
		klog.FromContext(ctx).V(2).Info("Could not replace guards together, trying one by one", "err", err)
		for _, p := range some {
			g.one(ctx, p)
		}
	}
	if len(g.failed) > 0 && g.whole(ctx, plans) == nil {
		clear(g.failed)
		return
	}
	if err := g.removeLeftovers(ctx, plans); err != nil {
		g.stale = true
		klog.FromContext(ctx).Error(err, "Failed to remove guards that are not needed")
	}
}

// whole puts a table with these guards in the place of whatever there is.
func (g *guards) whole(ctx context.Context, plans []compiler.GuardPlan) error {
	return g.transact(ctx, append([]compiler.Op{
		{Verb: compiler.Add, Object: &knftables.Table{}},
		{Verb: compiler.Delete, Object: &knftables.Table{}},
	}, opsOf(plans)...))
}

// removeLeftovers deletes the chains that belong to no guard.
func (g *guards) removeLeftovers(ctx context.Context, plans []compiler.GuardPlan) error {
	chains, err := g.inKernel()
	if err != nil {
		return err
	}
	needed := map[string]bool{}
	for _, p := range plans {
		for _, name := range p.Chains {
			needed[name] = true
		}
	}
	for _, name := range chains {
		if needed[name] {
			continue
		}
		err := g.transact(ctx, []compiler.Op{
			{Verb: compiler.Flush, Object: &knftables.Chain{Name: name}},
			{Verb: compiler.Delete, Object: &knftables.Chain{Name: name}},
		})
		if err != nil && !isNotFound(err) {
			return fmt.Errorf("remove guard chain %s: %w", name, err)
		}
	}
	return nil
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
	case isNotFound(err):
		// The interface is gone and took its guard along.
		delete(g.failed, p.Veth)
		klog.FromContext(ctx).V(4).Info("Interface to guard is gone", "interface", p.Veth)
	default:
		g.metrics.guardFailures.Inc()
		g.failed[p.Veth] = err
		klog.FromContext(ctx).Error(err, "Failed to guard a Pod's interface", "interface", p.Veth)
	}
}

// isNotFound: in nft's words or in the kernel's.
func isNotFound(err error) bool {
	return knftables.IsNotFound(err) || errors.Is(err, unix.ENOENT)
}
