package enforcer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/nftwire"
	"github.com/sluice-net/sluice/enforcer/tables"
)

// guards brings the guards of routed Pods' interfaces into the kernel. An interface
// may vanish at any time, and a failure on one must hold up nothing else.
type guards struct {
	transact func(ctx context.Context, ops []compiler.Op) error
	metrics  *metrics
	now      func() time.Time
	// all returns the guards of all interfaces as they should be.
	all func() []compiler.GuardPlan
	// inKernel lists the chains of the guards' table.
	inKernel func() ([]string, error)
	// gone: err means that the interface is not there any more.
	gone func(veth string, err error) bool
	// failed are interfaces whose guard is not what it should be.
	failed map[string]*guardFailure
	// unneeded: the table may hold guards that nobody needs, such as an earlier
	// agent's, and they could not be removed; nil if it does not.
	unneeded *backoff
	// lastResort is when the whole table may be replaced again for the sake of guards
	// that cannot be made on their own.
	lastResort time.Time
}

// guardFailure is why a guard is not what it should be.
type guardFailure struct {
	err error
	backoff
}

func newGuards(s *syncer) *guards {
	return &guards{
		metrics: s.metrics, failed: map[string]*guardFailure{}, now: s.cfg.Clock.Now,
		all:      func() []compiler.GuardPlan { return s.compiler.Guards() },
		inKernel: func() ([]string, error) { return guardChains(s.ns) },
		gone: func(veth string, err error) bool {
			gone, asked := tables.InterfaceGone(s.ns, veth, err)
			return gone && asked == nil
		},
		transact: func(ctx context.Context, ops []compiler.Op) error {
			return s.drift.Ours(func() error { return s.tables.Transact(ctx, knftables.NetDevFamily, ops) })
		},
	}
}

// Wait is how long until something is to be tried again; negative: nothing is.
func (g *guards) Wait() time.Duration {
	out := time.Duration(-1)
	sooner := func(b backoff) {
		if d := max(0, b.next.Sub(g.now())); out < 0 || d < out {
			out = d
		}
	}
	for _, f := range g.failed {
		sooner(f.backoff)
	}
	if g.unneeded != nil {
		sooner(*g.unneeded)
	}
	return out
}

// Errors are the failures by interface.
func (g *guards) Errors() map[string]error {
	out := map[string]error{}
	for veth, f := range g.failed {
		out[veth] = f.err
	}
	return out
}

// Run changes the guards of some interfaces: all in one transaction if that
// succeeds, each on its own if not. Those that failed earlier are tried again when
// it is time, each by itself: they cost the others nothing.
func (g *guards) Run(ctx context.Context, plans []compiler.GuardPlan) {
	if len(plans) < 2 || g.transact(ctx, opsOf(plans)) != nil {
		for _, p := range plans {
			g.one(ctx, p)
		}
	}
	g.retry(ctx)
}

// lastResortPause is the least time from one replacement of the whole table for the sake
// of some guards to the next: it writes those of all other Pods, too.
const lastResortPause = 10 * time.Minute

// retry tries again what failed, each guard by itself and when it is time for that one.
// The whole table is the last resort.
func (g *guards) retry(ctx context.Context) {
	now := g.now()
	if g.unneeded != nil && g.unneeded.due(now) {
		g.tidy(ctx, g.all())
	}
	again := map[string]bool{}
	for veth, f := range g.failed {
		again[veth] = f.due(now)
	}
	if len(again) == 0 {
		return
	}
	plans, bad := g.all(), false
	known := map[string]bool{}
	for _, p := range plans {
		known[p.Veth] = true
		if again[p.Veth] {
			g.one(ctx, p)
			bad = bad || g.failed[p.Veth] != nil
		}
	}
	for veth := range g.failed {
		if !known[veth] {
			delete(g.failed, veth)
		}
	}
	if bad {
		g.resort(ctx, plans)
	}
}

// resort replaces the whole table, unless it was tried a while ago.
func (g *guards) resort(ctx context.Context, plans []compiler.GuardPlan) {
	now := g.now()
	if now.Before(g.lastResort) {
		return
	}
	g.lastResort = now.Add(lastResortPause)
	if g.whole(ctx, plans) == nil {
		clear(g.failed)
	}
}

