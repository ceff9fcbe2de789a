package compiler

import "sigs.k8s.io/knftables"

// Verb is what to do with an object.
type Verb uint8

const (
	Add Verb = iota
	Delete
	Flush
)

// Op is one operation on an object of a table, in the terms of knftables.
type Op struct {
	Verb   Verb
	Object knftables.Object
}

// Plan is a change of the ruleset in the order that keeps it exact: run
// Prepare, Commit and Cleanup as transactions of their own, in that order, and
// none before its forerunner succeeded.
//
// Why three: in the kernel a transaction switches rules, hash sets and verdict
// maps at one instant (the generation cursor), but the content of interval
// sets (pipapo, rbtree) becomes visible a little later. A packet in between
// would be judged by new rules with old intervals. So nothing that holds
// intervals ever changes: a new one is made, with a name of its own, before
// anything refers to it, and the old one goes when nothing does.
type Plan struct {
	// Prepare adds objects that nothing refers to yet. It may be cut in
	// pieces anywhere between two ops.
	Prepare []Op
	// Commit switches over. It must be one transaction.
	Commit []Op
	// Cleanup deletes what nothing refers to any more. Kernels before 6.2
	// cannot delete a chain in the transaction that takes its last reference
	// out of a map, so it is never part of Commit.
	Cleanup []Op
	// Narrows: something that was allowed may be denied now, so connections
	// must be judged anew. The epoch must change with Commit.
	Narrows bool
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool {
	return len(p.Prepare) == 0 && len(p.Commit) == 0 && len(p.Cleanup) == 0
}
