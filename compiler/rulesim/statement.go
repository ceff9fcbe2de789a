package rulesim

import (
	"fmt"
	"strconv"
	"strings"
)

func (k *Kernel) addRule(c command) error {
	t, err := k.table(c)
	if err != nil {
		return err
	}
	ch := t.chains[c.name]
	if ch == nil {
		return ErrNotFound
	}
	p := &ruleParser{t: t, c: c.body, rule: &rule{text: describe(c.body)}}
	if err := p.parse(); err != nil {
		return err
	}
	old := ch.rules
	ch.rules = append(old[:len(old):len(old)], p.rule)
	p.rule.hold(1)
	k.did(func() { ch.rules = old; p.rule.hold(-1) })
	return nil
}

// ruleParser compiles one rule. family and proto are what the expressions so
// far made sure of.
type ruleParser struct {
	t             *table
	c             cursor
	rule          *rule
	family, proto uint8
}

func (p *ruleParser) parse() error {
	if p.c.done() {
		p.c.fail("an empty rule")
	}
	for !p.c.done() {
		if p.c.peek() == "comment" {
			p.c.comment()
			if !p.c.done() {
				p.c.fail("%q after the comment", p.c.peek())
			}
			break
		}
		if n := len(p.rule.exprs); n > 0 && isTerminal(p.rule.exprs[n-1]) {
			p.c.fail("statement %q after a terminal one", p.c.peek())
		}
		p.statement()
	}
	return p.c.err
}

func isTerminal(e expr) bool {
	switch e.(type) {
	case verdict, rejection:
		return true
	}
	return false
}

func (p *ruleParser) emit(e expr) { p.rule.exprs = append(p.rule.exprs, e) }

func (p *ruleParser) holdRef(r *refs) { p.rule.holds = append(p.rule.holds, r) }

func (p *ruleParser) statement() {
	switch p.c.peek() {
	case "accept", "drop", "return", "jump", "goto":
		v, err := parseVerdict(p.t, &p.c)
		if err != nil {
			p.c.fail("%w", err)
			return
		}
		if v.chain != nil {
			p.rule.jumps = append(p.rule.jumps, v.chain)
			p.holdRef(&v.chain.refs)
		}
		p.emit(v)
	case "counter":
		p.counter()
	case "log":
		p.log()
	case "reject":
		p.reject()
	case "add", "update":
		p.dynset()
	case "limit":
		p.emit(&limiter{tokens: p.limit()})
	default:
		if p.c.take("ct", "mark", "set") {
			p.setMark()
			return
		}
		p.match()
	}
}

func (p *ruleParser) counter() {
	p.c.expect("counter")
	if !p.c.take("name") {
		if p.c.take("packets") {
			p.c.word()
			p.c.expect("bytes")
			p.c.word()
		}
		p.emit(nameless{})
		return
	}
	if !p.c.done() && (p.c.tokens[p.c.pos].quoted || p.t.counters[p.c.peek()] != nil) {
		name := p.c.next().text
		o := p.t.counters[name]
		if o == nil {
			p.c.fail("counter %q: %w", name, ErrNotFound)
			return
		}
		p.holdRef(&o.refs)
		p.emit(count{o})
		return
	}
	k := p.key()
	p.c.expect("map")
	s := p.set(k)
	if s != nil && s.data != counterData {
		p.c.fail("%s holds no counters", s.name)
	}
	p.emit(countBy{k, s})
}

func (p *ruleParser) log() {
	p.c.expect("log")
	l := logging{}
	for {
		switch p.c.peek() {
		case "prefix":
			p.c.pos++
			if l.prefix = p.c.quoted(); len(l.prefix) > 127 {
				p.c.fail("log prefix of %d characters", len(l.prefix))
			}
		case "group", "snaplen", "queue-threshold":
			p.c.pos++
			if _, err := strconv.ParseUint(p.c.word(), 10, 16); err != nil {
				p.c.fail("%w", err)
			}
		default:
			p.emit(l)
			return
		}
	}
}

func (p *ruleParser) reject() {
	p.c.expect("reject")
	switch {
	case p.c.take("with", "tcp", "reset"):
		p.ensure(&load{name: "reject with tcp reset", proto: 6})
	case p.c.take("with", "icmpx", "type", "admin-prohibited"), p.c.take("with", "icmpx", "admin-prohibited"):
	default:
		p.c.fail("unknown reject")
	}
	p.emit(rejection{})
}

// limit reads "limit rate N/second burst N packets" and gives the burst.
func (p *ruleParser) limit() int {
	p.c.expect("limit")
	p.c.expect("rate")
	if rate, unit, ok := strings.Cut(p.c.word(), "/"); !ok || rate == "over" || unit != "second" && unit != "minute" {
		p.c.fail("unknown rate %s/%s", rate, unit)
	}
	burst := 5
	if p.c.take("burst") {
		n, err := strconv.Atoi(p.c.word())
		if err != nil {
			p.c.fail("%w", err)
		}
		burst = n
		p.c.expect("packets")
	}
	return burst
}

