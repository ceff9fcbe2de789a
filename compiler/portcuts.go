package compiler

import (
	"slices"
	"unique"

	"github.com/sluice-net/sluice/policy"
)

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

// portEnds are those of some rules. They are sorted if somebody asks.
type portEnds struct {
	rules []policy.AllowRule
	n     int
	list  []portEnd
}

func endsOf(rules []policy.AllowRule) *portEnds {
	e := &portEnds{rules: rules}
	for i := range rules {
		for _, p := range rules[i].Ports {
			if p.First <= p.Last {
				e.n += 2
			}
		}
	}
	return e
}

func (e *portEnds) sorted() []portEnd {
	if len(e.list) == e.n {
		return e.list
	}
	e.list = make([]portEnd, 0, e.n)
	for i := range e.rules {
		for _, p := range e.rules[i].Ports {
			if p.First <= p.Last {
				e.list = appendEnds(e.list, i, p)
			}
		}
	}
	slices.Sort(e.list)
	return e.list
}

func appendEnds(list []portEnd, rule int, p policy.PortRange) []portEnd {
	return append(list, newPortEnd(p.Protocol, uint32(p.First), rule, 1), newPortEnd(p.Protocol, uint32(p.Last)+1, rule, 0))
}

// cut finds the spans: the stretches between any two ends, where those that have the same
// peers are one. It gives up, and reports it, where the classes become too many or too
// large, or to find them too much work.
func (a *allowance) cut(c *cutter, of part) bool {
	c.of = of
	stretches, ok := c.recutPorts(a)
	if !ok {
		stretches, ok = c.unions(a, len(c.rules)).cut(c.ends.sorted())
	}
	a.spans = make([]portSpan, 0, len(stretches))
	for _, s := range stretches {
		a.add(portSpan{s.first.protocol(), s.first.port(), s.last.port(), s.class})
	}
	c.ports = stretches
	return ok
}

// unions finds the peers of some rules together.
type unions struct {
	*cutter
	// all is the set whose rules these are.
	all   *allowance
	left  budget
	asked askedRules[askedClass]
	// places has the classes that there are, by their peers.
	places map[unique.Handle[string]]*peerClass
	// parts are those of the union that is made.
	parts []*peerClass
}

// askedClass is the class of some rules, and how much these have to say.
type askedClass struct {
	*peerClass
	size int
}

// unions is for questions about so many rules, 0 where few are asked.
func (c *cutter) unions(a *allowance, asked int) *unions {
	return &unions{
		cutter: c, all: a, left: c.limits.budget(c.rules),
		asked: newAskedRules[askedClass](asked), places: map[unique.Handle[string]]*peerClass{},
	}
}

// cut walks the ends of all ranges in order, and knows at each which rules cover what
// follows.
func (u *unions) cut(ends []portEnd) (out []portStretch, ok bool) {
	open := make([]int, len(u.rules)) // ranges of the rule that cover the place
	var covering []int                // rules with any, sorted
	out = make([]portStretch, 0, len(ends)/2)
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
		class, work := u.class(covering)
		if u.left.work < 0 || u.left.terms < 0 || len(u.places) > u.limits.classes {
			return nil, false
		}
		// All that opened is closed at the end of a protocol, so the next end
		// is of this one.
		out = append(out, portStretch{
			placeOf(e.protocol(), uint16(e.port())), placeOf(e.protocol(), uint16(ends[i+1].port()-1)), class, work,
		})
	}
	return out, true
}

// toggle puts rule into the sorted list, or takes it out.
func toggle(list []int, rule int) []int {
	at, found := slices.BinarySearch(list, rule)
	if found {
		return slices.Delete(list, at, at+1)
	}
	return slices.Insert(list, at, rule)
}

// class is the union of the peers of some rules, and what it costs. That is counted as if
// nothing had been known before, for the form must not depend on that.
func (u *unions) class(covering []int) (class *peerClass, work int) {
	if u.left.work -= len(covering); u.left.work < 0 {
		return nil, 0
	}
	known, there := u.asked.of(covering)
	if there {
		return known.peerClass, len(covering) + known.size
	}
	size := 0
	for _, i := range covering {
		size += sizeOf(&u.rules[i])
	}
	if u.left.work -= size; u.left.work < 0 {
		return nil, 0
	}
	p := u.union(covering)
	if !p.empty() {
		if same := u.places[p.key]; same != nil {
			p = same
		} else {
			u.places[p.key] = p
			u.left.terms -= p.terms()
		}
	}
	u.asked.put(covering, askedClass{p, size})
	return p, len(covering) + size
}

// union makes it, where there are few ports without those that have all ports anyway:
// one rule less to ask. Where there are many, a class must not depend on who has all
// ports, lest all change with it.
func (u *unions) union(covering []int) *peerClass {
	if !u.few {
		u.parts = u.parts[:0]
		for _, i := range covering {
			u.parts = append(u.parts, u.peersOf(i, u.of))
		}
		return u.memo.union(u.parts)
	}
	picked := make([]policy.AllowRule, 0, len(covering))
	for _, i := range covering {
		picked = append(picked, u.rules[i])
	}
	p := u.all.without(unitePeers(picked, u.family, func(*policy.AllowRule) bool { return true }))
	return &peerClass{peers: p, key: unique.Make(p.key())}
}
