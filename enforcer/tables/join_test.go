package tables

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/compiler"
)

func TestJoinLeavesBeforeWhatHasIntervals(t *testing.T) {
	hash, ranges := &compiler.Set{Name: "p"}, &compiler.Set{Name: "r", Interval: true}
	chain := compiler.Op{Object: &compiler.Chain{Name: "c"}}
	declares := func(s *compiler.Set) compiler.Op { return compiler.Op{Object: s} }
	element := func(s *compiler.Set) compiler.Op { return compiler.Op{Object: &compiler.SetElement{Set: s}} }
	rule, leads := compiler.Op{Object: &compiler.ChainRule{Chain: "c"}}, compiler.Op{Object: &compiler.SetElement{Set: &compiler.Set{Name: "ingress-v4"}}}
	commit := []compiler.Op{leads}
	for what, tc := range map[string]struct {
		plan   compiler.Plan
		before int
	}{
		"nothing to prepare": {compiler.Plan{Commit: commit}, 0},
		"no intervals": {compiler.Plan{
			Prepare: []compiler.Op{chain, declares(hash), element(hash), rule}, Commit: commit,
		}, 0},
		"up to the last that has any": {compiler.Plan{
			Prepare: []compiler.Op{chain, declares(hash), declares(ranges), element(ranges), element(ranges), element(hash), rule, rule}, Commit: commit,
		}, 5},
		"no rules": {compiler.Plan{
			Prepare: []compiler.Op{declares(ranges), element(ranges)}, Commit: commit,
		}, 2},
		"a large one stays": {compiler.Plan{
			Prepare: slices.Repeat([]compiler.Op{rule}, PieceOf/perStructure), Commit: commit,
		}, PieceOf / perStructure},
		"so does one whose commit is to be divided": {compiler.Plan{
			Prepare: []compiler.Op{chain, rule}, Commit: commit, Divisible: true,
		}, 2},
	} {
		t.Run(what, func(t *testing.T) {
			all := slices.Concat(tc.plan.Prepare, tc.plan.Commit)
			prepare, commit := Join(tc.plan)
			if len(prepare) != tc.before {
				t.Errorf("%d operations stay before, want %d", len(prepare), tc.before)
			}
			same := cmp.Comparer(func(a, b compiler.Op) bool { return a == b })
			if diff := cmp.Diff(all, slices.Concat(prepare, commit), same); diff != "" {
				t.Errorf("not the same operations in the same order (-want +got):\n%s", diff)
			}
		})
	}
}
