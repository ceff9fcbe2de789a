package compiler

import "net/netip"

// addrSpans lets ranges of addresses pass, of which each may use ports of its own. Those
// with few ports are one set together, of ranges of both: there are few ranges, too, so it
// is no larger than the rules for it would be, and it serves both ways.
func (b *chainBuilder) addrSpans(spans []addrSpan) {
	var few, many []addrSpan
	for _, s := range spans {
		if len(s.ports.spans) <= fewSpans {
			few = append(few, s)
		} else {
			many = append(many, s)
		}
	}
	peer := peerField(b.family, b.direction, b.way)
	switch {
	case len(few) == 1 && len(few[0].ports.spans) == 1:
		b.rule(append(append([]Term{few[0].match(peer)}, b.matchSpan(few[0].ports.spans[0])...), b.allow())...)
	case len(few) == 1:
		b.addrPorts(&few[0], few[0].ports.spans)
	case len(few) > 1:
		b.rule(b.in(reachObject(b.family, few, true), peer, portField(b.way), L4Protocol), b.allow())
	}
	for i := range many {
		exact, wide := byWidth(many[i].ports.spans)
		b.addrPorts(&many[i], exact)
		b.addrPorts(&many[i], wide)
	}
}

// addrPorts compares the address and looks the port up.
func (b *chainBuilder) addrPorts(s *addrSpan, ports []portSpan) {
	if len(ports) > 0 {
		b.rule(s.match(peerField(b.family, b.direction, b.way)), b.in(portsObject(ports), portField(b.way), L4Protocol), b.allow())
	}
}

// reachObject is ranges of addresses, each with its ranges of ports, which may be all of one
// protocol that was asked for before. The address comes first, for by it nearly all
// elements are told apart.
func reachObject(f family, spans []addrSpan, protocols bool) *object {
	s := &Set{Key: keyType(f.addrType(), InetService), Interval: true}
	if protocols {
		s.Key = keyType(f.addrType(), InetService, InetProto)
	}
	for i := range spans {
		for _, ports := range spans[i].ports.spans {
			s.Elements = append(s.Elements, Element{Key: reachKey(spans[i].addrRange, ports, protocols)})
		}
	}
	s.Name = contentName(reachLetter, contentOf(s), "")
	sortElements(s.Elements)
	return &object{name: s.Name, set: s}
}

func reachKey(r addrRange, ports portSpan, protocol bool) Key {
	var out []byte
	for _, end := range []struct {
		addr netip.Addr
		port uint16
	}{{r.first, ports.first}, {r.last, ports.last}} {
		if out = appendPort(append(out, addrKey(end.addr)...), end.port); protocol {
			out = append(out, byte(ports.protocol))
		}
	}
	return Key(out)
}
