package compiler_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/compiler/rulesim"
	"github.com/sluice-net/sluice/policy/spectest"
)

// TestAgreementThroughHistories replays random histories on all nodes. After
// each step the kernel holds what the compiler would install at once, and judges
// as the naive evaluator does. When a flow was let through before and is not any
// more, the plan said so: else connections that were judged before would live on.
func TestAgreementThroughHistories(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := spectest.Seeded(seed)
			c := spectest.Random(r, spectest.Options{Invalid: r.IntN(3) == 0, Pods: 2 + r.IntN(14), Modes: r.IntN(4) == 0})
			events := c.Events(r)
			w := newWorld(t, worldConfig(r), r.IntN(2) == 0, c, nodeNames(events))
			switch seed % 3 {
			case 0:
				w.crowd(r)
			case 1:
				w.leaves(r)
			}
			begins := r.IntN(3 * len(events))
			h := &replay{world: w, t: t, r: r}
			for at := 0; at < len(events); {
				step := min(1+r.IntN(4), len(events)-at)
				w.ipvs = at >= begins
				h.step(events[at:at+step], spectest.Replay(events[:at+step]))
				at += step
			}
		})
	}
}

// replay follows a world through its events.
type replay struct {
	*world
	t *testing.T
	r *rand.Rand
}

func (h *replay) step(events []spectest.Event, now *spectest.Cluster) {
	h.t.Helper()
	before := h.cluster
	now.NodeEgress = h.config.NodeEgress
	for _, e := range events {
		deliver(h.whole, e)
		for _, n := range h.nodes {
			deliver(n.index, e)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h.nodes)) {
		n := h.nodes[name]
		plan := n.compiler.Update(n.index, n.index.Changes(), h.links(now, name))
		if n.kernel == nil {
			n.kernel = rulesim.NewKernel()
			h.apply(n, events, n.kernel.Transact(n.compiler.Replace()))
			continue
		}
		if plan.Narrows {
			n.epoch = n.epoch%3 + 1
			plan.Commit = append(plan.Commit, n.compiler.SetEpoch(n.epoch, false)...)
		}
		allowed := h.allowed(n, before, now)
		if plan.Divisible && len(plan.Commit) > 1 {
			h.divided(n, before, now, &plan)
		}
		h.apply(n, events, n.kernel.Apply(plan))
		for f := range allowed {
			if !h.passes(n, now, f) && !plan.Narrows {
				h.t.Fatalf("node %s, after %v: %+v was allowed and is not, but the plan does not say that it narrows", name, events, f)
			}
		}
	}
	h.cluster = now
	for range 10 {
		f := now.RandomFlow(h.r)
		if problem := h.disagreement(h.r, f); problem != "" {
			h.t.Fatalf("after %v, flow %+v: %s", events, f, problem)
		}
	}
}

// divided runs all of a Commit but its rest in the smallest pieces, and leaves the
// rest in the plan. Between two of them everything must be as before or after.
func (h *replay) divided(n *host, before, now *spectest.Cluster, plan *compiler.Plan) {
	h.t.Helper()
	join, leave, rest := plan.Divide()
	type seen struct{ before, sometimes, always bool }
	flows := map[spectest.Flow]seen{}
	for range 20 {
		for _, c := range []*spectest.Cluster{before, now} {
			if f := c.RandomFlow(h.r); len(now.Pods) > 0 {
				passes := h.passes(n, now, f)
				flows[f] = seen{passes, passes, passes}
			}
		}
	}
	if err := n.kernel.Apply(compiler.Plan{Prepare: plan.Prepare}); err != nil {
		h.t.Fatal(err)
	}
	for _, op := range slices.Concat(join, leave) {
		if err := n.kernel.Transact([]compiler.Op{op}); err != nil {
			h.t.Fatalf("node %s: %v", n.name, err)
		}
		for f, s := range flows {
			passes := h.passes(n, now, f)
			flows[f] = seen{s.before, s.sometimes || passes, s.always && passes}
		}
	}
	for f, s := range flows {
		after := h.passes(n, now, f)
		if s.sometimes && !s.before && !after || s.before && after && !s.always {
			h.t.Fatalf("node %s: %+v passes before %t, after %t, in between sometimes %t, always %t", n.name, f, s.before, after, s.sometimes, s.always)
		}
	}
	plan.Prepare, plan.Commit = nil, rest
}

func (h *replay) apply(n *host, events []spectest.Event, err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatalf("node %s, after %v: %v", n.name, events, err)
	}
	fresh, err := rulesim.Load(n.compiler.Ruleset().String())
	if err != nil {
		h.t.Fatalf("node %s, after %v: %v\n%s", n.name, events, err, n.compiler.Ruleset())
	}
	if diff := cmp.Diff(fresh.Dump(), n.kernel.Dump()); diff != "" {
		h.t.Fatalf("node %s, after %v: the plan does not lead to the ruleset (-want +got)\n%s", n.name, events, diff)
	}
}

// allowed draws flows that the node lets through before the change.
func (h *replay) allowed(n *host, before, now *spectest.Cluster) map[spectest.Flow]bool {
	out := map[spectest.Flow]bool{}
	for range 20 {
		for _, c := range []*spectest.Cluster{before, now} {
			f := c.RandomFlow(h.r)
			if len(c.Pods) > 0 && h.passes(n, now, f) {
				out[f] = true
			}
		}
	}
	return out
}

// passes judges a flow on the node's kernel as it is, on the way that it takes
// in the cluster c.
func (h *replay) passes(n *host, c *spectest.Cluster, f spectest.Flow) bool {
	at := *h.world
	at.cluster = c
	for _, l := range at.legs(f) {
		for _, hop := range l.there {
			if hop.Kernel != n.kernel {
				continue
			}
			conn := rulesim.Connection{There: []rulesim.Hop{hop}, Flow: rulesim.Flow{
				Src: f.Src, Dst: f.Dst, Protocol: f.Protocol, FromPort: 40000, ToPort: f.Port}}
			if !rulesim.Passed(conn.Judged(false, 0)) {
				return false
			}
		}
	}
	return true
}
