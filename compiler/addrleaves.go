package compiler

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
)

// portClass is the ports of some rules together.
type portClass struct {
	// spans are united. They have no class.
	spans []portSpan
	// key is the same for equal ports only, id another number for each that was made.
	key string
	id  uint64
}

// addrSpan is a range of addresses with the ports that it may use.
type addrSpan struct {
	addrRange
	ports *portClass
}

// addrLeaf is a prefix with the spans in it, as a [portLeaf] is of ports.
type addrLeaf struct {
	prefix netip.Prefix
	// spans are sorted, and begin and end within the prefix.
	spans []addrSpan
	// leaves are what a leaf of too many spans is cut into once more.
	leaves []addrLeaf
}

// apart reports whether the address ranges of a set's rules stand apart from its groups.
// Ranges that overlap in their ports mostly differ in their addresses, so by address each
// is a rule, and by port a rule in every stretch. It takes a chain that goes on where it
// does not allow, so nothing may be asked after it; and it is of no use where there are
// few ports.
func apart(ends int, last bool, l *limits) bool { return last && ends > l.apart }

// addrEnd is where a rule begins to cover addresses, or has ceased to.
type addrEnd struct {
	at addrBound
	// rule is its number, of which nothing is but the order.
	rule   int
	begins bool
}

// addrBound is an address, or what is after the last one of a family.
type addrBound struct {
	addr netip.Addr
	over bool
}

