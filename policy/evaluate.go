package policy

import (
	"net/netip"
	"slices"
)

// Evaluate judges a flow, for Pods of any node. The addresses alone say who
// the ends are: which Pod owns them may have changed since the flow was made.
func (x *Index) Evaluate(f Flow) Verdict { return x.judge(f, false) }

// Explain judges a flow as [Index.Evaluate] does, and says why: every rule of
// every policy that isolates an end, and the rule that came nearest to
// allowing a denied flow.
func (x *Index) Explain(f Flow) Verdict { return x.judge(f, true) }

func (x *Index) judge(f Flow, explain bool) Verdict {
	var src, dst *entry
	f.Src, src = x.end(f.Src.address())
	f.Dst, dst = x.end(f.Dst.address())
	v := Verdict{Flow: f}
	v.Egress = x.judgeEnd(facts{
		dir: Egress, subject: src, peer: dst, addr: f.Dst.Addr, proto: f.Protocol, port: f.Port,
	}, explain)
	v.Ingress = x.judgeEnd(facts{
		dir: Ingress, subject: dst, peer: src, addr: f.Src.Addr, proto: f.Protocol, port: f.Port,
	}, explain)
	v.Allowed = v.Egress.Allowed && v.Ingress.Allowed
	return v
}

// address is that of the end, or the Pod's first where only the Pod is given.
func (e End) address() netip.Addr {
	if !e.Addr.IsValid() && e.Pod != nil && len(e.Pod.Addrs) > 0 {
		return e.Pod.Addrs[0]
	}
	return e.Addr
}

// facts are a flow as one of its ends sees it.
type facts struct {
	dir Direction
	// subject and peer are nil where the end is no Pod.
	subject, peer *entry
	// addr is the peer's.
	addr  netip.Addr
	proto Protocol
	port  uint16
}

func (x *Index) judgeEnd(f facts, explain bool) DirectionVerdict {
	out := DirectionVerdict{Direction: f.dir, Allowed: true}
	if f.subject == nil {
		out.Reason = ReasonNoPod
		return out
	}
	policies := x.chosen(f.subject.class).policies[f.dir]
	if explain {
		out.Policies = tracePolicies(policies, f.dir)
	}
	ref := f.rules(policies, out.Policies)
	switch {
	case f.subject == f.peer:
		out.Reason = ReasonSelf
	case len(policies) == 0:
		out.Reason = ReasonNotIsolated
	case x.ownNode(&f):
		out.Reason = ReasonOwnNode
	case ref != nil:
		out.Reason, out.AllowedBy = ReasonRule, ref
	default:
		out.Reason, out.Allowed = ReasonNoRule, false
		if explain {
			out.Nearest = f.nearest(policies, out.Policies)
		}
	}
	return out
}

// rules returns the first rule that allows. With traces, which are those of
// the same policies, it walks all rules and writes down what it saw.
func (f *facts) rules(policies []*parsed, traces []PolicyTrace) *RuleRef {
	var first *RuleRef
	for i, p := range policies {
		rules := p.rules[f.dir]
		for j := range rules {
			var t *RuleTrace
			if traces != nil {
				t = &traces[i].Rules[j]
			} else if first != nil {
				return first
			}
			if f.allows(&rules[j], t) && first == nil {
				first = &rules[j].ref
			}
		}
	}
	return first
}

// ownNode reports whether the peer is the subject's node, and that settles it.
func (x *Index) ownNode(f *facts) bool {
	if f.dir == Egress && !x.opts.NodeEgress {
		return false
	}
	p := f.subject.pod
	if slices.Contains(p.NodeAddrs, f.addr) {
		return true
	}
	if f.peer != nil || p.Node == "" {
		return false
	}
	for _, e := range x.hosts[f.addr] {
		if e.pod.Node == p.Node {
			return true
		}
	}
	return false
}

// allows reports whether some peer and some port of the rule match. A named
// port is the destination Pod's, whatever kind of peer the Pod is matched by.
func (f *facts) allows(r *rule, t *RuleTrace) bool {
	port := f.ports(r, t)
	if !port && t == nil {
		return false
	}
	peer := f.peers(r, t)
	if t != nil {
		t.PeerMatched, t.PortMatched = peer, port
	}
	return peer && port
}

// peers reports whether any peer matches.
func (f *facts) peers(r *rule, t *RuleTrace) bool {
	if r.allPeers {
		return true
	}
	matched := false
	for i := range r.peers {
		p := &r.peers[i]
		ok := f.matchesPeer(p)
		if t != nil {
			t.Peers[i] = f.tracePeer(p, i, ok)
		}
		matched = matched || ok
		if matched && t == nil {
			break
		}
	}
	return matched
}

func (f *facts) matchesPeer(p *peer) bool {
	switch {
	case p.invalid != "":
		return false
	case p.group != nil:
		return f.peer != nil && p.group.matches(f.peer.class)
	}
	return p.block.Contains(f.addr)
}

// ports reports whether any port matches.
func (f *facts) ports(r *rule, t *RuleTrace) bool {
	if r.allPorts {
		return true
	}
	matched := false
	for i := range r.ports {
		p := &r.ports[i]
		ok := f.matchesPort(p)
		if t != nil {
			t.Ports[i] = f.tracePort(p, i, ok)
		}
		matched = matched || ok
		if matched && t == nil {
			break
		}
	}
	return matched
}

func (f *facts) matchesPort(p *port) bool {
	if p.invalid != "" || p.Protocol != f.proto {
		return false
	}
	if p.name == "" {
		return p.First <= f.port && f.port <= p.Last
	}
	for _, n := range f.named() {
		if n.Number == f.port && n.Protocol == p.Protocol && n.Name == p.name {
			return true
		}
	}
	return false
}

// named are the named ports of the destination, none if it is no Pod.
func (f *facts) named() []NamedPort {
	e := f.subject
	if f.dir == Egress {
		e = f.peer
	}
	if e == nil {
		return nil
	}
	return e.pod.Ports
}
