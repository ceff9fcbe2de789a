package attack_test

import (
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// protocolAttacks: what is neither TCP nor UDP gets to an isolated Pod by a
// rule without ports only. Its first bytes always look like the allowed port.
var protocolAttacks = func() []attack {
	var all []attack
	for _, p := range []struct {
		name   string
		number uint8
		in     families
		// nonsense: conntrack calls it invalid, so it passes nowhere near an
		// isolated Pod.
		nonsense bool
	}{
		{"IGMP", unix.IPPROTO_IGMP, ipv4, false},
		{"IPIP", unix.IPPROTO_IPIP, dual, false},
		{"6in4", unix.IPPROTO_IPV6, dual, false},
		{"DCCP", unix.IPPROTO_DCCP, dual, false},
		{"GRE", unix.IPPROTO_GRE, dual, false},
		{"ESP", unix.IPPROTO_ESP, dual, false},
		{"AH", unix.IPPROTO_AH, ipv4, false},
		{"SCTP", unix.IPPROTO_SCTP, dual, false},
		{"UDP-Lite", unix.IPPROTO_UDPLITE, dual, false},
		{"protocol 253", 253, dual, false},
		{"ICMPv6 in IPv4", unix.IPPROTO_ICMPV6, ipv4, true},
		{"ICMP in IPv6", unix.IPPROTO_ICMP, ipv6, true},
	} {
		frames := func(s *scene) [][]byte { return one(s.ip(p.number, s.body(p.number))) }
		all = append(all,
			attack{name: p.name + " past rules with ports", in: p.in, by: byAnybody, frames: frames},
			attack{name: p.name + " past a rule for others", in: p.in, by: []origin{byAttacker, byStray, byOutsider}, at: fan, frames: frames},
		)
		if !p.nonsense {
			all = append(all, attack{name: p.name + " by a rule without ports", in: p.in, by: []origin{byFriend}, at: fan, frames: frames, allowed: true})
		}
	}
	for _, number := range []uint8{255, 61} {
		all = append(all, attack{
			name: "protocol " + strconv.Itoa(int(number)) + " past rules with ports", in: dual, by: byAnybody,
			frames: func(s *scene) [][]byte { return one(s.ip(number, s.body(number))) },
		})
	}
	return append(all,
		attack{
			// The guard's eye for ICMPv6 types must not be caught by IPv4.
			name: "neighbour discovery in IPv4 multicast", in: ipv4, by: fromPods, without: notForwarded,
			frames: func(s *scene) [][]byte {
				group := netip.MustParseAddr("224.0.0.251")
				p := s.to(group, multicastMAC(group))
				p.hops = 255
				return one(p.ip(unix.IPPROTO_ICMPV6, slices.Concat([]byte{135, 0, 0, 0}, s.token)))
			},
		},
		attack{
			name: "ping by a rule without ports", in: dual, by: []origin{byFriend}, at: fan, allowed: true,
			frames: func(s *scene) [][]byte { return one(s.echo()) },
		},
		attack{
			name: "ping past a rule for others", in: dual, by: []origin{byAttacker, byStray, byOutsider}, at: fan,
			frames: func(s *scene) [][]byte { return one(s.echo()) },
		},
	)
}()

// body is a payload that conntrack can take for the protocol's.
func (s *scene) body(number uint8) []byte {
	ports := append(s.identifier(), allowedPort>>8, allowedPort&0xff)
	switch number {
	case unix.IPPROTO_IPIP, unix.IPPROTO_IPV6:
		// A packet from friend to the victim within.
		return s.from(s.addrOf(friend)).udp(allowedPort)[14:]
	case unix.IPPROTO_GRE:
		return slices.Concat([]byte{0x20, 0, 8, 0, 0, 0, 0, 1}, s.token)
	case unix.IPPROTO_AH:
		return slices.Concat([]byte{unix.IPPROTO_TCP, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, s.segment(s.sourcePort(), allowedPort, syn))
	case unix.IPPROTO_SCTP:
		return s.initChunk()
	case unix.IPPROTO_UDPLITE:
		// The kernel's conntrack computes UDP-Lite's checksum with UDP's number
		// in the pseudo header. With the right one the packet is invalid to it,
		// and never gets near an isolated Pod.
		b := slices.Concat(ports, []byte{0, 0, 0, 0}, s.token)
		return s.withChecksum(unix.IPPROTO_UDP, 6, b)
	case unix.IPPROTO_DCCP:
		b := slices.Concat(ports, []byte{7, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1}, []byte{0, 0, 0, 0}, s.token)
		return s.withChecksum(number, 6, b)
	}
	return slices.Concat(ports, s.token)
}

// initChunk opens an SCTP association. The token is in an unknown parameter.
func (s *scene) initChunk() []byte {
	b := append(s.identifier(), allowedPort>>8, allowedPort&0xff, 0, 0, 0, 0, 0, 0, 0, 0)
	chunk := []byte{1, 0, 0, 36, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1}
	chunk = append(chunk, 0xc0, 0xff, 0, byte(4+len(s.token)))
	b = append(append(b, chunk...), s.token...)
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return b
}
