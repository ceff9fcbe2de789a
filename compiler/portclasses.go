package compiler

import (
	"cmp"
	"encoding/binary"
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
	// classes are the peers that spans refer to, in the order of first use.
	classes []peers
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
	var b strings.Builder
	b.WriteString(strconv.FormatBool(p.any))
	for _, g := range p.groups {
		b.WriteString(" " + strconv.Quote(string(g)))
	}
	for _, r := range p.ranges {
		b.WriteString(" " + r.String())
	}
	return b.String()
}

func (p *peers) equal(o *peers) bool {
	return p.any == o.any && slices.Equal(p.groups, o.groups) && slices.Equal(p.ranges, o.ranges)
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
func allow(rules []policy.AllowRule, f family, l *limits) allowance {
	var out allowance
	out.allPorts = unitePeers(rules, f, func(r *policy.AllowRule) bool { return r.AllPorts })
	if out.allPorts.any {
		return out
	}
	out.named = out.lookups(rules)
	if !out.cut(rules, f, l) {
		out.spans, out.classes = nil, nil
		out.crowd = out.crowded(rules, f, l)
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

// portEnd is where a rule begins to cover the ports of a protocol, or has
// ceased to.
type portEnd struct {
	protocol policy.Protocol
	port     uint32 // up to 65536
	rule     int
	delta    int
}

// cut finds the spans: it walks the ends of all ranges in order, and knows at
// each which rules cover what follows. It gives up, and reports it, where the classes
// become too many or too large, or to find them too much work.
func (a *allowance) cut(rules []policy.AllowRule, f family, l *limits) bool {
	var ends []portEnd
	for i := range rules {
		for _, p := range rules[i].Ports {
			if p.First <= p.Last {
				ends = append(ends,
					portEnd{p.Protocol, uint32(p.First), i, 1},
					portEnd{p.Protocol, uint32(p.Last) + 1, i, -1})
			}
		}
	}
	slices.SortFunc(ends, func(a, b portEnd) int {
		return cmp.Or(cmp.Compare(a.protocol, b.protocol), cmp.Compare(a.port, b.port))
	})
	open := make([]int, len(rules)) // ranges of the rule that cover the place
	var covering []int              // rules with any, sorted
	known := map[string]int{}
	left := l.budget(rules)
	for i, e := range ends {
		if open[e.rule] += e.delta; e.delta > 0 && open[e.rule] == 1 || e.delta < 0 && open[e.rule] == 0 {
			covering = toggle(covering, e.rule)
		}
		if i+1 == len(ends) || len(covering) == 0 || ends[i+1].protocol == e.protocol && ends[i+1].port == e.port {
			continue
		}
		class := a.class(rules, covering, known, f, &left)
		if left.work < 0 || left.terms < 0 || len(a.classes) > l.classes {
			return false
		}
		// All that opened is closed at the end of a protocol, so the next end
		// is of this one.
		a.add(portSpan{e.protocol, uint16(e.port), uint16(ends[i+1].port - 1), class})
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

// class is the union of the peers of some rules. known has those that were
// asked for before, by the rules.
func (a *allowance) class(rules []policy.AllowRule, covering []int, known map[string]int, f family, left *budget) int {
	if left.work -= len(covering); left.work < 0 {
		return noClass
	}
	key := make([]byte, 0, 4*len(covering))
	for _, i := range covering {
		key = binary.LittleEndian.AppendUint32(key, uint32(i))
	}
	if class, ok := known[string(key)]; ok {
		return class
	}
	picked := make([]policy.AllowRule, 0, len(covering))
	for _, i := range covering {
		picked = append(picked, rules[i])
		left.work -= sizeOf(&rules[i])
	}
	if left.work < 0 {
		return noClass
	}
	p := unitePeers(picked, f, func(*policy.AllowRule) bool { return true })
	p = a.without(p)
	class := noClass
	if !p.empty() {
		class = slices.IndexFunc(a.classes, func(o peers) bool { return o.equal(&p) })
		if class < 0 {
			class = len(a.classes)
			a.classes = append(a.classes, p)
			left.terms -= len(p.groups) + len(p.ranges)
		}
	}
	known[string(key)] = class
	return class
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
