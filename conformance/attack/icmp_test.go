package attack_test

import (
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"
)

// icmpAttacks: errors about packets that nobody sent. Those about real flows
// are in related_test.go.
var icmpAttacks = []attack{
	icmpError("port unreachable", layers.ICMPv4TypeDestinationUnreachable, 3, layers.ICMPv6TypeDestinationUnreachable, 4),
	icmpError("packet too big", layers.ICMPv4TypeDestinationUnreachable, 4, layers.ICMPv6TypePacketTooBig, 0),
	icmpError("time exceeded", layers.ICMPv4TypeTimeExceeded, 0, layers.ICMPv6TypeTimeExceeded, 0),
	icmpError("parameter problem", layers.ICMPv4TypeParameterProblem, 0, layers.ICMPv6TypeParameterProblem, 0),
	{
		name: "redirect", in: ipv4, by: []origin{byAttacker, byStray, byFriend, byOutsider},
		frames: func(s *scene) [][]byte {
			return one(s.icmp(layers.ICMPv4TypeRedirect, 1, s.src.AsSlice(), s.embedded()))
		},
	},
	{
		name: "router advertisement of ICMP", in: ipv4, by: []origin{byAttacker, byStray, byFriend, byOutsider},
		frames: func(s *scene) [][]byte {
			return one(s.icmp(layers.ICMPv4TypeRouterAdvertisement, 0, []byte{1, 2, 7, 8}, append(s.src.AsSlice(), s.token...)))
		},
	},
	{
		name: "echo reply that nobody asked for", in: dual, by: []origin{byAttacker, byStray, byFriend, byOutsider},
		frames: func(s *scene) [][]byte {
			kind := uint8(layers.ICMPv4TypeEchoReply)
			if s.is6() {
				kind = layers.ICMPv6TypeEchoReply
			}
			return one(s.icmp(kind, 0, append(s.identifier(), 0, 1), s.token))
		},
	},
	{
		name: "ping", in: dual, by: []origin{byAttacker, byStray, byFriend, byOutsider},
		frames: func(s *scene) [][]byte { return one(s.echo()) },
	},
	{
		name: "multicast listener query from a global address", in: ipv6, by: []origin{byAttacker, byStray},
		frames: func(s *scene) [][]byte {
			p := s.packet
			p.hops = 64
			return one(p.icmp(layers.ICMPv6TypeMLDv1MulticastListenerQueryMessage, 0, make([]byte, 4), append(make([]byte, 16), s.token...)))
		},
	},
}

// icmpError is an error about a packet that the victim is said to have sent to
// the sender's port.
func icmpError(name string, kind4, code4, kind6, code6 uint8) attack {
	return attack{
		name: name + " about nothing", in: dual, by: []origin{byAttacker, byStray, byFriend, byOutsider},
		frames: func(s *scene) [][]byte {
			kind, code := kind4, code4
			if s.is6() {
				kind, code = kind6, code6
			}
			return one(s.icmp(kind, code, []byte{0, 0, 5, 0}, s.embedded()))
		},
	}
}

// embedded is the IP packet that an error is about: from the one that gets the
// error to the one that sends it.
func (s *scene) embedded() []byte {
	p := s.from(s.dst).to(s.src, nil)
	return p.ip(unix.IPPROTO_UDP, p.datagram(allowedPort, s.sourcePort()))[14:]
}
