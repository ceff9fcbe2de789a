package attack_test

import (
	"slices"

	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/conformance/lab"
)

var byAnybody = []origin{byAttacker, byStray, byFriend, byOutsider}

// fragmentAttacks: packets in pieces, so that no piece shows its port.
var fragmentAttacks = []attack{
	{
		name: "UDP in fragments", in: dual, by: byAnybody,
		frames: func(s *scene) [][]byte { return s.fragments(unix.IPPROTO_UDP, s.long(deniedPort), 64) },
	},
	{
		name: "UDP in fragments to an allowed port", in: dual, by: []origin{byFriend}, allowed: true,
		frames: func(s *scene) [][]byte { return s.fragments(unix.IPPROTO_UDP, s.long(allowedPort), 64) },
	},
	{
		name: "UDP in fragments, the last one first", in: dual, by: byAnybody,
		frames: func(s *scene) [][]byte {
			f := s.fragments(unix.IPPROTO_UDP, s.long(deniedPort), 64)
			slices.Reverse(f)
			return f
		},
	},
	{
		name: "first fragment alone", in: dual, by: byAnybody,
		frames: func(s *scene) [][]byte { return s.fragments(unix.IPPROTO_UDP, s.long(deniedPort), 64)[:1] },
	},
	{
		name: "first fragment alone to an allowed port", in: dual, by: []origin{byFriend},
		frames: func(s *scene) [][]byte { return s.fragments(unix.IPPROTO_UDP, s.long(allowedPort), 64)[:1] },
	},
	{
		name: "later fragment alone", in: dual, by: byAnybody,
		frames: func(s *scene) [][]byte { return s.fragments(unix.IPPROTO_UDP, s.long(allowedPort), 64)[1:] },
	},
	{
		name: "TCP header in two fragments", in: dual, by: byAnybody,
		frames: func(s *scene) [][]byte {
			return s.fragments(unix.IPPROTO_TCP, append(s.segment(s.sourcePort(), deniedPort, syn), s.token...), 8)
		},
	},
	{
		name: "SYN flag in the second fragment of a connection that never began", in: dual, by: byAnybody,
		frames: func(s *scene) [][]byte {
			return s.fragments(unix.IPPROTO_TCP, append(s.segment(s.sourcePort(), allowedPort, psh|ack), s.token...), 8)
		},
	},
	{
		// A second first fragment says otherwise. Whichever counts, the port
		// judged is the port that arrives: the first that came.
		name: "fragments that overlap on the port", in: dual, by: byAnybody,
		frames: func(s *scene) [][]byte {
			good, bad, id := s.long(allowedPort), s.long(deniedPort), s.sourcePort()
			return [][]byte{
				s.fragment(id, unix.IPPROTO_UDP, bad[:64], 0, true),
				s.fragment(id, unix.IPPROTO_UDP, good[:64], 0, true),
				s.fragment(id, unix.IPPROTO_UDP, bad[64:], 64, false),
			}
		},
	},
	{
		name: "fragments that overlap behind the port", in: dual, by: byAnybody,
		frames: func(s *scene) [][]byte {
			b, id := s.long(allowedPort), s.sourcePort()
			return [][]byte{
				s.fragment(id, unix.IPPROTO_UDP, b[:64], 0, true),
				s.fragment(id, unix.IPPROTO_UDP, b[56:], 56, false),
			}
		},
	},
	{
		name: "fragment beyond the longest packet", in: dual, by: byAnybody,
		frames: func(s *scene) [][]byte {
			return one(s.fragment(s.sourcePort(), unix.IPPROTO_UDP, s.long(allowedPort)[:64], 65528, false))
		},
	},
	{
		name: "atomic fragment", in: ipv6, by: byAnybody,
		frames: func(s *scene) [][]byte {
			return one(s.fragment(s.sourcePort(), unix.IPPROTO_TCP, s.segment(s.sourcePort(), deniedPort, syn), 0, false))
		},
	},
	{
		name: "atomic fragment to an allowed port", in: ipv6, by: []origin{byFriend}, allowed: true,
		frames: func(s *scene) [][]byte {
			return one(s.fragment(s.sourcePort(), unix.IPPROTO_TCP, s.segment(s.sourcePort(), allowedPort, syn), 0, false))
		},
	},
	{
		name: "two fragment headers", in: ipv6, by: byAnybody,
		frames: func(s *scene) [][]byte {
			inner := append(fragmentHeader(s.sourcePort(), unix.IPPROTO_UDP, 0, false), s.datagram(s.sourcePort(), deniedPort)...)
			return one(s.fragment(s.sourcePort(), unix.IPPROTO_FRAGMENT, inner, 0, false))
		},
	},
	{
		name: "first fragment without a transport header", in: ipv6, by: byAnybody,
		frames: func(s *scene) [][]byte {
			b := slices.Concat(tokenOptions(s, unix.IPPROTO_UDP), s.datagram(s.sourcePort(), deniedPort))
			return s.fragments(unix.IPPROTO_DSTOPTS, b, len(tokenOptions(s, unix.IPPROTO_UDP)))
		},
	},
	{
		name: "ping in fragments", in: dual, by: byAnybody,
		frames: func(s *scene) [][]byte {
			kind := uint8(layers.ICMPv4TypeEchoRequest)
			if s.is6() {
				kind = layers.ICMPv6TypeEchoRequest
			}
			b, protocol := s.icmpMessage(kind, 0, append(s.identifier(), 0, 1), slices.Concat(s.token, make([]byte, 68), s.token))
			return s.fragments(protocol, b, 64)
		},
	},
}

