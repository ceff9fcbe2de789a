package compiler

// Verb is what to do with an object.
type Verb uint8

const (
	Add Verb = iota
	Delete
	Flush
)

// Op is one operation on an object of a table: those of a [GuardPlan] are of table
// netdev sluice, those of Plan.Ports of table bridge sluice, all others of table
// inet sluice.
type Op struct {
	Verb   Verb
	Object Object
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
	// Commit switches over. It must be one transaction, unless it is divisible.
	Commit []Op
	// Divisible: Commit changes nothing but who is in which group, and may be
	// divided. A namespace with tens of thousands of Pods that changes its labels
	// would hold a processor for too long.
	Divisible bool
	// Cleanup deletes what nothing refers to any more. It may be cut in pieces
	// anywhere between two ops. Kernels before 6.2 cannot delete a chain in the
	// transaction that takes its last reference out of a map, so it is never
	// part of Commit, and such kernels need it cut before the first deletion of
	// a chain.
	Cleanup []Op
	// Ports and Opens are what changes of the guards of bridge ports: elements, each a
	// transaction in table bridge sluice. Ports closes, and goes before Commit: nobody may
	// pose as a Pod whose address the main table trusts. Opens goes after Commit: on a
	// bridge with an uplink the main table cannot tell a Pod's address that it does not
	// know from any other, so a port must not be open before it does.
	Ports, Opens []Op
	// Guards are the changes of the guards of routed veths, each a transaction of its own in table
	// netdev sluice, in any order. They do not depend on the other parts.
	Guards []GuardPlan
	// Narrows: something that was allowed may be denied now, so connections
	// must be judged anew. The epoch must change with Commit.
	Narrows bool
}

// Divide divides a Commit of a plan that is divisible, with whatever was added to
// it: first all that joins a group, then all that leaves one, both to be cut
// anywhere between two ops, then the rest as one transaction. A packet in
// between passes if it would before or would after, and what passes before and
// after always passes: the rules are the same, and each address is in a group
// if it was or will be.
func (p Plan) Divide() (join, leave, rest []Op) {
	for _, op := range p.Commit {
		_, element := op.Object.(*SetElement)
		switch {
		case !element:
			rest = append(rest, op)
		case op.Verb == Add:
			join = append(join, op)
		default:
			leave = append(leave, op)
		}
	}
	return join, leave, rest
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool {
	return len(p.Prepare) == 0 && len(p.Commit) == 0 && len(p.Cleanup) == 0 && len(p.Ports) == 0 && len(p.Opens) == 0 && len(p.Guards) == 0
}

// GuardPlan makes the guard of one veth what it should be, whatever it was: it
// can be run again, and after any failure.
type GuardPlan struct {
	Veth string
	// Chains are the names of the guard's chains, empty if it is removed.
	// Chains of the table that are in no guard of [Compiler.Guards] are
	// leftovers.
	Chains []string
	// Ops are one transaction. Kernels differ in what becomes of a chain whose
	// device vanishes: up to 6.15 it goes with the device (or stays without
	// one), and ops on it or a chain for the vanished device answer "not found";
	// from 6.16 it stays and waits for a device of that name. So "not found"
	// means that there is nothing to guard, and is no failure; a veth that
	// comes back is guarded with the next change of its Pod's [Bind], which it
	// needs anyway. An op never fails because the guard is there already, or
	// is not there to be removed.
	Ops []Op
}
