package compiler

import (
	"cmp"
	"math/bits"
	"slices"
	"sort"

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

// portTree divides the ports of a protocol into leaves, with about as many ends of
// ranges in each, and these into halves, quarters and so on up to the whole. A grant
// whose range covers a leaf, or all of a half, is in that and not asked for its ports
// any more; it is compared in the leaves in which its range begins or ends.
//
// So a first packet costs a lookup for each level of the tree, and a comparison for
// each end in its leaf.
type portTree struct {
	protocol policy.Protocol
	// bounds are where leaves begin, and where the last one has ended.
	bounds []uint32
	// nodes are the peers that may use all ports below: those of the root at 1, of
	// the children of n at 2n and 2n+1.
	nodes []peers
	// partial are the grants by leaf that begin or end in it.
	partial [][]partialGrant
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
	return 2*len(g.spans)*g.peers.rules() <= treeRules*(g.size()+1) && terms*nodes <= treeTerms*(g.size()+1)
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
	t := &portTree{protocol: protocol}
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
	ends = slices.Compact(ends)
	step := max(l.leaf, (len(ends)+l.leaves-1)/l.leaves)
	for i := 0; i < len(ends)-1; i += step {
		t.bounds = append(t.bounds, ends[i])
	}
	t.bounds = append(t.bounds, ends[len(ends)-1])
	t.partial = make([][]partialGrant, len(t.bounds)-1)
	attached := make([][]peers, 4*len(t.partial))
	for i := range grants {
		for _, s := range grants[i].spans {
			if s.protocol == protocol {
				t.enter(attached, &grants[i].peers, s)
			}
		}
	}
	t.nodes = make([]peers, len(attached))
	for n, list := range attached {
		if len(list) > 0 {
			t.nodes[n] = uniteAll(list)
		}
	}
	return t
}

// enter puts a span into the leaves and nodes that it belongs to.
func (t *portTree) enter(attached [][]peers, p *peers, s portSpan) {
	first, end := uint32(s.first), uint32(s.last)+1
	begins, ends := t.leafOf(first), t.leafOf(end-1)
	from, to := begins, ends+1
	if first != t.bounds[begins] {
		from++
	}
	if end != t.bounds[ends+1] {
		to--
	}
	part := partialGrant{p, s}
	if from > begins {
		t.partial[begins] = append(t.partial[begins], part)
	}
	if to <= ends && (ends != begins || from == begins) {
		t.partial[ends] = append(t.partial[ends], part)
	}
	if from < to {
		attach(attached, 1, 0, len(t.partial), from, to, p)
	}
}

// leafOf is the leaf of a port that is within the bounds.
func (t *portTree) leafOf(port uint32) int {
	return sort.Search(len(t.bounds), func(i int) bool { return t.bounds[i] > port }) - 1
}

// attach puts the peers into the fewest nodes that are all of the leaves from, up to
// but without to. The node has those from low to high.
func attach(nodes [][]peers, node, low, high, from, to int, p *peers) {
	if from <= low && high <= to {
		nodes[node] = append(nodes[node], *p)
		return
	}
	middle := (low + high) / 2
	if from < middle {
		attach(nodes, 2*node, low, middle, from, to, p)
	}
	if to > middle {
		attach(nodes, 2*node+1, middle, high, from, to, p)
	}
}

// eachLeaf yields each leaf with the nodes from the root down to it that have peers.
func (t *portTree) eachLeaf(yield func(leaf int, path []int)) {
	var down func(node, low, high int, path []int)
	down = func(node, low, high int, path []int) {
		if !t.nodes[node].empty() {
			path = append(path[:len(path):len(path)], node)
		}
		if high-low == 1 {
			yield(low, path)
			return
		}
		middle := (low + high) / 2
		down(2*node, low, middle, path)
		down(2*node+1, middle, high, path)
	}
	down(1, 0, len(t.partial), nil)
}

// span is the ports of a leaf.
func (t *portTree) span(leaf int) portSpan {
	return portSpan{protocol: t.protocol, first: uint16(t.bounds[leaf]), last: uint16(t.bounds[leaf+1] - 1)}
}