func (p *ruleParser) dynset() {
	p.c.word()
	name, ok := strings.CutPrefix(p.c.word(), "@")
	s := p.t.sets[name]
	if !ok || s == nil || !s.dynamic || s.isMap() {
		p.c.fail("%q is no dynamic set", name)
		return
	}
	p.holdRef(&s.refs)
	p.c.expect("{")
	k := p.key()
	if err := k.fits(s); err != nil {
		p.c.fail("%w", err)
	}
	burst := 0
	if p.c.peek() == "limit" {
		burst = p.limit()
	}
	p.c.take("counter")
	p.c.expect("}")
	p.emit(remember{k, s, burst})
}

// setMark reads "ct mark set ct mark & N | N".
func (p *ruleParser) setMark() {
	if p.c.take("ct", "mark") {
		p.emit(mark{true, p.bitwise(typeMark)})
		return
	}
	v, err := typeMark.parse(p.c.word())
	if err != nil {
		p.c.fail("%w", err)
	}
	p.emit(mark{false, []bitwise{{'|', v}}})
}

// bitwise reads "& N", "^ N", "| N" in this order, which is that of how tight
// they bind.
func (p *ruleParser) bitwise(d *datatype) []bitwise {
	var out []bitwise
	for _, op := range []string{"&", "^", "|"} {
		for p.c.take(op) {
			out = append(out, bitwise{op[0], p.flags(d)})
		}
	}
	return out
}

// flags reads a value, or values joined by | in parentheses.
func (p *ruleParser) flags(d *datatype) string {
	if !p.c.take("(") {
		v, err := d.parse(p.c.word())
		if err != nil {
			p.c.fail("%w", err)
		}
		return v
	}
	v, err := d.parse(p.c.word())
	for err == nil && p.c.take("|") {
		var more string
		more, err = d.parse(p.c.word())
		v = apply([]bitwise{{'|', more}}, []byte(v))
	}
	if err != nil {
		p.c.fail("%w", err)
	}
	p.c.expect(")")
	return v
}

// ensure adds the comparison that nft adds before a load that needs a family
// or a protocol.
func (p *ruleParser) ensure(l *load) {
	if l.family != 0 && p.family != l.family {
		if p.family != 0 {
			p.c.fail("%s contradicts the family before it", l.name)
		}
		p.family = l.family
		p.emit(compare{key: key{loadNamed("meta nfproto")}, value: []span{{string([]byte{l.family}), string([]byte{l.family})}}})
	}
	if l.proto != 0 && p.proto != l.proto {
		if p.proto != 0 {
			p.c.fail("%s contradicts the protocol before it", l.name)
		}
		p.proto = l.proto
		p.emit(compare{key: key{loadNamed("meta l4proto")}, value: []span{{string([]byte{l.proto}), string([]byte{l.proto})}}})
	}
}

func loadNamed(name string) *load {
	for _, l := range loads {
		if l.name == name {
			return l
		}
	}
	return nil
}

func fields(s string) []string { return strings.Fields(s) }

func (p *ruleParser) key() key {
	var k key
	for {
		l := parseLoad(&p.c)
		if l == nil {
			p.c.fail("unknown expression %q", p.c.peek())
			return k
		}
		p.ensure(l)
		k = append(k, l)
		if !p.c.take(".") {
			return k
		}
	}
}

// set reads "@name", which must have the key's type.
func (p *ruleParser) set(k key) *set {
	word := p.c.word()
	name, ok := strings.CutPrefix(word, "@")
	s := p.t.sets[name]
	if !ok || s == nil {
		p.c.fail("set %q: %w", word, ErrNotFound)
		return nil
	}
	if err := k.fits(s); err != nil {
		p.c.fail("%w", err)
	}
	p.holdRef(&s.refs)
	p.rule.sets = append(p.rule.sets, s)
	return s
}

// anonymous reads the elements of a set that has no name.
func (p *ruleParser) anonymous(k key, data dataKind) *set {
	s := newSet("__set")
	s.key, s.data, s.intervals = k.types(), data, true
	inner := p.c.block()
	elements, err := parseElements(p.t, s, &inner, true)
	for _, e := range elements {
		if err == nil {
			_, err = s.insert(e)
		}
		if e.verdict.chain != nil {
			p.holdRef(&e.verdict.chain.refs)
		}
	}
	if err == nil && len(elements) == 0 {
		err = fmt.Errorf("an anonymous set without elements")
	}
	if err != nil {
		p.c.fail("%w", err)
	}
	p.rule.sets = append(p.rule.sets, s)
	return s
}
