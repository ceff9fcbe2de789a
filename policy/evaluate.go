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
	var src, dst claims
	f.Src, src = x.end(f.Src)
	f.Dst, dst = x.end(f.Dst)
	v := Verdict{Flow: f}
	v.Egress = x.judgeEnd(facts{
		dir: Egress, peer: dst, addr: f.Dst.Addr, proto: f.Protocol, port: f.Port, self: f.self(src, dst),
	}, src, explain)
	v.Ingress = x.judgeEnd(facts{
		dir: Ingress, peer: src, addr: f.Src.Addr, proto: f.Protocol, port: f.Port, self: f.self(src, dst),
	}, dst, explain)
	v.Allowed = v.Egress.Allowed && v.Ingress.Allowed
	return v
}

// self reports whether both ends are one Pod, whoever has the addresses. Two
// Pods that share an address are two, if the flow names them.
func (f *Flow) self(src, dst claims) bool {
	if f.Src.Addr == f.Dst.Addr {
		return f.Src.Pod == f.Dst.Pod
	}
	return src.first == dst.first && !src.shared() && !dst.shared()
}

// facts are a flow as one of its ends sees it.
type facts struct {
	dir Direction
	// subject is the Pod whose policies are asked, peer who claims the address
	// of the other end: nobody where that is no Pod.
	subject *entry
	peer    claims
	// addr is the peer's.
	addr  netip.Addr
	proto Protocol
	port  uint16
	// self: the peer is the subject itself. ownNode: it is the subject's node.
	self, ownNode bool
}

// judgeEnd judges one end: by the policies of each Pod that claims its address.
func (x *Index) judgeEnd(f facts, subjects claims, explain bool) DirectionVerdict {
	if subjects.none() {
		return DirectionVerdict{Direction: f.dir, Allowed: true, Reason: ReasonNoPod}
	}
	f.ownNode = true
	for e := range subjects.all {
		f.ownNode = f.ownNode && x.ownNode(&f, e.pod)
	}
	if !subjects.shared() {
		f.subject = subjects.first
		return x.judgePod(f, explain)
	}
	each := make([]ClaimVerdict, 0, len(subjects.contest.claimants))
	for e := range subjects.all {
		f.subject = e
		each = append(each, ClaimVerdict{Pod: e.pod.NamespacedName, DirectionVerdict: x.judgePod(f, explain)})
	}
	out := slices.MinFunc(each, func(a, b ClaimVerdict) int { return a.weight() - b.weight() }).DirectionVerdict
	out.Claims = each
	if out.Reason == ReasonRule && len(x.parts(subjects.contest, f.dir)) > mostParts {
		out.Allowed, out.Reason, out.AllowedBy, out.Policies = false, ReasonTooManyClaims, nil, nil
	}
	return out
}

// weight is less the more a verdict of one of several Pods says about all.
func (v *ClaimVerdict) weight() int {
	switch {
	case !v.Allowed:
		return 0
	case v.Reason == ReasonRule:
		return 1
	}
	return 2
}

func (x *Index) judgePod(f facts, explain bool) DirectionVerdict {
	out := DirectionVerdict{Direction: f.dir, Allowed: true, Subject: f.subject.pod.NamespacedName}
	policies := x.chosen(f.subject.class).policies[f.dir]
	if explain {
		out.Policies = tracePolicies(policies, f.dir)
	}
	ref := f.rules(policies, out.Policies)
	switch {
	case f.self:
		out.Reason = ReasonSelf
	case len(policies) == 0:
		out.Reason = ReasonNotIsolated
	case f.ownNode:
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

// ownNode reports whether the peer is the node of p, and that settles it.
func (x *Index) ownNode(f *facts, p *Pod) bool {
	if f.dir == Egress && !x.opts.NodeEgress {
		return false
	}
	if slices.Contains(p.NodeAddrs, f.addr) {
		return true
	}
	if !f.peer.none() || p.Node == "" {
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
		return !f.peer.none() && f.outsider(p.group) == nil
	}
	return p.block.Contains(f.addr)
}

// outsider is a Pod that claims the peer's address and is not in the group, nil
// if there is none.
func (f *facts) outsider(s *groupSpec) *entry {
	for e := range f.peer.all {
		if !s.matches(e.class) {
			return e
		}
	}
	return nil
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
	for _, n := range f.named().ports() {
		if n.Number == f.port && n.Protocol == p.Protocol && n.Name == p.name {
			return true
		}
	}
	return false
}

// named is whose named ports count: the destination's, nobody's if it is no Pod.
// Of several Pods that claim the peer's address, each must have the port.
func (f *facts) named() claims {
	if f.dir == Egress {
		return f.peer
	}
	return claims{first: f.subject}
}