// long is a datagram with a token in each of its first two 64 bytes.
func (p packet) long(dport uint16) []byte {
	sport := p.sourcePort()
	p.token = slices.Concat(p.token, make([]byte, 52), p.token, make([]byte, 40))
	return p.datagram(sport, dport)
}

// tokenOptions is an extension header of destination options that nobody
// knows, and whose receiver skips them.
func tokenOptions(s *scene, next uint8) []byte {
	return append([]byte{next, 1, 0x1e, byte(len(s.token))}, s.token...)
}

// extensionAttacks: headers between IPv6 and TCP, and IPv4 options.
var extensionAttacks = []attack{
	extension("hop-by-hop header", unix.IPPROTO_HOPOPTS, func(s *scene, next uint8) []byte { return padding(next) }),
	extension("destination options", unix.IPPROTO_DSTOPTS, func(s *scene, next uint8) []byte { return padding(next) }),
	extension("long destination options", unix.IPPROTO_DSTOPTS, tokenOptions),
	extension("destination options that look like TCP", unix.IPPROTO_DSTOPTS, func(s *scene, next uint8) []byte {
		// The bytes where a transport header would be have the allowed port.
		b := s.segment(s.sourcePort(), allowedPort, syn)[:16]
		b[0], b[1] = next, 1
		return b
	}),
	extension("routing header of type 2", unix.IPPROTO_ROUTING, routing(2)),
	extension("routing header of type 4", unix.IPPROTO_ROUTING, routing(4)),
	extension("unknown routing header", unix.IPPROTO_ROUTING, routing(253)),
	extension("authentication header", unix.IPPROTO_AH, func(s *scene, next uint8) []byte {
		return []byte{next, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	}),
	extension("three headers", unix.IPPROTO_HOPOPTS, func(s *scene, next uint8) []byte {
		return slices.Concat(padding(unix.IPPROTO_DSTOPTS), padding(unix.IPPROTO_ROUTING), routing(253)(s, next))
	}),
	{
		name: "TCP behind destination options to an allowed port", in: ipv6, by: []origin{byFriend}, allowed: true,
		frames: func(s *scene) [][]byte {
			return one(s.ip(unix.IPPROTO_DSTOPTS, append(padding(unix.IPPROTO_TCP), s.segment(s.sourcePort(), allowedPort, syn)...)))
		},
	},
	{
		name: "no next header", in: ipv6, by: byAnybody,
		frames: func(s *scene) [][]byte {
			return one(s.ip(unix.IPPROTO_NONE, s.segment(s.sourcePort(), allowedPort, syn)))
		},
	},
	{
		name: "extension header that runs past the end", in: ipv6, by: byAnybody,
		frames: func(s *scene) [][]byte {
			return one(s.ip(unix.IPPROTO_DSTOPTS, append([]byte{unix.IPPROTO_TCP, 200}, s.segment(s.sourcePort(), allowedPort, syn)...)))
		},
	},
	{
		name: "IPv4 options", in: ipv4, by: byAnybody,
		frames: func(s *scene) [][]byte { return one(s.optioned(deniedPort)) },
	},
	{
		name: "source route by way of the node", in: ipv4, by: []origin{byAttacker, byStray}, without: byKernel("does not follow source routes"),
		frames: func(s *scene) [][]byte {
			p := s.to(s.gateway(), s.w.pod(attacker).GatewayMAC)
			route := append([]byte{4}, s.dst.AsSlice()...)
			return one(p.ip4(&layers.IPv4{
				Protocol: layers.IPProtocolUDP,
				Options:  []layers.IPv4Option{{OptionType: 131, OptionLength: uint8(2 + len(route)), OptionData: route}},
			}, p.datagram(s.sourcePort(), allowedPort)))
		},
	},
	{
		name: "IPv4 options to an allowed port", in: ipv4, by: []origin{byFriend}, allowed: true,
		frames: func(s *scene) [][]byte { return one(s.optioned(allowedPort)) },
	},
}

// extension is TCP to a denied port behind headers.
func extension(name string, first uint8, headers func(s *scene, next uint8) []byte) attack {
	return attack{
		name: "TCP behind " + name, in: ipv6, by: byAnybody,
		frames: func(s *scene) [][]byte {
			return one(s.ip(first, append(headers(s, unix.IPPROTO_TCP), s.segment(s.sourcePort(), deniedPort, syn)...)))
		},
	}
}

// routing is a routing header with nothing left to route by.
func routing(kind byte) func(s *scene, next uint8) []byte {
	return func(s *scene, next uint8) []byte {
		return append([]byte{next, 2, kind, 0, 0, 0, 0, 0}, s.addrOf(friend).AsSlice()...)
	}
}

// byKernel: the node's kernel drops it, with or without the engine.
func byKernel(why string) map[lab.Topology]string {
	return map[lab.Topology]string{lab.Bridge: "the kernel " + why, lab.PTP: "the kernel " + why}
}

// optioned is TCP behind IPv4 options of which the bytes look like TCP to the
// allowed port.
func (p packet) optioned(dport uint16) []byte {
	look := p.segment(p.sourcePort(), allowedPort, syn)[:18]
	return p.ip4(&layers.IPv4{
		Protocol: layers.IPProtocolTCP,
		Options:  []layers.IPv4Option{{OptionType: 0x9e, OptionLength: uint8(2 + len(look)), OptionData: look}},
	}, p.segment(p.sourcePort(), dport, syn))
}
