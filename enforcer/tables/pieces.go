package tables

import (
	"iter"

	"github.com/sluice-net/sluice/compiler"
)

const (
	// PieceOf is how many changes of elements make one transaction, where it may
	// be cut.
	PieceOf = 2000
	// perStructure is how many elements cost the kernel as much as one set, chain
	// or rule.
	perStructure = 4
	// apartFrom is how many elements' worth makes it worth while to keep
	// elements apart, so that they can go by the fast lane. One transaction more costs
	// the kernel a walk through all rules.
	apartFrom = PieceOf / 2
)

// Pieces cuts a transaction. The rules of a chain stay together, so that no packet meets
// half of them. Chains are not deleted together with what may have referred to
// them: kernels before 6.2 would refuse it. A piece is overwritten by the next.
func Pieces(ops iter.Seq[compiler.Op]) iter.Seq[[]compiler.Op] {
	return func(yield func([]compiler.Op) bool) {
		var piece []compiler.Op
		heavy, loosens := 0, false
		for op := range ops {
			if n := len(piece); n > 0 && !rulesOfOne(piece[n-1], op) &&
				(heavy >= PieceOf || heavy >= apartFrom && isElement(piece[n-1]) != isElement(op) || loosens && deletesChain(op)) {
				if !yield(piece) {
					return
				}
				clear(piece)
				piece, heavy, loosens = piece[:0], 0, false
			}
			piece = append(piece, op)
			loosens = loosens || op.Verb != compiler.Add && !deletesChain(op)
			heavy += weight(op)
		}
		if len(piece) > 0 {
			yield(piece)
		}
	}
}

func deletesChain(op compiler.Op) bool {
	_, chain := op.Object.(*compiler.Chain)
	return chain && op.Verb == compiler.Delete
}

func isElement(op compiler.Op) bool {
	_, ok := op.Object.(*compiler.SetElement)
	return ok
}

// rulesOfOne reports whether next adds a rule to the chain that op is about.
func rulesOfOne(op, next compiler.Op) bool {
	rule, ok := next.Object.(*compiler.ChainRule)
	if !ok {
		return false
	}
	switch o := op.Object.(type) {
	case *compiler.ChainRule:
		return o.Chain == rule.Chain
	case *compiler.Chain:
		return o.Name == rule.Chain
	}
	return false
}
