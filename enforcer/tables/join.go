package tables

import "github.com/sluice-net/sluice/compiler"

// Join moves of a plan's Prepare to its Commit what need not be a transaction by itself,
// if it is small. Whenever a transaction brings a rule, or leads from a set that rules
// name to a chain, the kernel walks all rules of the table before it accepts: with
// thousands of rules this costs more than the change. So rules come once, in the
// transaction that leads to them.
//
// What has intervals must be there before, for their content shows a moment after the
// rules do. To make it takes no walk: nothing but maps that nobody asks yet lead to
// chains then, and these are empty. Without intervals nothing has to be there before.
func Join(p compiler.Plan) (prepare, commit []compiler.Op) {
	if p.Divisible || weightOf(p.Prepare)+weightOf(p.Commit) > PieceOf {
		return p.Prepare, p.Commit
	}
	before := 0
	for i, op := range p.Prepare {
		if _, rule := op.Object.(*compiler.ChainRule); rule {
			break
		}
		if hasIntervals(op) {
			before = i + 1
		}
	}
	if before == len(p.Prepare) {
		return p.Prepare, p.Commit
	}
	return p.Prepare[:before:before], append(p.Prepare[before:len(p.Prepare):len(p.Prepare)], p.Commit...)
}

// hasIntervals reports whether an operation is about a set with intervals.
func hasIntervals(op compiler.Op) bool {
	switch o := op.Object.(type) {
	case *compiler.Set:
		return o.Interval
	case *compiler.SetElement:
		return o.Set.Interval
	}
	return false
}

// weightOf is how much operations are, in elements.
func weightOf(ops []compiler.Op) int {
	out := 0
	for _, op := range ops {
		out += weight(op)
	}
	return out
}

func weight(op compiler.Op) int {
	if isElement(op) {
		return 1
	}
	return perStructure
}
