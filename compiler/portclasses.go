package compiler

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"
	"unique"

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
	// classes are the peers that spans refer to, in the order of first use.
	classes []*peerClass
	// leaves are the spans again if they are many, by parts of the ports that do not
	// move.
	leaves []portLeaf
	// joins: address ranges of a leaf have a set together. It takes as many ports as it
	// does for ranges to stand apart.
	joins bool
	// addrs are ranges of addresses with ports of theirs, where these stand apart from
	// the groups: then spans and classes have none. addrLeaves are the same if they are
	// many.
	apart      bool
	addrs      []addrSpan
	addrLeaves []addrLeaf
	// crowd takes the place of spans and classes where these would be too large.
	crowd *crowd
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
	class       int
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
// ends are those of the rules. last: nothing is asked after the chains of the set.
func allow(rules []policy.AllowRule, ends []portEnd, f family, last bool, l *limits, memo *peerMemo) allowance {
	var out allowance
	out.allPorts = unitePeers(rules, f, func(r *policy.AllowRule) bool { return r.AllPorts })
	if out.allPorts.any {
		return out
	}
	out.named = out.lookups(rules)
	if apart(ends, last, l) {
		if out.apart = out.cut(rules, ends, f, exceptRanges, l, memo) && out.cutAddrs(rules, f, l, memo); !out.apart {
			out = allowance{allPorts: out.allPorts, named: out.named}
		}
	}
	if !out.apart && !out.cut(rules, ends, f, allPeers, l, memo) {
		out.spans, out.classes = nil, nil
		out.crowd = out.crowded(rules, f, l)
	}
	out.joins = len(ends) > l.apart
	if len(out.spans) > l.compared && len(out.classes) > 1 {
		out.leaves = leavesOf(out.spans, l)
	}
	return out
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

// portEnd is where a rule begins to cover the ports of a protocol, or has ceased to,
// packed so that numbers sort: protocol, port (up to 65536), rule, and whether it begins.
type portEnd uint64

func newPortEnd(protocol policy.Protocol, port uint32, rule int, begins uint64) portEnd {
	return portEnd(uint64(protocol)<<56 | uint64(port)<<39 | uint64(rule)<<1 | begins)
}

// place is the protocol with the port.
func (e portEnd) place() uint64 { return uint64(e) >> 39 }

func (e portEnd) protocol() policy.Protocol { return policy.Protocol(e >> 56) }

func (e portEnd) port() uint32 { return uint32(e>>39) & (1<<17 - 1) }

func (e portEnd) rule() int { return int(uint32(e >> 1)) }

func (e portEnd) begins() bool { return e&1 != 0 }

func portEnds(rules []policy.AllowRule) []portEnd {
	n := 0
	for i := range rules {
		n += 2 * len(rules[i].Ports)
	}
	ends := make([]portEnd, 0, n)
	for i := range rules {
		for _, p := range rules[i].Ports {
			if p.First <= p.Last {
				ends = append(ends, newPortEnd(p.Protocol, uint32(p.First), i, 1), newPortEnd(p.Protocol, uint32(p.Last)+1, i, 0))
			}
		}
	}
	slices.Sort(ends)
	return ends
}

// cut finds the spans: it walks the ends of all ranges in order, and knows at
// each which rules cover what follows. It gives up, and reports it, where the classes
// become too many or too large, or to find them too much work.
func (a *allowance) cut(rules []policy.AllowRule, ends []portEnd, f family, of part, l *limits, memo *peerMemo) bool {
	open := make([]int, len(rules)) // ranges of the rule that cover the place
	var covering []int              // rules with any, sorted
	u := unions{
		rules: rules, family: f, of: of, memo: memo, left: l.budget(rules),
		asked: newAskedRules[int](len(rules)), places: make(map[unique.Handle[string]]int, len(rules)),
	}
	if len(ends) <= l.compared+1 {
		u.memo = nil // there are no leaves
	}
	for i, e := range ends {
		r := e.rule()
		if e.begins() {
			open[r]++
		} else {
			open[r]--
		}
		if e.begins() && open[r] == 1 || !e.begins() && open[r] == 0 {
			covering = toggle(covering, r)
		}
		if i+1 == len(ends) || len(covering) == 0 || ends[i+1].place() == e.place() {
			continue
		}
		class := a.class(&u, covering)
		if u.left.work < 0 || u.left.terms < 0 || len(a.classes) > l.classes {
			return false
		}
		// All that opened is closed at the end of a protocol, so the next end
		// is of this one.
		a.add(portSpan{e.protocol(), uint16(e.port()), uint16(ends[i+1].port() - 1), class})
	}
	return true
}

// toggle puts rule into the sorted list, or takes it out.
func toggle(list []int, rule int) []int {
	at, found := slices.BinarySearch(list, rule)
	if found {
		return slices.Delete(list, at, at+1)
	}
	return slices.Insert(list, at, rule)
}

// noClass: nobody that the chain does not let pass already.
const noClass = -1

// unions finds the peers of some rules together.
type unions struct {
	rules  []policy.AllowRule
	family family
	of     part
	// memo is nil where there are so few ports that everything is made anew.
	memo  *peerMemo
	left  budget
	asked askedRules[int]
	// places has the classes that there are, by their peers.
	places map[unique.Handle[string]]int
	// single are the peers of each rule that was asked about.
	single []*peerClass
}

// class is the union of the peers of some rules. What it costs is counted as if nothing
// had been known before, for the form must not depend on that.
func (a *allowance) class(u *unions, covering []int) int {
	if u.left.work -= len(covering); u.left.work < 0 {
		return noClass
	}
	class, known := u.asked.of(covering)
	if known {
		return class
	}
	for _, i := range covering {
		u.left.work -= sizeOf(&u.rules[i])
	}
	if u.left.work < 0 {
		return noClass
	}
	p := u.union(a, covering)
	class = noClass
	if !p.empty() {
		at, there := u.places[p.key]
		if class = at; !there {
			class = len(a.classes)
			u.places[p.key] = class
			a.classes = append(a.classes, p)
			u.left.terms -= len(p.groups) + len(p.ranges)
		}
	}
	u.asked.put(covering, class)
	return class
}

// union makes it, where there are few ports without those that have all ports anyway:
// one rule less to ask. Where there are many, a class must not depend on who has all
// ports, lest all change with it.
func (u *unions) union(a *allowance, covering []int) *peerClass {
	if u.memo != nil {
		return u.memo.union(pick(&u.single, covering, len(u.rules), func(i int) *peerClass {
			return u.memo.of(&u.rules[i], u.family, u.of)
		}))
	}
	picked := make([]policy.AllowRule, 0, len(covering))
	for _, i := range covering {
		picked = append(picked, u.rules[i])
	}
	p := a.without(unitePeers(picked, u.family, func(*policy.AllowRule) bool { return true }))
	return &peerClass{peers: p, key: unique.Make(p.key())}
}

// pick has what belongs to some rules of n, of which each is made once.
func pick[T any](made *[]*T, of []int, n int, find func(rule int) *T) []*T {
	if *made == nil {
		*made = make([]*T, n)
	}
	out := make([]*T, len(of))
	for i, r := range of {
		if (*made)[r] == nil {
			(*made)[r] = find(r)
		}
		out[i] = (*made)[r]
	}
	return out
}

func (a *allowance) add(s portSpan) {
	if s.class == noClass {
		return
	}
	if n := len(a.spans) - 1; n >= 0 {
		if l := &a.spans[n]; l.protocol == s.protocol && l.class == s.class && uint32(l.last)+1 == uint32(s.first) {
			l.last = s.last
			return
		}
	}
	a.spans = append(a.spans, s)
}