func (b addrBound) compare(o addrBound) int {
	if b.over || o.over {
		return cmp.Compare(btoi(b.over), btoi(o.over))
	}
	return b.addr.Compare(o.addr)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// boundAfter is where what comes after an address begins.
func boundAfter(a netip.Addr) addrBound {
	next := a.Next()
	return addrBound{next, !next.IsValid()}
}

// cutAddrs finds the ranges of addresses that may use the same ports, as [allowance.cut]
// finds those of ports with the same peers. It gives up on the same terms.
func (a *allowance) cutAddrs(c *cutter) bool {
	stretches, ok := c.recutAddrs()
	if !ok {
		var ends []addrEnd
		c.eachAddrs(func(rule int, r addrRange) { ends = appendAddrEnds(ends, rule, r.first, r.last) })
		stretches, ok = c.portUnions(len(c.rules)).cut(ends)
	}
	a.addrs = make([]addrSpan, 0, len(stretches))
	for _, s := range stretches {
		a.addAddrs(addrSpan{addrRange{s.first, s.last}, s.class})
	}
	c.addrs = stretches
	a.addrLeaves = addrLeavesOf(a.addrs, c.family, c.limits)
	return ok
}

// eachAddrs yields the address ranges of the rules that are limited to some ports.
func (c *cutter) eachAddrs(yield func(rule int, r addrRange)) {
	for i := range c.rules {
		if len(c.rules[i].Ports) == 0 {
			continue
		}
		for _, r := range c.peersOf(i, onlyRanges).ranges {
			yield(i, r)
		}
	}
}

func appendAddrEnds(list []addrEnd, rule int, first, last netip.Addr) []addrEnd {
	return append(list, addrEnd{addrBound{addr: first}, rule, true}, addrEnd{boundAfter(last), rule, false})
}

// recutAddrs has the stretches that no changed rule covers from the other set.
func (c *cutter) recutAddrs() (out []addrStretch, ok bool) {
	if c.was == nil || c.was.of != exceptRanges {
		return nil, false
	}
	var where []bounds[netip.Addr]
	for _, rules := range c.changed() {
		for i := range rules {
			if len(rules[i].Ports) > 0 {
				for _, r := range c.memo.of(&rules[i], c.family, onlyRanges).ranges {
					where = append(where, bounds[netip.Addr](r))
				}
			}
		}
	}
	where = uniteBounds(where)
	var ends []addrEnd
	c.eachAddrs(func(rule int, r addrRange) {
		for _, part := range partsWithin(where, bounds[netip.Addr](r)) {
			ends = appendAddrEnds(ends, rule, part.first, part.last)
		}
	})
	anew, ok := c.portUnions(0).cut(ends)
	if !ok {
		return nil, false
	}
	out = splice(c.was.addrs, where, anew)
	left := c.limits.budget(c.rules)
	for i := range out {
		left.work -= out[i].work
		left.terms -= len(out[i].class.spans)
	}
	return out, left.work >= 0 && left.terms >= 0
}

// cut walks the ends in order, as that of ports does.
func (u *portUnions) cut(ends []addrEnd) (out []addrStretch, ok bool) {
	slices.SortFunc(ends, func(a, b addrEnd) int {
		return cmp.Or(a.at.compare(b.at), cmp.Compare(a.rule, b.rule))
	})
	open := make([]int, len(u.rules)) // ranges of the rule that cover the place
	var covering []int
	for i, e := range ends {
		if e.begins {
			open[e.rule]++
		} else {
			open[e.rule]--
		}
		if e.begins && open[e.rule] == 1 || !e.begins && open[e.rule] == 0 {
			covering = toggle(covering, e.rule)
		}
		if i+1 == len(ends) || len(covering) == 0 || ends[i+1].at == e.at {
			continue
		}
		ports, work := u.class(covering)
		if u.left.work < 0 || u.left.terms < 0 {
			return nil, false
		}
		last := e.at.addr
		if ends[i+1].at.over {
			_, last = span(netip.PrefixFrom(last, 0))
		} else {
			last = ends[i+1].at.addr.Prev()
		}
		out = append(out, addrStretch{e.at.addr, last, ports, work})
	}
	return out, true
}

func (a *allowance) addAddrs(s addrSpan) {
	if len(s.ports.spans) == 0 {
		return
	}
	// A rule cannot compare an address with all of them.
	if n := len(a.addrs) - 1; n >= 0 && a.addrs[n].ports.key == s.ports.key && touches(a.addrs[n].last, s.first) &&
		!everything([]addrRange{{a.addrs[n].first, s.last}}) {
		a.addrs[n].last = s.last
		return
	}
	a.addrs = append(a.addrs, s)
}

// portUnions finds the ports of some rules together.
type portUnions struct {
	*cutter
	left  budget
	asked askedRules[askedPorts]
	// parts are those of the union that is made.
	parts []*portClass
}

// askedPorts is the ports of some rules, and how many these name.
type askedPorts struct {
	*portClass
	size int
}

// portUnions is for questions about so many rules, 0 where few are asked.
func (c *cutter) portUnions(asked int) *portUnions {
	return &portUnions{cutter: c, left: c.limits.budget(c.rules), asked: newAskedRules[askedPorts](asked)}
}

// class costs the same whatever is remembered, as the form of a set must not depend on
// that.
func (u *portUnions) class(covering []int) (ports *portClass, work int) {
	u.left.work -= len(covering)
	if known, there := u.asked.of(covering); there {
		return known.portClass, len(covering) + known.size
	}
	size := 0
	for _, i := range covering {
		size += len(u.rules[i].Ports)
	}
	if u.left.work -= size; u.left.work < 0 {
		return nil, 0
	}
	u.parts = u.parts[:0]
	for _, i := range covering {
		u.parts = append(u.parts, u.portsOf(i))
	}
	out := u.memo.ports(u.parts)
	u.left.terms -= len(out.spans)
	u.asked.put(covering, askedPorts{out, size})
	return out, len(covering) + size
}

// addrLeavesOf cuts a family's addresses, nil where the spans are few.
func addrLeavesOf(spans []addrSpan, f family, l *limits) []addrLeaf {
	if len(spans) <= l.compared {
		return nil
	}
	all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if f == ipv6 {
		all = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	if len(spans) <= 2*l.branch {
		return appendAddrLeaves(nil, spans, all, l.compared)
	}
	out := appendAddrLeaves(nil, spans, all, l.branch)
	for i := range out {
		if leaf := &out[i]; len(leaf.spans) > l.compared {
			leaf.leaves = appendAddrLeaves(nil, leaf.spans, leaf.prefix, l.compared)
		}
	}
	return out
}

// appendAddrLeaves adds those of a prefix, of so many spans at most.
func appendAddrLeaves(out []addrLeaf, spans []addrSpan, p netip.Prefix, limit int) []addrLeaf {
	first, last := span(p)
	from, _ := slices.BinarySearchFunc(spans, first, func(s addrSpan, a netip.Addr) int { return s.last.Compare(a) })
	to, found := slices.BinarySearchFunc(spans, last, func(s addrSpan, a netip.Addr) int { return s.first.Compare(a) })
	if found {
		to++
	}
	spans = spans[from:max(from, to)]
	if len(spans) > limit {
		low, high := halves(p)
		return appendAddrLeaves(appendAddrLeaves(out, spans, low, limit), spans, high, limit)
	}
	if len(spans) == 0 {
		return out
	}
	if end := &spans[len(spans)-1]; spans[0].first.Less(first) || last.Less(end.last) {
		spans = slices.Clone(spans)
		if spans[0].first.Less(first) {
			spans[0].first = first
		}
		if end := &spans[len(spans)-1]; last.Less(end.last) {
			end.last = last
		}
	}
	return append(out, addrLeaf{prefix: p, spans: spans})
}

// halves are those of a prefix of more than one address.
func halves(p netip.Prefix) (low, high netip.Prefix) {
	raw := p.Addr().AsSlice()
	raw[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	middle, _ := netip.AddrFromSlice(raw)
	return netip.PrefixFrom(p.Addr(), p.Bits()+1), netip.PrefixFrom(middle, p.Bits()+1)
}

// addrs lets the address ranges pass that are limited to some ports: compared if they are
// few, else those of a leaf to which a map leads.
func (b *chainBuilder) addrs(a *allowance) {
	if a.addrLeaves == nil {
		b.addrSpans(a.addrs)
		return
	}
	b.rule(b.addrMap(a.addrLeaves))
}

// addrMap leads to the leaves. The kernel looks ranges of a single field up in a tree, and
// of several field by field: the protocol, of which all are meant, is there for the sake
// of the other form.
func (b *chainBuilder) addrMap(leaves []addrLeaf) Term {
	inner := b.inner()
	s := &Set{Key: keyType(b.family.addrType(), InetProto), Interval: true, Value: VerdictValue, Elements: make([]Element, len(leaves))}
	for i := range leaves {
		first, last := span(leaves[i].prefix)
		s.Elements[i] = Element{addrKey(first) + "\x00" + addrKey(last) + "\xff", b.enter(inner.addrLeaf(&leaves[i]))}
	}
	s.Name = contentName(portMapLetter, contentOf(s), "")
	sortElements(s.Elements)
	return VerdictMap{
		Key: concat(peerField(b.family, b.direction, b.way), L4Protocol), Ranges: true,
		Map: b.use(&object{name: s.Name, set: s, uses: inner.uses}),
	}
}

// addrLeaf is the chain of one.
func (b *chainBuilder) addrLeaf(l *addrLeaf) string {
	key := b.memoKey('a', len(l.spans)*(2*16+8))
	for i := range l.spans {
		s := &l.spans[i]
		first, last := s.first.As16(), s.last.As16()
		key = binary.BigEndian.AppendUint64(append(append(key, first[:]...), last[:]...), s.ports.id)
	}
	return b.remembered(key, func() *object {
		inner := b.inner()
		if len(l.leaves) > 0 {
			inner.rule(inner.addrMap(l.leaves))
			return inner.part()
		}
		inner.addrSpans(l.spans)
		return inner.part()
	})
}
