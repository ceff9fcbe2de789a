package compiler

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/sluice-net/sluice/policy"
)

// grant is what some rules allow: all of their peers all of their ports.
type grant struct {
	peers peers
	// spans are sorted and disjoint, and none touches the next. They have no class.
	spans []portSpan
}

// size is how much the grant has to say.
func (g *grant) size() int { return len(g.peers.groups) + len(g.peers.ranges) + len(g.spans) }

// crowd is the form of an allow set that is out of all proportion when it is cut into
// classes. All of it together is as large as the rules, but for a factor: a grant is a
// rule or two in the chain of a leaf, and stands in so many nodes of a tree as a
// binary search has steps.
type crowd struct {
	// listed are asked one after the other: the product of their peers and ports is
	// too large for a tree. They are few, for each is large by itself.
	listed []grant
	// trees are by protocol.
	trees []portTree
}

// portTree halves the ports of a protocol until there are few ends of ranges in each
// leaf. A grant whose range covers a leaf, or all of a half, is in that and not asked
// for its ports any more; it is compared in the leaves in which its range begins or
// ends.
//
// So a first packet costs a lookup for each level of the tree, and a comparison for
// each end in its leaf. Halves are those of the numbers, not of the ends: a range that
// changes leaves most of the leaves as they are.
type portTree struct {
	protocol policy.Protocol
	root     *portNode
}

// portNode has the ports from first up to but without end.
type portNode struct {
	first, end uint32
	// low and high are its halves, nil in a leaf.
	low, high *portNode
	// attached are who may use all of the ports, peers the same together.
	attached []peers
	peers    peers
	// partial are the grants that begin or end in a leaf.
	partial []partialGrant
}

type partialGrant struct {
	peers *peers
	span  portSpan
}

// crowded puts the rules into that form.
func (a *allowance) crowded(rules []policy.AllowRule, f family, l *limits) *crowd {
	grants := a.grants(rules, f)
	ends := 0
	for i := range grants {
		ends += 2 * len(grants[i].spans)
	}
	leaves := min(max(ends/l.leaf, 1), l.leaves)
	out := &crowd{}
	var treed []grant
	for _, g := range grants {
		if g.fitsTree(leaves) {
			treed = append(treed, g)
		} else {
			out.listed = append(out.listed, g)
		}
	}
	for _, p := range []policy.Protocol{policy.TCP, policy.UDP, policy.SCTP} {
		if t := newPortTree(p, treed, l); t != nil {
			out.trees = append(out.trees, *t)
		}
	}
	return out
}

const (
	// treeRules and treeTerms are how many times its size a grant may take in a
	// tree, in rules and in elements.
	treeRules = 4
	treeTerms = 32
)

// fitsTree reports whether the grant is in a tree about as large as it is.
func (g *grant) fitsTree(leaves int) bool {
	nodes := min(2*leaves, 2*bits.Len(uint(leaves))*len(g.spans))
	terms := len(g.peers.groups) + len(g.peers.ranges)
	return 2*len(g.spans)*g.peers.rules(false) <= treeRules*(g.size()+1) && terms*nodes <= treeTerms*(g.size()+1)
}

// grants are those of the rules with ports, first with all the ports of the same
// peers together, and then with all the peers of the same ports.
func (a *allowance) grants(rules []policy.AllowRule, f family) []grant {
	var byPeers, byPorts []grant
	known := map[string]int{}
	for i := range rules {
		if len(rules[i].Ports) == 0 {
			continue
		}
		p := unitePeers(rules[i:i+1], f, func(*policy.AllowRule) bool { return true })
		if p = a.without(p); p.empty() {
			continue
		}
		at := place(known, p.key(), &byPeers, grant{peers: p})
		for _, r := range rules[i].Ports {
			if r.First <= r.Last {
				byPeers[at].spans = append(byPeers[at].spans, portSpan{protocol: r.Protocol, first: r.First, last: r.Last})
			}
		}
	}
	clear(known)
	parts := map[int][]peers{}
	for _, g := range byPeers {
		if g.spans = uniteSpans(g.spans); len(g.spans) == 0 {
			continue
		}
		at := place(known, spansKey(g.spans), &byPorts, g)
		parts[at] = append(parts[at], g.peers)
	}
	for at := range byPorts {
		byPorts[at].peers = uniteAll(parts[at])
	}
	return byPorts
}

