package compiler

import (
	"encoding/binary"
	"slices"

	"github.com/sluice-net/sluice/policy"
)

// portLeaf is a part of a protocol's ports with the spans in it.
//
// The ports are halved until few spans are in each part. Halves are those of the numbers,
// and whether one is halved again is a matter of what is in it: so a span that comes
// changes the leaves that it is in and no others, and the same spans make the same
// leaves, whatever was there before.
type portLeaf struct {
	protocol    policy.Protocol
	first, last uint16
	// spans are sorted, and begin and end within the leaf.
	spans []portSpan
	// leaves are what a leaf of too many spans is cut into once more.
	leaves []portLeaf
}

// whole reports whether all ports of the leaf have the same class.
func (l *portLeaf) whole() bool {
	return len(l.spans) == 1 && l.spans[0].first == l.first && l.spans[0].last == l.last
}

// inLeaf is up to how many rules for the peers of a span stand in the leaf itself, each
// with the span, where a leaf ends in a deny chain: a chain of their own would end there,
// too, and the kernel walks each way. Elsewhere it is one, for such chains are shared.
const inLeaf = 2

// leavesOf cuts the ports. spans are sorted and disjoint.
func leavesOf(spans []portSpan, l *limits) []portLeaf {
	limit := l.compared
	if len(spans) > 2*l.branch {
		limit = l.branch
	}
	var out []portLeaf
	for len(spans) > 0 {
		protocol := spans[0].protocol
		n := slices.IndexFunc(spans, func(s portSpan) bool { return s.protocol != protocol })
		if n < 0 {
			n = len(spans)
		}
		out = appendLeaves(out, spans[:n], 0, 1<<16, limit)
		spans = spans[n:]
	}
	for i := range out {
		if leaf := &out[i]; len(leaf.spans) > l.compared {
			leaf.leaves = appendLeaves(nil, leaf.spans, uint32(leaf.first), uint32(leaf.last)+1, l.compared)
		}
	}
	return out
}

// appendLeaves adds those from first up to but without end, of so many spans at most.
// Neighbours of which each is of one and the same class are one.
func appendLeaves(out []portLeaf, spans []portSpan, first, end uint32, limit int) []portLeaf {
	spans = spansWithin(spans, first, end)
	if len(spans) > limit {
		middle := (first + end) / 2
		return appendLeaves(appendLeaves(out, spans, first, middle, limit), spans, middle, end, limit)
	}
	if len(spans) == 0 {
		return out
	}
	if len(spans) == 1 || uint32(spans[0].first) < first || uint32(spans[len(spans)-1].last) >= end {
		spans = slices.Clone(spans) // an end is moved, perhaps, with a neighbour's
	}
	leaf := portLeaf{protocol: spans[0].protocol, first: uint16(first), last: uint16(end - 1), spans: spans}
	if last := &spans[len(spans)-1]; spans[0].first < leaf.first || last.last > leaf.last {
		spans[0].first, last.last = max(spans[0].first, leaf.first), min(last.last, leaf.last)
	}
	if n := len(out) - 1; n >= 0 && leaf.whole() && out[n].whole() && out[n].protocol == leaf.protocol &&
		out[n].spans[0].class.key == spans[0].class.key && uint32(out[n].last)+1 == first {
		out[n].last, out[n].spans[0].last = leaf.last, leaf.last
		return out
	}
	return append(out, leaf)
}

// spansWithin are the spans that have ports from first up to but without end.
func spansWithin(spans []portSpan, first, end uint32) []portSpan {
	from, _ := slices.BinarySearchFunc(spans, first, func(s portSpan, port uint32) int { return int(int64(s.last) - int64(port)) })
	to, _ := slices.BinarySearchFunc(spans, end, func(s portSpan, port uint32) int { return int(int64(s.first) - int64(port)) })
	return spans[from:max(from, to)]
}

// stretches lets the peers of many spans pass: a map leads to the leaf of a port, in
// which few spans are compared.
//
// What a leaf leads to must not depend on the rest of the chain, or every leaf would
// change with that. Where what is allowed ends here, a leaf returns what it does not
// allow. Where another question follows, to return means that it is allowed, so a leaf
// denies, and whoever has all ports is asked before.
func (b *chainBuilder) stretches(a *allowance) {
	last := b.allow() == toJudged
	rest := b.rest
	if last {
		b.rest, b.goesOn = "", true
	} else {
		b.peers(nil, &a.allPorts)
	}
	b.named(a.named)
	if a.leaves == nil {
		b.ports(a)
	} else {
		b.folds, b.joins = true, a.joins
		b.rule(b.vmap(b.leafMap(a.leaves)))
		b.folds, b.joins = false, false
	}
	b.addrs(a)
	if last {
		b.peers(nil, &a.allPorts)
	}
	b.rule(Goto{rest})
}

