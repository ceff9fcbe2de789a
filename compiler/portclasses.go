package compiler

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/policy"
)

// allowance is what an allow set allows in one family, put so that a packet is
// found in it by a few lookups, however many rules there are.
type allowance struct {
	// allPorts are the peers with every port of every protocol.
	allPorts peers
	// named are the Pods with ports of theirs, for egress to named ports.
	named []lookup
	// spans are disjoint, sorted, and no two that touch have the same class.
	spans []portSpan
	// leaves are the spans again if they are many, by parts of the ports that do not
	// move.
	leaves []portLeaf
	// joins: address ranges of a leaf have a set together. It takes as many ports as it
	// does for ranges to stand apart.
	joins bool
	// addrs are ranges of addresses with ports of theirs, where these stand apart from
	// the groups: then spans have none. addrLeaves are the same if they are
	// many.
	apart      bool
	addrs      []addrSpan
	addrLeaves []addrLeaf
	// crowd takes the place of spans where their classes would be too large.
	crowd *crowd
	// cuts is how spans and addrs were found, nil where there are too few for that to
	// be worth remembering.
	cuts *cuts
}

// peers is a set of addresses of one family.
type peers struct {
	any bool
	// groups are sorted, each once.
	groups []policy.GroupKey
	// ranges are united.
	ranges []addrRange
}

func (p *peers) empty() bool { return !p.any && len(p.groups) == 0 && len(p.ranges) == 0 }

// key is the same for equal peers only.
func (p *peers) key() string {
	if p.any {
		return "*"
	}
	out := make([]byte, 0, 64)
	for _, g := range p.groups {
		out = append(binary.LittleEndian.AppendUint32(out, uint32(len(g))), g...)
	}
	out = binary.LittleEndian.AppendUint32(out, math.MaxUint32)
	for _, r := range p.ranges {
		out = append(out, r.key()...)
	}
	return string(out)
}

// portSpan is a range of ports with the class of peers that may use it.
type portSpan struct {
	protocol    policy.Protocol
	first, last uint16
	class       *peerClass
}

func (s portSpan) String() string { return s.ports() + " . " + protocolName(s.protocol) }

func (s portSpan) ports() string {
	out := strconv.Itoa(int(s.first))
	if s.first != s.last {
		out += "-" + strconv.Itoa(int(s.last))
	}
	return out
}

// text is how names of objects have it.
func (s portSpan) text() string { return strings.ReplaceAll(s.String(), " . ", "-") }

// narrowSpan is how many ports a span may have to be written port by port. The
// kernel cuts a range into prefixes: those of four ports are up to three, so
// this makes no map much larger.
const narrowSpan = 4

// byWidth are the narrow spans port by port, and the others.
func byWidth(spans []portSpan) (exact, wide []portSpan) {
	for _, s := range spans {
		if s.last-s.first >= narrowSpan {
			wide = append(wide, s)
			continue
		}
		for port := uint32(s.first); port <= uint32(s.last); port++ {
			exact = append(exact, portSpan{s.protocol, uint16(port), uint16(port), s.class})
		}
	}
	return exact, wide
}

func spansKey(spans []portSpan) string {
	var b strings.Builder
	for _, s := range spans {
		b.WriteString(s.String() + ",")
	}
	return b.String()
}

// allow merges the rules. What a rule allows is the product of its peers and
// its ports, so rules cannot be merged by peers or by ports alone: each stretch
// of ports between any two ends has the peers of all rules that cover it.
//
// ends are those of the rules. last: nothing is asked after the chains of the set. was is
// how a set was cut that may have most of these rules, or nil: it only spares work.
func allow(rules []policy.AllowRule, ends *portEnds, f family, last bool, l *limits, memo *peerMemo, was *cuts) allowance {
	var out allowance
	out.allPorts = unitePeers(rules, f, func(r *policy.AllowRule) bool { return r.AllPorts })
	if out.allPorts.any {
		return out
	}
	out.named = out.lookups(rules)
	c := newCutter(rules, ends, f, l, memo, was)
	if apart(ends.n, last, l) {
		if out.apart = out.cut(c, exceptRanges) && out.cutAddrs(c); !out.apart {
			out = allowance{allPorts: out.allPorts, named: out.named}
		}
	}
	if !out.apart && !out.cut(c, allPeers) {
		out.spans = nil
		out.crowd = out.crowded(rules, f, l)
	}
	out.joins = ends.n > l.apart
	if len(out.spans) > l.compared && out.severalClasses() {
		out.leaves = leavesOf(out.spans, l)
	}
	// Most Pods have few rules, and cutting these anew costs less than the room. The cutter
	// itself is not kept, for it has the cuts before.
	if !c.few && ends.n > l.apart && out.crowd == nil {
		kept := c.cuts
		out.cuts = &kept
	}
	return out
}

func (a *allowance) severalClasses() bool {
	return slices.ContainsFunc(a.spans, func(s portSpan) bool { return s.class.key != a.spans[0].class.key })
}

// unitePeers is the union of the peers of some rules.
func unitePeers(rules []policy.AllowRule, f family, some func(*policy.AllowRule) bool) peers {
	var out peers
	for i := range rules {
		r := &rules[i]
		if !some(r) {
			continue
		}
		if r.AllPeers {
			return peers{any: true}
		}
		for _, g := range r.Groups {
			out.groups = append(out.groups, g.Group)
		}
		for _, b := range r.Blocks {
			if familyOf(b.Block.CIDR.Addr()) == f {
				out.ranges = append(out.ranges, rangesOf(b.Block)...)
			}
		}
	}
	return out.united()
}

// united are the peers in order, each once.
func (p peers) united() peers {
	p.ranges = unite(p.ranges)
	if everything(p.ranges) {
		return peers{any: true}
	}
	slices.Sort(p.groups)
	p.groups = slices.Compact(p.groups)
	return p
}

// without are the peers but the groups that have all ports anyway.
func (a *allowance) without(p peers) peers {
	p.groups = slices.DeleteFunc(p.groups, func(g policy.GroupKey) bool {
		_, all := slices.BinarySearch(a.allPorts.groups, g)
		return all
	})
	return p
}

// add puts a span after the others.
func (a *allowance) add(s portSpan) {
	if s.class.empty() {
		return
	}
	if n := len(a.spans) - 1; n >= 0 {
		if l := &a.spans[n]; l.protocol == s.protocol && l.class.key == s.class.key && uint32(l.last)+1 == uint32(s.first) {
			l.last = s.last
			return
		}
	}
	a.spans = append(a.spans, s)
}
