package attack_test

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// streamAttacks: TCP that is in the middle of a connection which never began,
// or that makes no sense. The allowed Pod at the allowed port is no exception:
// what conntrack picks up in the middle it may pick up the wrong way round.
var streamAttacks = []attack{
	midstreamAttack("ACK", ack),
	midstreamAttack("PSH ACK", psh|ack),
	midstreamAttack("RST", rst),
	midstreamAttack("RST ACK", rst|ack),
	midstreamAttack("FIN", fin),
	midstreamAttack("FIN ACK", fin|ack),
	midstreamAttack("SYN ACK", syn|ack),
	midstreamAttack("SYN FIN", syn|fin),
	midstreamAttack("SYN RST", syn|rst),
	midstreamAttack("no flags", 0),
	midstreamAttack("URG", urg),
	midstreamAttack("all flags", fin|syn|rst|psh|ack|urg),
	cagedAttack("ACK", ack),
	cagedAttack("PSH ACK", psh|ack),
	cagedAttack("RST", rst),
	cagedAttack("FIN ACK", fin|ack),
	cagedAttack("SYN ACK", syn|ack),
	cagedAttack("no flags", 0),
	{
		name: "TCP with a wrong checksum", in: dual, by: []origin{byAttacker, byFriend, byOutsider},
		frames: func(s *scene) [][]byte {
			b := s.segment(s.sourcePort(), allowedPort, syn)
			b[16] ^= 0xff
			return one(s.ip(unix.IPPROTO_TCP, b))
		},
	},
	{
		name: "UDP with a wrong checksum", in: dual, by: []origin{byAttacker, byFriend, byOutsider},
		frames: func(s *scene) [][]byte {
			b := s.datagram(s.sourcePort(), allowedPort)
			b[6] ^= 0xff
			return one(s.ip(unix.IPPROTO_UDP, b))
		},
	},
	{
		name: "UDP with a wrong length", in: dual, by: []origin{byAttacker, byFriend, byOutsider},
		frames: func(s *scene) [][]byte {
			b := s.datagram(s.sourcePort(), allowedPort)
			binary.BigEndian.PutUint16(b[4:], uint16(len(b)+100))
			return one(s.ip(unix.IPPROTO_UDP, b))
		},
	},
	{
		name: "TCP with a header that is too short", in: dual, by: []origin{byAttacker, byFriend, byOutsider},
		frames: func(s *scene) [][]byte {
			b := s.segment(s.sourcePort(), allowedPort, syn)
			b[12] = 4 << 4
			b[16], b[17] = 0, 0
			return one(s.ip(unix.IPPROTO_TCP, s.withChecksum(unix.IPPROTO_TCP, 16, b)))
		},
	},
	{
		name: "TCP with a header beyond its end", in: dual, by: []origin{byAttacker, byFriend, byOutsider},
		frames: func(s *scene) [][]byte {
			b := s.segment(s.sourcePort(), allowedPort, syn)
			b[12] = 15 << 4
			b[16], b[17] = 0, 0
			return one(s.ip(unix.IPPROTO_TCP, s.withChecksum(unix.IPPROTO_TCP, 16, b)))
		},
	},
	{
		// The token stands where the flags should, and there is no more.
		name: "TCP that is cut off", in: dual, by: []origin{byAttacker, byFriend, byOutsider},
		frames: func(s *scene) [][]byte {
			b := binary.BigEndian.AppendUint16(s.identifier(), allowedPort)
			return one(s.ip(unix.IPPROTO_TCP, append(b, s.token...)))
		},
	},
	{
		name: "TCP to port 0", in: dual, by: []origin{byAttacker, byFriend, byOutsider},
		frames: func(s *scene) [][]byte { return one(s.tcp(0, syn)) },
	},
}

func midstreamAttack(name string, flags uint8) attack {
	return attack{
		name: name + " without a connection", in: dual, by: []origin{byAttacker, byFriend, byStray, byOutsider},
		frames: func(s *scene) [][]byte { return one(s.tcp(allowedPort, flags)) },
	}
}

func cagedAttack(name string, flags uint8) attack {
	return attack{
		name: name + " without a connection", in: dual, by: []origin{byCaged}, at: open,
		frames: func(s *scene) [][]byte { return one(s.tcp(allowedPort, flags)) },
	}
}
