package connectivity

// admission is what passes a side for the addresses of a range. A difference has no Pods
// that nobody has made, so nothing but blocks and the own node is a condition in it.
type admission uint8

const (
	admitsNone admission = iota
	// admitsOwnNode: if it is the Pod's own node.
	admitsOwnNode
	admitsAll
)

// reach is for which addresses a side that may depend on them lets something pass.
type reach struct {
	held     bitset // classes
	all, own bool
}

func (t *moment) reach(i, family int) reach {
	s := t.spans[i]
	out := reach{held: newBitset(len(t.space.classes)), all: s.by[family] == Allowed}
	for _, id := range s.grants {
		switch g := &t.grants[id]; {
		case g.block > 0:
			out.held.add(t.space.blocks[g.block-1])
		case g.ownNode:
			out.own = true
		}
	}
	return out
}

func (r *reach) admits(class int) admission {
	switch {
	case r.all || r.held.has(class):
		return admitsAll
	case r.own:
		return admitsOwnNode
	}
	return admitsNone
}

// mayBe reports whether the other end of a side may have an address of a class. A range
// is in one class, and so is no part of it: where it is does not matter.
func (t *moment) mayBe(i, class int) bool {
	p := t.places[i]
	return p < 0 || t.Matrix.places.list[p].all.has(class)
}

// shift says whether a side lets more addresses pass than it did, and whether it lets
// fewer.
type shift struct{ more, less bool }

// shifts compare, where both depend on addresses, for which ones they let something
// pass: not how the blocks are written. Only families count over which the same is
// answered before and after, and addresses that the end may have in both clusters.
func (d *differ) shifts(old, now *moment, was, is families) (out [2]shift) {
	for f := range was {
		if was[f] != Depends || is[f] != Depends {
			continue
		}
		for i := range out {
			a, b := old.reach(i, f), now.reach(i, f)
			for r := range old.space.ranges {
				before, after := old.space.classOf[r], now.space.classOf[r]
				if family(old.space.ranges[r].First) != f || !old.mayBe(i, before) || !now.mayBe(i, after) {
					continue
				}
				out[i].more = out[i].more || b.admits(after) > a.admits(before)
				out[i].less = out[i].less || b.admits(after) < a.admits(before)
			}
		}
	}
	return out
}