// leafMap leads to the leaves.
func (b *chainBuilder) leafMap(leaves []portLeaf) *object {
	inner := b.inner()
	spans := make([]portSpan, len(leaves))
	verdicts := make([]MapValue, len(leaves))
	for i := range leaves {
		l := &leaves[i]
		spans[i] = portSpan{protocol: l.protocol, first: l.first, last: l.last}
		switch c := l.spans[0].class; {
		case !l.whole():
			verdicts[i] = b.enter(inner.leaf(l))
		case !c.any:
			verdicts[i] = b.enter(inner.classChain(c))
		case b.rest == "":
			verdicts[i] = MapValue{DoGoto, JudgedChain}
		default:
			verdicts[i] = MapValue{Do: DoReturn}
		}
	}
	return verdictMap(spans, verdicts, inner.uses)
}

// enter leads to a chain, from which what it does not allow comes back if it is not
// denied there.
func (b *chainBuilder) enter(chain string) MapValue {
	if b.rest == "" {
		return MapValue{DoJump, chain}
	}
	return MapValue{DoGoto, chain}
}

// leaf is the chain of one.
func (b *chainBuilder) leaf(l *portLeaf) string {
	key := b.memoKey('l', len(l.spans)*(1+2+2+8))
	for _, s := range l.spans {
		key = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(append(key, byte(s.protocol)), s.first), s.last)
		key = binary.BigEndian.AppendUint64(key, s.class.id)
	}
	return b.remembered(key, func() *object {
		inner := b.inner()
		if len(l.leaves) > 0 {
			inner.rule(inner.vmap(inner.leafMap(l.leaves)))
		} else {
			inner.leafRules(l.spans)
		}
		return inner.part()
	})
}

// leafRules compare the spans of a leaf. Address ranges of several of them are one set. The
// map that leads here asked for the protocol.
func (b *chainBuilder) leafRules(spans []portSpan) {
	most := 1
	if b.rest != "" {
		most = inLeaf
	}
	together := b.together(spans, most)
	for _, s := range spans {
		match, c := []Term{b.matchPort(s)}, s.class
		switch {
		case together != nil && c.joins(most):
			groups := c.peers
			groups.ranges = nil
			b.peers(match, &groups)
		case c.rules(true) > most:
			b.rule(append(match, Goto{b.classChain(c)})...)
		default:
			b.peers(match, &c.peers)
		}
	}
	if together != nil {
		b.rule(b.in(reachObject(b.family, together, false), peerField(b.family, b.direction, b.way), portField(b.way)), b.allow())
	}
}

// joins reports whether the address ranges may stand with others of their leaf: they are
// few, and what is left of the peers stands in the leaf, too.
func (p *peers) joins(most int) bool {
	return !p.any && len(p.ranges) > 0 && len(p.ranges) <= fewRanges && len(p.sets(true)) <= most
}

// together are the address ranges of a leaf that have a set, nil where a set is no rule
// less, or there are few leaves and to compare costs a packet less.
func (b *chainBuilder) together(spans []portSpan, most int) []addrSpan {
	if !b.joins {
		return nil
	}
	var out []addrSpan
	for i := range spans {
		if c := spans[i].class; c.joins(most) {
			for _, r := range c.ranges {
				out = append(out, addrSpan{r, &portClass{spans: spans[i : i+1]}})
			}
		}
	}
	if len(out) < 2 {
		return nil
	}
	return out
}

// part is a chain to which others lead.
func (b *chainBuilder) part() *object {
	b.otherwise()
	return b.object(classLetter, "", b.direction.String()+b.way.suffix()+"-"+b.family.String())
}

// classChain is the chain of some peers.
func (b *chainBuilder) classChain(c *peerClass) string {
	return b.remembered(binary.BigEndian.AppendUint64(b.memoKey('c', 8), c.id), func() *object { return b.class(&c.peers) })
}

// memoKey begins the key of a chain that depends on nothing else of this one, of which
// there are so many bytes to come.
func (b *chainBuilder) memoKey(kind byte, more int) []byte {
	return append(make([]byte, 0, 8+more), kind, byte(b.direction), byte(b.way), byte(b.family), byte(btoi(b.returns)), byte(btoi(b.joins)))
}

// remembered is a chain that may have been made before, and be there yet.
func (b *chainBuilder) remembered(key []byte, build func() *object) string {
	memo := &b.u.c.peers.chains
	if name, known := memo.get(key); known {
		if o := b.u.c.objects[name]; o != nil {
			o.refs++
			b.uses = append(b.uses, o)
			return name
		}
	}
	name := b.use(build())
	memo.put(key, name)
	return name
}
