package policy

// closeness says how near a rule came to allowing a flow. Fields are compared
// in their order.
type closeness struct {
	// half is which half matched: the stated peers, the stated ports, only a
	// list that is left out, or nothing.
	half int
	// missed and met count the requirements of the peer that came nearest.
	missed, met int
}

func (c closeness) beats(o closeness) bool {
	switch {
	case c.half != o.half:
		return c.half > o.half
	case c.missed != o.missed:
		return c.missed < o.missed
	}
	return c.met > o.met
}

// nearest is the rule that came closest to allowing the flow, the first among
// equals; nil if there is no rule.
func (f *facts) nearest(policies []*parsed, traces []PolicyTrace) *RuleRef {
	var best *RuleRef
	var least closeness
	for i, p := range policies {
		rules := p.rules[f.dir]
		for j := range rules {
			c := f.closeness(&rules[j], &traces[i].Rules[j])
			if best == nil || c.beats(least) {
				best, least = &rules[j].ref, c
			}
		}
	}
	return best
}

func (f *facts) closeness(r *rule, t *RuleTrace) closeness {
	c := closeness{half: 1}
	switch {
	case t.Invalid != "":
		c.half = 0
	case t.PeerMatched && !r.allPeers:
		c.half = 4
	case t.PortMatched && !r.allPorts:
		c.half = 3
	case t.PeerMatched || t.PortMatched:
		c.half = 2
	}
	for i := range r.peers {
		met, missed := f.count(&r.peers[i])
		if i == 0 || missed < c.missed || missed == c.missed && met > c.met {
			c.met, c.missed = met, missed
		}
	}
	return c
}

// count counts what of a peer the other end meets: being of the right kind,
// the namespace, and each requirement on labels.
func (f *facts) count(p *peer) (met, missed int) {
	add := func(ok bool) {
		if ok {
			met++
		} else {
			missed++
		}
	}
	if p.group == nil {
		sameFamily := p.invalid == "" && f.addr.Is4() == p.block.CIDR.Addr().Is4()
		add(sameFamily)
		add(sameFamily && p.block.CIDR.Contains(f.addr))
		add(f.matchesPeer(p))
		return met, missed
	}
	// Of several Pods that claim the address, one that does not match counts.
	e := f.peer.first
	if o := f.outsider(p.group); o != nil {
		e = o
	}
	add(e != nil)
	if s := p.group.in.sel; s == nil {
		add(e != nil && p.group.in.matches(e.class.ns))
	} else {
		for i := range s.reqs {
			add(e != nil && e.class.ns.known && s.reqs[i].matches(e.class.ns.labels))
		}
	}
	for i := range p.group.pods.reqs {
		add(e != nil && p.group.pods.reqs[i].matches(e.class))
	}
	return met, missed
}
