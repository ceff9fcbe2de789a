package compiler

import "github.com/sluice-net/sluice/policy"

// crowd lets the peers pass that are limited to some ports. What no rule here lets
// pass goes on to the end of the chain, or from a leaf to [chainBuilder.rest].
func (b *chainBuilder) crowd(c *crowd) {
	for i := range c.listed {
		g := &c.listed[i]
		if len(g.spans) == 1 {
			b.peers(b.matchSpan(g.spans[0]), &g.peers)
			continue
		}
		b.peers([]Term{b.in(portsObject(g.spans), portField(b.way), L4Protocol)}, &g.peers)
	}
	var spans []portSpan
	var verdicts []MapValue
	var uses []*object
	for i := range c.trees {
		b.leaves(&c.trees[i], func(s portSpan, leaf *object) {
			uses = append(uses, leaf)
			spans = append(spans, s)
			verdicts = append(verdicts, MapValue{DoGoto, leaf.name})
		})
	}
	if len(spans) == 0 {
		return
	}
	b.rule(b.vmap(verdictMap(spans, verdicts, uses)))
}

// matchSpan compares ports and protocol.
func (b *chainBuilder) matchSpan(s portSpan) []Term {
	return []Term{b.matchPort(s), isProtocol(s.protocol)}
}

// matchPort compares ports alone.
func (b *chainBuilder) matchPort(s portSpan) Term {
	at := portField(b.way)
	if s.first == s.last {
		return isNumber(at, uint32(s.first))
	}
	return between(at, uint32(s.first), uint32(s.last))
}

// isProtocol is one of the few that have ports.
func isProtocol(p policy.Protocol) Term {
	switch p {
	case policy.TCP:
		return isTCP
	case policy.UDP:
		return isUDP
	}
	return isNumber(L4Protocol, uint32(p))
}

var isTCP, isUDP = isNumber(L4Protocol, uint32(policy.TCP)), isNumber(L4Protocol, uint32(policy.UDP))

// leaves yields the chain of each leaf in which there is something.
func (b *chainBuilder) leaves(t *portTree, yield func(portSpan, *object)) {
	nodes := map[*portNode]*chainBuilder{}
	t.eachLeaf(func(leaf *portNode, path []*portNode) {
		if len(path) == 0 && len(leaf.partial) == 0 {
			return
		}
		inner := b.inner()
		// Most packets are not of the ports of a partial grant, and to see that
		// costs next to nothing.
		for _, g := range leaf.partial {
			inner.peers(inner.matchSpan(g.span), g.peers)
		}
		for _, n := range path {
			if nodes[n] == nil {
				nodes[n] = b.inner()
				nodes[n].peers(nil, &n.peers)
			}
			inner.repeat(nodes[n])
		}
		inner.rule(Goto{b.rest})
		yield(t.span(leaf), b.u.take(inner.object(classLetter, "", b.direction.String()+b.way.suffix()+"-"+b.family.String())))
	})
	for _, n := range nodes {
		for _, o := range n.uses {
			b.u.drop(o)
		}
	}
}

// repeat adds the rules of another builder, and what they use once more.
func (b *chainBuilder) repeat(o *chainBuilder) {
	b.rules = append(b.rules, o.rules...)
	for _, used := range o.uses {
		used.refs++
		b.uses = append(b.uses, used)
	}
}
