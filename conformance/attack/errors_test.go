package attack_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluice-net/sluice/conformance/enforced"
)

// icmpKind is an ICMP error in both families.
type icmpKind struct {
	name                       string
	kind4, code4, kind6, code6 uint8
}

var icmpErrorKinds = []icmpKind{
	{"port unreachable", layers.ICMPv4TypeDestinationUnreachable, 3, layers.ICMPv6TypeDestinationUnreachable, 4},
	{"packet too big", layers.ICMPv4TypeDestinationUnreachable, 4, layers.ICMPv6TypePacketTooBig, 0},
	{"time exceeded", layers.ICMPv4TypeTimeExceeded, 0, layers.ICMPv6TypeTimeExceeded, 0},
	{"parameter problem", layers.ICMPv4TypeParameterProblem, 0, layers.ICMPv6TypeParameterProblem, 0},
	// Of IPv6 every number below 128 is an error.
	{"source quench, or an error that nobody defined", layers.ICMPv4TypeSourceQuench, 0, 100, 0},
}

// datagramFlow is a UDP flow as its opener sees it.
type datagramFlow struct {
	from, to     netip.Addr
	sport, dport uint16
}

func (f datagramFlow) reversed() datagramFlow {
	return datagramFlow{from: f.to, to: f.from, sport: f.dport, dport: f.sport}
}

// packetOf is a packet of the flow, without the frame around it.
func (s *scene) packetOf(f datagramFlow) []byte {
	p := s.from(f.from).to(f.to, nil)
	return p.ip(unix.IPPROTO_UDP, p.datagram(f.sport, f.dport))[14:]
}

// complaint is an error about a packet, which goes to where that came from.
func (s *scene) complaint(k icmpKind, about []byte) []byte {
	kind, code := k.kind4, k.code4
	if s.is6() {
		kind, code = k.kind6, k.code6
	}
	return s.icmp(kind, code, []byte{0, 0, 5, 0}, about)
}

// complain has every error about a flow sent by one end or anybody else to another,
// about what that sent.
func (w *world) complain(t *testing.T, what string, by origin, at string, is6, want bool, f datagramFlow) {
	t.Helper()
	for _, k := range icmpErrorKinds {
		s := newScene(t, w, by, at, is6, newToken())
		s.expect(t, fmt.Sprintf("%s: %s from %s to %s", what, k.name, by.name, at), want, func(s *scene) []byte {
			return s.complaint(k, s.packetOf(f))
		})
	}
}

var byVictim = origin{"the isolated Pod", victim}

// TestAttackForgedErrors: an ICMP error passes from the flow's other end and from
// whoever is no Pod, and from no other Pod. About a denied flow it stays away and
// revives nothing.
func TestAttackForgedErrors(t *testing.T) {
	inEach(t, func(t *testing.T, w *world, is6 bool) {
		f := datagramFlow{from: w.addr(friend, is6), to: w.addr(victim, is6), sport: 4242, dport: allowedPort}
		flow := func(s *scene) []byte { return s.ip(unix.IPPROTO_UDP, s.datagram(f.sport, f.dport)) }
		friendly := newScene(t, w, byFriend, victim, is6, newToken())
		all := func(what string, ends bool) {
			t.Helper()
			// To the victim it is about what the victim sent, to friend the other
			// way round.
			for _, by := range []origin{byFriend, byOutsider} {
				w.complain(t, what, by, victim, is6, ends, f.reversed())
			}
			for _, by := range []origin{byVictim, byOutsider} {
				w.complain(t, what, by, friend, is6, ends, f)
			}
			for _, by := range []origin{byAttacker, byCaged, byStray} {
				w.complain(t, what, by, victim, is6, false, f.reversed())
				w.complain(t, what, by, friend, is6, false, f)
			}
		}
		unreachable := func(s *scene) []byte { return s.complaint(icmpErrorKinds[0], s.packetOf(f.reversed())) }

		friendly.expect(t, "allowed flow", true, flow)
		all("about an allowed flow", true)

		// Nothing has come since the policy changed: the connection still
		// bears the mark of one that was allowed.
		w.admit()
		newScene(t, w, byOutsider, victim, is6, newToken()).reaches(t, unreachable, false)
		friendly.expect(t, "stale flow after a forged error", false, flow)
		all("about a denied flow", false)
		friendly.expect(t, "denied flow after forged errors", false, flow)

		w.admit(allowedPorts()...)
		friendly.expect(t, "flow that is allowed again", true, flow)
		all("about a flow that is allowed again", true)
	})
}