// guardsAtOnce are how many guards make one transaction. That of all 500 of a
// node held a processor for 200 ms.
const guardsAtOnce = 16

// Replace makes all guards what they should be, over whatever is there, and
// removes what is none of them. Each is changed in one transaction, so that
// none is missing for a moment.
func (g *guards) Replace(ctx context.Context) {
	clear(g.failed)
	g.unneeded = nil
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
	if len(g.failed) > 0 {
		g.resort(ctx, plans)
	}
	g.tidy(ctx, plans)
}

func (g *guards) tidy(ctx context.Context, plans []compiler.GuardPlan) {
	err := g.removeUnneeded(ctx, plans)
	if err == nil {
		g.unneeded = nil
		return
	}
	if g.unneeded == nil {
		g.unneeded = &backoff{}
	}
	g.unneeded.failed(g.now())
	klog.FromContext(ctx).Error(err, "Failed to remove guards that are not needed")
}

// whole puts a table with these guards in the place of whatever there is.
func (g *guards) whole(ctx context.Context, plans []compiler.GuardPlan) error {
	return g.transact(ctx, append([]compiler.Op{
		{Verb: compiler.Add, Object: &compiler.Table{}},
		{Verb: compiler.Delete, Object: &compiler.Table{}},
	}, opsOf(plans)...))
}

// guardChains lists the chains of the guards' table.
func guardChains(ns netns.Namespace) (out []string, err error) {
	err = nftwire.Ask(ns, func(socket *nftwire.Socket) error {
		chains, err := socket.Read(unix.NFPROTO_NETDEV).Chains()
		for _, c := range chains {
			out = append(out, c.Name)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list guards: %w", err)
	}
	return out, nil
}

// removeUnneeded deletes the chains that belong to no guard.
func (g *guards) removeUnneeded(ctx context.Context, plans []compiler.GuardPlan) error {
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
			{Verb: compiler.Flush, Object: &compiler.Chain{Name: name}},
			{Verb: compiler.Delete, Object: &compiler.Chain{Name: name}},
		})
		if err != nil && !tables.IsNotFound(err) {
			return fmt.Errorf("remove guard chain %s: %w", name, err)
		}
	}
	return nil
}

// remade are the operations that make a guard anew, whatever its chains are now.
func remade(p compiler.GuardPlan) []compiler.Op {
	var out []compiler.Op
	for _, name := range p.Chains {
		out = append(out,
			compiler.Op{Verb: compiler.Add, Object: &compiler.Chain{Name: name}}, // or there would be nothing to delete
			compiler.Op{Verb: compiler.Flush, Object: &compiler.Chain{Name: name}},
			compiler.Op{Verb: compiler.Delete, Object: &compiler.Chain{Name: name}})
	}
	return append(out, p.Ops...)
}

func opsOf(plans []compiler.GuardPlan) []compiler.Op {
	var out []compiler.Op
	for _, p := range plans {
		out = append(out, p.Ops...)
	}
	return out
}

// one changes one guard. What cannot be changed as it is, such as a chain that somebody
// hung elsewhere, is made anew, in one transaction as well.
func (g *guards) one(ctx context.Context, p compiler.GuardPlan) {
	err := g.transact(ctx, p.Ops)
	if err != nil && !g.gone(p.Veth, err) {
		err = g.transact(ctx, remade(p))
	}
	switch {
	case err == nil:
		delete(g.failed, p.Veth)
	case g.gone(p.Veth, err):
		// The interface took its guard along.
		delete(g.failed, p.Veth)
		klog.FromContext(ctx).V(4).Info("Interface to guard is gone", "interface", p.Veth)
	default:
		g.metrics.guardFailures.Inc()
		f := g.failed[p.Veth]
		if f == nil {
			f = &guardFailure{}
			g.failed[p.Veth] = f
			klog.FromContext(ctx).Error(err, "Failed to guard a Pod's interface", "interface", p.Veth)
		}
		f.err = err
		f.backoff.failed(g.now())
	}
}
