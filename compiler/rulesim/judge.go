package rulesim

import "encoding/binary"

// expr is a compiled expression.
type expr interface {
	eval(*run) verdict
}

// run is the judgement of one packet.
type run struct {
	p   *Packet
	res Result
	buf [64]byte
}

var (
	goOn  = verdict{code: next}
	ended = verdict{code: broke}
)

// bitwise is one operation with a constant.
type bitwise struct {
	op    byte
	value string
}

func apply(ops []bitwise, b []byte) string {
	for _, o := range ops {
		for i := range b {
			switch o.op {
			case '&':
				b[i] &= o.value[i]
			case '^':
				b[i] ^= o.value[i]
			case '|':
				b[i] |= o.value[i]
			}
		}
	}
	return string(b)
}

type compare struct {
	key     key
	ops     []bitwise
	value   []span
	negated bool
}

func (e compare) eval(r *run) verdict {
	b, ok := e.key.read(r.p, r.buf[:0])
	if !ok {
		return ended
	}
	if len(e.ops) > 0 {
		apply(e.ops, b)
	}
	in := string(b) >= e.value[0].lo && string(b) <= e.value[0].hi
	if in == e.negated {
		return ended
	}
	return goOn
}

type lookup struct {
	key     key
	set     *set
	negated bool
}

func (e lookup) eval(r *run) verdict {
	b, ok := e.key.read(r.p, r.buf[:0])
	if !ok {
		return ended
	}
	r.res.Lookups++
	if (e.set.find(b) != nil) == e.negated {
		return ended
	}
	return goOn
}

type vmap struct {
	key key
	set *set
}

func (e vmap) eval(r *run) verdict {
	b, ok := e.key.read(r.p, r.buf[:0])
	if !ok {
		return ended
	}
	r.res.Lookups++
	found := e.set.find(b)
	if found == nil {
		return ended
	}
	return found.verdict
}

func (v verdict) eval(*run) verdict { return v }

type rejection struct{}

func (rejection) eval(*run) verdict { return verdict{code: reject} }

type nameless struct{}

func (nameless) eval(*run) verdict { return goOn }

type count struct{ counter *counter }

func (e count) eval(r *run) verdict {
	e.counter.packets++
	r.res.Counters = append(r.res.Counters, e.counter.name)
	return goOn
}

// countBy takes the counter out of a map.
type countBy struct {
	key key
	set *set
}

func (e countBy) eval(r *run) verdict {
	b, ok := e.key.read(r.p, r.buf[:0])
	if !ok {
		return ended
	}
	r.res.Lookups++
	found := e.set.find(b)
	if found == nil {
		return ended
	}
	return count{found.counter}.eval(r)
}

type logging struct{ prefix string }

func (e logging) eval(r *run) verdict {
	r.res.Logs = append(r.res.Logs, e.prefix)
	return goOn
}

// limiter lets a burst through and nothing more: time stands still here.
type limiter struct{ tokens int }

func (e *limiter) eval(*run) verdict {
	if e.tokens == 0 {
		return ended
	}
	e.tokens--
	return goOn
}

// remember adds the key to a dynamic set. A full set ends the rule.
type remember struct {
	key   key
	set   *set
	burst int
}

func (e remember) eval(r *run) verdict {
	b, ok := e.key.read(r.p, r.buf[:0])
	if !ok {
		return ended
	}
	r.res.Lookups++
	found := e.set.find(b)
	if found == nil {
		found = &element{lo: string(b), limiter: limiter{e.burst}}
		at := 0
		for _, d := range e.set.key {
			part := found.lo[at : at+d.width]
			found.spans = append(found.spans, span{part, part})
			at += d.width
		}
		if _, err := e.set.insert(found); err != nil {
			return ended
		}
	}
	if e.burst > 0 {
		return found.limiter.eval(r)
	}
	return goOn
}

// mark sets the conntrack mark. Without an entry it does nothing; reading the
// old mark of no entry ends the rule.
type mark struct {
	fromOld bool
	ops     []bitwise
}

func (e mark) eval(r *run) verdict {
	var b [4]byte
	if e.fromOld {
		if r.p.Entry == nil {
			return ended
		}
		binary.BigEndian.PutUint32(b[:], r.p.Entry.Mark)
	}
	apply(e.ops, b[:])
	if r.p.Entry != nil {
		r.p.Entry.Mark = binary.BigEndian.Uint32(b[:])
	}
	return goOn
}

// Judge sends a packet through the base chains of its hook. It changes the
// mark of the packet's conntrack entry.
func (k *Kernel) Judge(p *Packet) Result {
	r := &run{p: p}
	r.res.Verdict = Accept
	for _, base := range k.bases {
		if base.hook != p.Hook || p.Before != 0 && base.priority >= p.Before {
			continue
		}
		if r.res.Verdict = r.traverse(base); r.res.Verdict != Accept {
			break
		}
	}
	return r.res
}

// place is where a chain goes on after a jump.
type place struct {
	chain *chain
	at    int
}

func (r *run) traverse(base *chain) Verdict {
	stack := make([]place, 0, maxNesting)
	here := place{base, 0}
	for {
		v := goOn
		for v.code == next && here.at < len(here.chain.rules) {
			v = r.evaluate(here.chain, here.chain.rules[here.at])
			here.at++
		}
		switch v.code {
		case accept:
			return Accept
		case drop:
			return Drop
		case reject:
			return Reject
		case jump:
			stack = append(stack, here)
			here = place{v.chain, 0}
		case goTo:
			here = place{v.chain, 0}
		default:
			if len(stack) == 0 {
				if base.drop {
					return Drop
				}
				return Accept
			}
			here = stack[len(stack)-1]
			stack = stack[:len(stack)-1]
		}
	}
}

// evaluate gives next for a rule that came to no verdict.
func (r *run) evaluate(c *chain, rule *rule) verdict {
	r.res.Rules++
	for _, e := range rule.exprs {
		r.res.Expressions++
		v := e.eval(r)
		if v.code == broke {
			return goOn
		}
		if v.code != next {
			r.trace(c, rule)
			return v
		}
	}
	r.trace(c, rule)
	return goOn
}

func (r *run) trace(c *chain, rule *rule) {
	if r.p.Trace {
		r.res.Trace = append(r.res.Trace, c.name+": "+rule.text)
	}
}

// Forget empties the dynamic sets, as if much time had passed.
func (k *Kernel) Forget() {
	for _, t := range k.tables {
		for _, s := range t.sets {
			if s.dynamic {
				s.hash = map[string]*element{}
			}
		}
	}
}

// Counted is what each named counter of table inet sluice counted.
func (k *Kernel) Counted() map[string]int {
	out := map[string]int{}
	for name, c := range k.sluice().counters {
		out[name] = c.packets
	}
	return out
}