// elsewhere is another host of the uplink: a router on the way of a flow.
func elsewhere(is6 bool) netip.Addr {
	if is6 {
		return netip.MustParseAddr("2001:db8::67")
	}
	return netip.MustParseAddr("203.0.113.67")
}

// admitOutsider lets one host of the uplink, or else nobody, reach the victim.
func (w *world) admitOutsider(is6, admitted bool) {
	w.t.Helper()
	if !admitted {
		w.admit()
		return
	}
	block := "203.0.113.66/32"
	if is6 {
		block = "2001:db8::66/128"
	}
	w.Set(enforced.DenyIngress(namespace, victim, networkingv1.NetworkPolicyIngressRule{
		From: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: block}}}, Ports: allowedPorts(),
	}))
}

// narrowElsewhere changes the epoch, and nothing for the flows of these tests.
func (w *world) narrowElsewhere() {
	w.t.Helper()
	w.Set(enforced.DenyIngress(namespace, stray))
	w.Delete(enforced.DenyIngress(namespace, stray))
}

// TestAttackStaleErrors: when policies take a flow back and nobody sends one more packet
// of it, its ends cannot go on inside of errors about it. Routers are heard all the
// time, and ends about what stays allowed as soon as a packet of it has passed.
func TestAttackStaleErrors(t *testing.T) {
	inEach(t, func(t *testing.T, w *world, is6 bool) {
		flow := func(sport uint16) func(s *scene) []byte {
			return func(s *scene) []byte { return s.ip(unix.IPPROTO_UDP, s.datagram(sport, allowedPort)) }
		}
		// about has both ends of a flow say something of it, and a router to both.
		about := func(what string, f datagramFlow, opener, other origin, ends bool) {
			t.Helper()
			w.complain(t, what, opener, other.pod, is6, ends, f.reversed())
			w.router(t, what, other.pod, is6, f.reversed())
			if opener.pod != "" {
				w.complain(t, what, other, opener.pod, is6, ends, f)
				w.router(t, what, opener.pod, is6, f)
			}
		}
		byOpen := origin{"a Pod that is not isolated", open}
		between := func(from, to string, sport uint16) datagramFlow {
			return datagramFlow{from: w.addr(from, is6), to: w.addr(to, is6), sport: sport, dport: allowedPort}
		}

		in, free, out := between(friend, victim, 4250), between(friend, open, 4251), between(caged, open, 4252)
		fromFriend := newScene(t, w, byFriend, victim, is6, newToken())
		toOpen := newScene(t, w, byFriend, open, is6, newToken())
		fromCaged := newScene(t, w, byCaged, open, is6, newToken())
		fromFriend.expect(t, "allowed flow", true, flow(in.sport))
		toOpen.expect(t, "flow of nobody who is isolated", true, flow(free.sport))
		fromCaged.expect(t, "allowed flow of who is isolated in egress", true, flow(out.sport))
		about("about a judged flow", in, byFriend, byVictim, true)

		w.narrowElsewhere()
		about("about a flow that stays free", free, byFriend, byOpen, true)
		w.router(t, "about a flow that stays allowed", victim, is6, in.reversed())
		w.router(t, "about a flow that stays allowed", friend, is6, in)
		fromFriend.expect(t, "flow that stays allowed", true, flow(in.sport))
		about("about a flow that stays allowed, and was used since", in, byFriend, byVictim, true)

		w.admit()
		about("about a flow that was taken back", in, byFriend, byVictim, false)
		fromFriend.expect(t, "flow that was taken back, after errors about it", false, flow(in.sport))
		w.admit(allowedPorts()...)
		fromFriend.expect(t, "flow that is given again", true, flow(in.sport))
		about("about a flow that is given again", in, byFriend, byVictim, true)

		w.Set(enforced.DenyEgress(namespace, caged))
		about("about an egress flow that was taken back", out, byCaged, byOpen, false)
		fromCaged.expect(t, "egress flow that was taken back, after errors about it", false, flow(out.sport))
		w.Set(policies()[3])

		// Who is no Pod of this node can be an end as well: one of another node, say.
		w.admitOutsider(is6, true)
		fromOutside := newScene(t, w, byOutsider, victim, is6, newToken())
		far := datagramFlow{from: fromOutside.src, to: w.addr(victim, is6), sport: 4253, dport: allowedPort}
		fromOutside.expect(t, "flow from outside", true, flow(far.sport))
		about("about a judged flow from outside", far, byOutsider, byVictim, true)
		w.admitOutsider(is6, false)
		about("about a flow from outside that was taken back", far, byOutsider, byVictim, false)
		fromOutside.expect(t, "flow from outside that was taken back, after errors about it", false, flow(far.sport))
		w.admit(allowedPorts()...)
	})
}

