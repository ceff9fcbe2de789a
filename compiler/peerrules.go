package compiler

import "github.com/sluice-net/sluice/policy"

// separateGroups is up to how many groups have sets of their own in a chain.
// A packet then costs a lookup for each, but a set of one group is shared by
// all chains that name it, and no address is held twice: a group of every Pod
// of the cluster costs its memory once. More groups are merged, so that the
// cost of a packet stays constant.
//
// Where there are many stretches, what few rules cover together is merged from foldedFrom
// groups on, for its rules are as many as these. Groups of whole namespaces stay apart
// even there: they are the large ones.
const (
	separateGroups = 4
	foldedFrom     = 3
)

// sets are the groups that have a set together.
func (p *peers) sets(folds bool) [][]policy.GroupKey {
	switch {
	case len(p.groups) == 0:
		return nil
	case len(p.groups) > separateGroups:
		return [][]policy.GroupKey{p.groups}
	}
	var out [][]policy.GroupKey
	var some []policy.GroupKey
	for i, g := range p.groups {
		if folds && !g.Everybody() {
			some = append(some, g)
		} else {
			out = append(out, p.groups[i:i+1])
		}
	}
	if len(some) >= foldedFrom {
		return append(out, some)
	}
	for i := range some {
		out = append(out, some[i:i+1])
	}
	return out
}

// rules is how many rules let the peers pass.
func (p *peers) rules(folds bool) int {
	if p.any {
		return 1
	}
	ranges := len(p.ranges)
	if ranges > fewRanges {
		ranges = 1
	}
	return len(p.sets(folds)) + ranges
}

// peers lets addresses pass, if what stands before matches too.
func (b *chainBuilder) peers(before []Term, p *peers) {
	at := peerField(b.family, b.direction, b.way)
	add := func(match Term) {
		terms := make([]Term, 0, len(before)+2)
		b.rule(append(append(terms, before...), match, b.allow())...)
	}
	if p.any {
		b.rule(append(before[:len(before):len(before)], b.allow())...)
		return
	}
	for _, groups := range p.sets(b.folds) {
		add(b.in(membersObject(newMemberSet(b.family, groups)), at))
	}
	if len(p.ranges) > fewRanges {
		add(b.in(blocksObject(b.family, p.ranges), at))
		return
	}
	for _, r := range p.ranges {
		add(r.match(at))
	}
}
