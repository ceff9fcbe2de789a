package compiler

import (
	"net/netip"
	"slices"

	"github.com/sluice-net/sluice/policy"
)

// Whoever has one policy more or less has nearly all of the same stretches. So a set is
// cut where rules are that another one has not, and has the rest from that. What comes out
// is the same as without: spans are made of stretches that have the same peers, wherever
// they were cut, and where it cannot be told that the whole keeps within its limits, all of
// it is cut anew.

// cuts is how a set was cut.
type cuts struct {
	rules []policy.AllowRule
	// facts are of each rule.
	facts []ruleFacts
	// of says which peers the stretches of ports have.
	of    part
	ports []portStretch
	addrs []addrStretch
}

// ruleFacts are the peers of a rule, and its ports, nil if nobody asked.
type ruleFacts struct {
	peers [exceptRanges + 1]*peerClass
	ports *portClass
}

// stretch is what lies between two ends of rules' ranges, with what the rules that cover it
// say together, which may be nothing.
type stretch[P position[P], C any] struct {
	first, last P
	class       C
	// work is what it counts at if nobody asked about these rules before.
	work int
}

type (
	portStretch = stretch[portPlace, *peerClass]
	addrStretch = stretch[netip.Addr, *portClass]
)

// position is where ranges begin and end.
type position[P any] interface {
	Compare(o P) int
	Next() P
	Prev() P
}

// portPlace is a protocol with a port.
type portPlace uint32

func placeOf(protocol policy.Protocol, port uint16) portPlace {
	return portPlace(protocol)<<16 | portPlace(port)
}

func (p portPlace) protocol() policy.Protocol { return policy.Protocol(p >> 16) }

func (p portPlace) port() uint16 { return uint16(p) }

func (p portPlace) Compare(o portPlace) int { return int(p) - int(o) }

func (p portPlace) Next() portPlace { return p + 1 }

func (p portPlace) Prev() portPlace { return p - 1 }

// cutter cuts a set in one family.
type cutter struct {
	ends   *portEnds
	family family
	limits *limits
	memo   *peerMemo
	// few: there are so few ports that nothing is remembered.
	few bool
	// was is how another set was cut, nil if nothing can be had from that. Both lists of
	// rules begin and end with so many that are the same.
	was        *cuts
	begin, end int
	cuts
}

func newCutter(rules []policy.AllowRule, ends *portEnds, f family, l *limits, memo *peerMemo, was *cuts) *cutter {
	c := &cutter{ends: ends, family: f, limits: l, memo: memo, few: ends.n <= l.compared+1}
	c.rules, c.facts = rules, make([]ruleFacts, len(rules))
	if was == nil || c.few {
		return c
	}
	c.was = was
	for c.begin < min(len(rules), len(was.rules)) && sameRule(&rules[c.begin], &was.rules[c.begin]) {
		c.begin++
	}
	rest := min(len(rules), len(was.rules)) - c.begin
	for c.end < rest && sameRule(&rules[len(rules)-1-c.end], &was.rules[len(was.rules)-1-c.end]) {
		c.end++
	}
	copy(c.facts, was.facts[:c.begin])
	copy(c.facts[len(rules)-c.end:], was.facts[len(was.rules)-c.end:])
	return c
}

// sameRule reports whether both allow the same by numbers of ports.
func sameRule(a, b *policy.AllowRule) bool {
	return a.AllPeers == b.AllPeers && a.AllPorts == b.AllPorts &&
		sameList(a.Ports, b.Ports, func(a, b policy.PortRange) bool { return a == b }) &&
		sameList(a.Groups, b.Groups, func(a, b policy.GroupPeer) bool { return a.Group == b.Group }) &&
		sameList(a.Blocks, b.Blocks, func(a, b policy.BlockPeer) bool {
			return a.Block.CIDR == b.Block.CIDR && slices.Equal(a.Block.Except, b.Block.Except)
		})
}

// sameList spares the look at what two sets share.
func sameList[T any](a, b []T, same func(a, b T) bool) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || slices.EqualFunc(a, b, same))
}

// peersOf are those of a rule, or some of them.
func (c *cutter) peersOf(rule int, of part) *peerClass {
	p := &c.facts[rule].peers[of]
	if *p == nil {
		*p = c.memo.of(&c.rules[rule], c.family, of)
	}
	return *p
}

func (c *cutter) portsOf(rule int) *portClass {
	p := &c.facts[rule].ports
	if *p == nil {
		*p = c.memo.portsOf(&c.rules[rule])
	}
	return *p
}

// changed are the rules that one of both sets has and the other has not.
func (c *cutter) changed() [2][]policy.AllowRule {
	return [...][]policy.AllowRule{c.was.rules[c.begin : len(c.was.rules)-c.end], c.rules[c.begin : len(c.rules)-c.end]}
}

// recutPorts has the stretches that no changed rule covers from the other set, and cuts
// the ports of the rules that are.
func (c *cutter) recutPorts(a *allowance) (out []portStretch, ok bool) {
	if c.was == nil || c.was.of != c.of {
		return nil, false
	}
	var where []bounds[portPlace]
	for _, rules := range c.changed() {
		for i := range rules {
			for _, p := range rules[i].Ports {
				if p.First <= p.Last {
					where = append(where, boundsOf(p))
				}
			}
		}
	}
	where = uniteBounds(where)
	var ends []portEnd
	for i := range c.rules {
		for _, p := range c.rules[i].Ports {
			if p.First > p.Last {
				continue
			}
			for _, r := range partsWithin(where, boundsOf(p)) {
				ends = appendEnds(ends, i, policy.PortRange{Protocol: p.Protocol, First: r.first.port(), Last: r.last.port()})
			}
		}
	}
	slices.Sort(ends)
	anew, ok := c.unions(a, 0).cut(ends)
	if !ok {
		return nil, false
	}
	out = splice(c.was.ports, where, anew)
	left, classes := c.limits.budget(c.rules), 0
	for i := range out {
		left.work -= out[i].work
		if p := out[i].class; !p.empty() {
			left.terms -= p.terms()
			classes++
		}
	}
	return out, left.work >= 0 && left.terms >= 0 && classes <= c.limits.classes
}

func boundsOf(p policy.PortRange) bounds[portPlace] {
	return bounds[portPlace]{placeOf(p.Protocol, p.First), placeOf(p.Protocol, p.Last)}
}