// router has every error about a flow that was not denied arrive from a router.
func (w *world) router(t *testing.T, what, at string, is6 bool, f datagramFlow) {
	t.Helper()
	for _, k := range icmpErrorKinds {
		s := newScene(t, w, byOutsider, at, is6, newToken())
		s.src = elsewhere(is6)
		s.expect(t, fmt.Sprintf("%s: %s from a router to %s", what, k.name, at), true, func(s *scene) []byte {
			return s.complaint(k, s.packetOf(f))
		})
	}
}

// TestAttackErrorsAboutNothing: what a Pod says about a flow that its node does not
// know may well be about one that another node knows.
func TestAttackErrorsAboutNothing(t *testing.T) {
	inEach(t, func(t *testing.T, w *world, is6 bool) {
		f := datagramFlow{from: w.addr(open, is6), to: w.addr(friend, is6), sport: 4244, dport: allowedPort}
		for _, by := range []origin{byAttacker, byCaged, byStray, byFriend} {
			w.complain(t, "about no flow", by, open, is6, false, f)
		}
		w.complain(t, "about no flow", byOutsider, open, is6, true, f)
		// An error about an error is about no flow either.
		nested := func(s *scene) []byte {
			p := s.from(f.from).to(f.to, nil)
			inner := &scene{packet: p}
			return s.complaint(icmpErrorKinds[0], inner.complaint(icmpErrorKinds[2], s.packetOf(f.reversed()))[14:])
		}
		newScene(t, w, byAttacker, open, is6, newToken()).expect(t, "error about an error", false, nested)
		w.foreign(t, "chain pre { type filter hook prerouting priority raw; policy accept; notrack; }")
		w.complain(t, "untracked", byAttacker, open, is6, false, f)
		w.complain(t, "untracked", byOutsider, open, is6, true, f)
	})
}

// TestAttackErrorsAboutPings: the flow can be a ping.
func TestAttackErrorsAboutPings(t *testing.T) {
	inEach(t, func(t *testing.T, w *world, is6 bool) {
		ping := newScene(t, w, byFriend, fan, is6, newToken())
		ping.expect(t, "ping", true, func(s *scene) []byte {
			kind := uint8(layers.ICMPv4TypeEchoRequest)
			if is6 {
				kind = layers.ICMPv6TypeEchoRequest
			}
			return s.icmp(kind, 0, []byte{0x12, 0x34, 0, 1}, s.token)
		})
		about := func(s *scene) []byte {
			kind := uint8(layers.ICMPv4TypeEchoReply)
			if is6 {
				kind = layers.ICMPv6TypeEchoReply
			}
			p := s.from(w.addr(fan, is6)).to(w.addr(friend, is6), nil)
			return s.complaint(icmpErrorKinds[0], p.icmp(kind, 0, []byte{0x12, 0x34, 0, 1}, s.token)[14:])
		}
		for _, by := range []origin{byAttacker, byCaged, byVictim} {
			newScene(t, w, by, fan, is6, newToken()).expect(t, "about a ping, from "+by.name, false, about)
		}
		newScene(t, w, byFriend, fan, is6, newToken()).expect(t, "about a ping, from its sender", true, about)
	})
}

// TestAttackRedirectAboutAnAllowedFlow: a redirect is no error, and conntrack
// takes it for one.
func TestAttackRedirectAboutAnAllowedFlow(t *testing.T) {
	for _, topology := range topologies {
		t.Run(topology.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, topology, true)
			f := datagramFlow{from: w.addr(friend, false), to: w.addr(victim, false), sport: 4243, dport: allowedPort}
			newScene(t, w, byFriend, victim, false, newToken()).expect(t, "allowed flow", true, func(s *scene) []byte {
				return s.ip(unix.IPPROTO_UDP, s.datagram(f.sport, f.dport))
			})
			redirect := func(about datagramFlow) func(s *scene) []byte {
				return func(s *scene) []byte {
					return s.icmp(layers.ICMPv4TypeRedirect, 1, s.src.AsSlice(), s.packetOf(about))
				}
			}
			for _, by := range []origin{byAttacker, byFriend, byOutsider} {
				newScene(t, w, by, victim, false, newToken()).expect(t, "redirect from "+by.name, false, redirect(f.reversed()))
			}
			// Who is not isolated still is no Pod's to lead astray.
			for _, by := range []origin{byAttacker, byVictim, byCaged} {
				newScene(t, w, by, friend, false, newToken()).expect(t, "redirect of a Pod that is not isolated from "+by.name, false, redirect(f))
			}
		})
	}
}
