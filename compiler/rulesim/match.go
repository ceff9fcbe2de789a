package rulesim

// match reads an expression that compares or looks up.
func (p *ruleParser) match() {
	k := p.key()
	if p.c.err != nil {
		return
	}
	var ops []bitwise
	if len(k) == 1 {
		ops = p.bitwise(k[0].typ)
	}
	if len(ops) == 0 && p.c.take("vmap") {
		p.vmap(k)
		return
	}
	equal, negated := p.c.take("=="), p.c.take("!=")
	switch {
	case len(ops) == 0 && p.c.take("{"):
		p.emit(lookup{k, p.anonymous(k, noData), negated})
	case len(ops) == 0 && len(p.c.peek()) > 0 && p.c.peek()[0] == '@':
		s := p.set(k)
		if s != nil && s.isMap() {
			p.c.fail("%s is a map", s.name)
		}
		p.emit(lookup{k, s, negated})
	case len(k) > 1:
		p.c.fail("a concatenation is only looked up")
	case len(ops) > 0 && !equal && !negated:
		p.c.fail("a bitwise expression must be compared")
	default:
		p.compare(k, ops, equal, negated)
	}
}

func (p *ruleParser) vmap(k key) {
	var s *set
	if p.c.take("{") {
		s = p.anonymous(k, verdictData)
	} else {
		s = p.set(k)
	}
	if s != nil && s.data != verdictData {
		p.c.fail("%s is no verdict map", s.name)
	}
	p.emit(vmap{k, s})
}

func (p *ruleParser) compare(k key, ops []bitwise, equal, negated bool) {
	d := k[0].typ
	if d.bits && len(ops) == 0 && !equal && !negated {
		p.anyOf(k, d)
		return
	}
	sp, err := d.parseSpan(p.c.next())
	if err != nil {
		p.c.fail("%w", err)
		return
	}
	if p.c.peek() == "," {
		p.c.fail("a list of values where one is expected")
	}
	if k[0].name == "meta l4proto" && !negated && sp.lo == sp.hi {
		p.proto = sp.lo[0]
	}
	p.emit(compare{k, ops, []span{sp}, negated})
}

// anyOf reads flags separated by commas: one of them must be set.
func (p *ruleParser) anyOf(k key, d *datatype) {
	v, err := d.parse(p.c.word())
	for err == nil && p.c.take(",") {
		var more string
		more, err = d.parse(p.c.word())
		v = apply([]bitwise{{'|', more}}, []byte(v))
	}
	if err != nil {
		p.c.fail("%w", err)
		return
	}
	zero := string(make([]byte, d.width))
	p.emit(compare{k, []bitwise{{'&', v}}, []span{{zero, zero}}, true})
}
