package tables

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/compiler"
)

func TestPiecesAreBounded(t *testing.T) {
	element := compiler.Op{Object: &compiler.SetElement{Set: &compiler.Set{}}}
	rule := func(chain string) compiler.Op { return compiler.Op{Object: &compiler.ChainRule{Chain: chain}} }
	flush := compiler.Op{Verb: compiler.Flush, Object: &compiler.Chain{Name: "c"}}
	other := compiler.Op{Object: &compiler.Counter{}}
	sizes := func(ops ...compiler.Op) (out []int) {
		for p := range Pieces(slices.Values(ops)) {
			out = append(out, len(p))
		}
		return out
	}
	many := func(op compiler.Op, n int) []compiler.Op { return slices.Repeat([]compiler.Op{op}, n) }
	for what, tc := range map[string]struct {
		ops  []compiler.Op
		want []int
	}{
		"none":            {nil, nil},
		"few go together": {append(many(element, 10), rule("c"), element), []int{12}},
		"elements are apart": {append(many(rule("c"), apartFrom/perStructure), many(element, PieceOf+1)...),
			[]int{apartFrom / perStructure, PieceOf, 1}},
		"structure weighs more": {many(other, 2*PieceOf/perStructure), []int{PieceOf / perStructure, PieceOf / perStructure}},
		"a chain stays whole": {slices.Concat(many(other, PieceOf/perStructure-1), []compiler.Op{flush}, many(rule("c"), 5), many(rule("d"), 3)),
			[]int{PieceOf/perStructure + 5, 3}},
	} {
		if diff := cmp.Diff(tc.want, sizes(tc.ops...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}
