package compiler_test

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/compiler/rulesim"
	"github.com/sluice-net/sluice/conformance/scale"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/spectest"
)

// foundOf is what a kernel with a ruleset is found to hold.
func foundOf(r *compiler.Ruleset) *compiler.Found {
	out := &compiler.Found{Counters: r.Counters, Chains: r.Chains}
	elements := map[string][]compiler.Element{}
	for _, s := range r.Sets {
		elements[s.Name] = s.Elements
		s.Elements = nil
		out.Sets = append(out.Sets, s)
	}
	out.Elements = func(s *compiler.Set) ([]compiler.Element, error) { return slices.Clone(elements[s.Name]), nil }
	return out
}

// cuts are the smallest transactions that a repair may be cut in.
func cuts(ops iter.Seq[compiler.Op]) iter.Seq[[]compiler.Op] {
	return func(yield func([]compiler.Op) bool) {
		var piece []compiler.Op
		for op := range ops {
			if _, rule := op.Object.(*compiler.ChainRule); !rule && len(piece) > 0 {
				if !yield(piece) {
					return
				}
				piece = nil
			}
			piece = append(piece, op)
		}
		if len(piece) > 0 {
			yield(piece)
		}
	}
}

// TestRepairThroughHistories repairs the kernels of random clusters that went on
// while nobody looked. Whatever passes before and after passes after each piece.
func TestRepairThroughHistories(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := spectest.Seeded(seed)
			c := spectest.Random(r, spectest.Options{Pods: 2 + r.IntN(14)})
			events := c.Events(r)
			h := &replay{world: newWorld(t, worldConfig(r), r.IntN(2) == 0, c, nodeNames(events)), t: t, r: r}
			for at := 0; at < len(events); {
				step := min(1+r.IntN(12), len(events)-at)
				h.repair(events[at:at+step], spectest.Replay(events[:at+step]))
				at += step
			}
		})
	}
}

func (h *replay) repair(events []spectest.Event, now *spectest.Cluster) {
	h.t.Helper()
	before := h.cluster
	now.NodeEgress = h.config.NodeEgress
	for _, name := range slices.Sorted(maps.Keys(h.nodes)) {
		n, found := h.nodes[name], &compiler.Found{}
		if n.kernel == nil {
			n.kernel = rulesim.NewKernel()
		} else {
			found = foundOf(n.compiler.Ruleset())
		}
		for _, e := range events {
			deliver(n.index, e)
		}
		n.compiler.Load(n.index, n.index.Changes(), h.links(now, name))
		allowed := h.allowed(n, before, now)
		cut := map[spectest.Flow]bool{}
		run := func(ops []compiler.Op) {
			if err := n.kernel.Transact(ops); err != nil {
				h.t.Fatalf("node %s, after %v: %v", name, events, err)
			}
			for f := range allowed {
				cut[f] = cut[f] || !h.passes(n, now, f)
			}
		}
		repair := n.compiler.Repair(found)
		for piece := range cuts(repair.Prepare()) {
			run(piece)
		}
		if err := repair.Err(); err != nil {
			h.t.Fatal(err)
		}
		run(repair.Commit())
		for _, ops := range [][]compiler.Op{repair.Shrink(), repair.Cleanup()} {
			for _, op := range ops {
				run([]compiler.Op{op})
			}
		}
		h.apply(n, events, nil)
		for f := range allowed {
			if cut[f] && h.passes(n, now, f) {
				h.t.Fatalf("node %s, after %v: %+v passes before and after, and not in between", name, events, f)
			}
		}
	}
	h.cluster = now
}

// TestRepairCosts guards the number of operations, which is what a start costs
// the kernel, and the allocations for each, whatever the machine.
func TestRepairCosts(t *testing.T) {
	cluster := scale.Large(6_000)
	x := policy.NewIndex(policy.Options{Node: scale.Node})
	if err := cluster.Fill(x); err != nil {
		t.Fatal(err)
	}
	c := newCompiler(t, compiler.Config{Mark: compiler.MarkLayout{Mask: compiler.DefaultMask}})
	c.Load(x, x.Changes(), compiler.Links{})
	ruleset := c.Ruleset()
	elements, rules := 0, 0
	for _, s := range ruleset.Sets {
		elements += len(s.Elements)
	}
	for _, ch := range ruleset.Chains {
		rules += len(ch.Rules)
	}
	structure := 1 + len(ruleset.Counters) + len(ruleset.Sets) + 2*len(ruleset.Chains) + rules
	ops := func(found *compiler.Found) (prepare, commit, rest int) {
		r := c.Repair(found)
		for range r.Prepare() {
			prepare++
		}
		if err := r.Err(); err != nil {
			t.Fatal(err)
		}
		return prepare, len(r.Commit()), len(r.Shrink()) + len(r.Cleanup())
	}
	if prepare, commit, rest := ops(&compiler.Found{}); prepare < elements || prepare+commit > elements+structure || commit > 10 || rest > 0 {
		t.Errorf("on a bare kernel %d, %d and %d operations for %d elements and %d of structure", prepare, commit, rest, elements, structure)
	}
	if prepare, commit, rest := ops(foundOf(ruleset)); prepare+commit > structure+4 || commit > 300 || rest > 0 {
		t.Errorf("where all is right %d, %d and %d operations for %d of structure", prepare, commit, rest, structure)
	}
	// A start must not hold all that it brings in memory at once.
	per := testing.AllocsPerRun(3, func() { ops(&compiler.Found{}) }) / float64(elements+structure)
	t.Logf("%.1f allocations an operation", per)
	if per > 6 {
		t.Errorf("%.1f allocations an operation", per)
	}
}

func TestRepairTellsWhatItCannotDo(t *testing.T) {
	c := newCompiler(t, compiler.Config{Mark: compiler.MarkLayout{Mask: compiler.DefaultMask}})
	unreadable := errors.New("unreadable")
	for what, damage := range map[string]func(*compiler.Found){
		"a set for a map":     func(f *compiler.Found) { f.Sets = []compiler.Set{{Name: "ingress-v4"}} },
		"intervals":           func(f *compiler.Found) { f.Sets = []compiler.Set{{Name: "local-v4", Interval: true}} },
		"a chain not hooked":  func(f *compiler.Found) { f.Chains = []compiler.Chain{{Name: "forward"}} },
		"a chain that hangs":  func(f *compiler.Found) { f.Chains = []compiler.Chain{{Name: "judged", Hook: &compiler.Hook{}}} },
		"unreadable elements": func(f *compiler.Found) { f.Sets = []compiler.Set{{Name: "local-v4"}} },
	} {
		found := &compiler.Found{Elements: func(*compiler.Set) ([]compiler.Element, error) { return nil, unreadable }}
		damage(found)
		r := c.Repair(found)
		for range r.Prepare() {
		}
		if r.Err() == nil {
			t.Errorf("%s: no error", what)
		}
		if diff := cmp.Diff(what == "unreadable elements", errors.Is(r.Err(), unreadable)); diff != "" {
			t.Errorf("%s: %v", what, r.Err())
		}
	}
}