// place is where the grant of a key is, which is put there if there is none.
func place(known map[string]int, key string, list *[]grant, g grant) int {
	at, ok := known[key]
	if !ok {
		at = len(*list)
		known[key] = at
		*list = append(*list, g)
	}
	return at
}

// uniteAll is the union of peers.
func uniteAll(list []peers) peers {
	if len(list) == 1 {
		return list[0]
	}
	var out peers
	for _, p := range list {
		if p.any {
			return p
		}
		out.groups = append(out.groups, p.groups...)
		out.ranges = append(out.ranges, p.ranges...)
	}
	return out.united()
}

// uniteSpans merges spans into the fewest.
func uniteSpans(list []portSpan) []portSpan {
	slices.SortFunc(list, func(a, b portSpan) int {
		return cmp.Or(cmp.Compare(a.protocol, b.protocol), cmp.Compare(a.first, b.first))
	})
	var out []portSpan
	for _, s := range list {
		if n := len(out) - 1; n >= 0 && out[n].protocol == s.protocol && uint32(s.first) <= uint32(out[n].last)+1 {
			out[n].last = max(out[n].last, s.last)
			continue
		}
		out = append(out, s)
	}
	return out
}

// newPortTree has the ports of one protocol, nil if the grants have none.
func newPortTree(protocol policy.Protocol, grants []grant, l *limits) *portTree {
	var ends []uint32
	for i := range grants {
		for _, s := range grants[i].spans {
			if s.protocol == protocol {
				ends = append(ends, uint32(s.first), uint32(s.last)+1)
			}
		}
	}
	if len(ends) == 0 {
		return nil
	}
	slices.Sort(ends)
	few := l.leaf
	for few*l.leaves < len(ends)/2 {
		few *= 2
	}
	t := &portTree{protocol: protocol, root: halve(0, 1<<16, ends, few)}
	for i := range grants {
		for _, s := range grants[i].spans {
			if s.protocol == protocol {
				t.root.enter(&grants[i].peers, s)
			}
		}
	}
	t.root.unite()
	return t
}

// halve makes the nodes of some ports. ends are sorted.
func halve(first, end uint32, ends []uint32, few int) *portNode {
	// What begins or ends where the node does, covers it or is not in it.
	from, _ := slices.BinarySearch(ends, first+1)
	to, _ := slices.BinarySearch(ends, end)
	n := &portNode{first: first, end: end}
	if ends = ends[from:to]; len(ends) > few {
		middle := (first + end) / 2
		n.low, n.high = halve(first, middle, ends, few), halve(middle, end, ends, few)
	}
	return n
}

// enter puts a span into the nodes and leaves that it belongs to.
func (n *portNode) enter(p *peers, s portSpan) {
	switch first, end := uint32(s.first), uint32(s.last)+1; {
	case end <= n.first || n.end <= first:
	case first <= n.first && n.end <= end:
		n.attached = append(n.attached, *p)
	case n.low == nil:
		n.partial = append(n.partial, partialGrant{p, s})
	default:
		n.low.enter(p, s)
		n.high.enter(p, s)
	}
}

func (n *portNode) unite() {
	if len(n.attached) > 0 {
		n.peers, n.attached = uniteAll(n.attached), nil
	}
	if n.low != nil {
		n.low.unite()
		n.high.unite()
	}
}

// eachLeaf yields each leaf with the nodes from the root down to it that have peers.
func (t *portTree) eachLeaf(yield func(leaf *portNode, path []*portNode)) {
	var down func(n *portNode, path []*portNode)
	down = func(n *portNode, path []*portNode) {
		if !n.peers.empty() {
			path = append(path[:len(path):len(path)], n)
		}
		if n.low == nil {
			yield(n, path)
			return
		}
		down(n.low, path)
		down(n.high, path)
	}
	down(t.root, nil)
}

// span is the ports of a leaf.
func (t *portTree) span(leaf *portNode) portSpan {
	return portSpan{protocol: t.protocol, first: uint16(leaf.first), last: uint16(leaf.end - 1)}
}
