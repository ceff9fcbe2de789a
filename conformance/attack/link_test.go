package attack_test

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/conformance/lab"
)

// Pods send it themselves; who asked for no guard meets the victim's own.
var fromPods = []origin{byAttacker, byStray}

// routed: on ptp a router stands between, which passes nothing of the kind.
func routed(why string) map[lab.Topology]string {
	return map[lab.Topology]string{lab.PTP: "on ptp each Pod has a link of its own, and " + why}
}

// linkAttacks: plain packets with addresses that no policy knows.
var linkAttacks = []attack{
	{
		name: "TCP between link-local addresses", in: ipv6, by: fromPods, without: routed("link-local packets are not routed"),
		frames: func(s *scene) [][]byte {
			return one(s.from(linkLocal(s.srcMAC)).to(linkLocal(s.w.pod(s.target).MAC), nil).tcp(allowedPort, syn))
		},
	},
	{
		name: "UDP between link-local addresses", in: ipv6, by: fromPods, without: routed("link-local packets are not routed"),
		frames: func(s *scene) [][]byte {
			return one(s.from(linkLocal(s.srcMAC)).to(linkLocal(s.w.pod(s.target).MAC), nil).udp(allowedPort))
		},
	},
	{
		name: "ping between link-local addresses", in: ipv6, by: fromPods, without: routed("link-local packets are not routed"),
		frames: func(s *scene) [][]byte {
			return one(s.from(linkLocal(s.srcMAC)).to(linkLocal(s.w.pod(s.target).MAC), nil).echo())
		},
	},
	{
		name: "TCP to a link-local address", in: ipv6, by: fromPods, without: routed("link-local packets are not routed"),
		frames: func(s *scene) [][]byte {
			return one(s.to(linkLocal(s.w.pod(s.target).MAC), nil).tcp(allowedPort, syn))
		},
	},
	{
		name: "TCP from a link-local address", in: ipv6, by: fromPods, without: routed("link-local packets are not routed"),
		frames: func(s *scene) [][]byte { return one(s.from(linkLocal(s.srcMAC)).tcp(allowedPort, syn)) },
	},
	{
		name: "TCP from an IPv4 link-local address", in: ipv4, by: fromPods,
		frames: func(s *scene) [][]byte {
			return one(s.from(netip.MustParseAddr("169.254.200.1")).tcp(allowedPort, syn))
		},
	},
	{
		name: "TCP to a denied port", in: dual, by: []origin{byAttacker, byStray, byFriend, byOutsider},
		frames: func(s *scene) [][]byte { return one(s.tcp(deniedPort, syn)) },
	},
	{
		name: "TCP to the port of another's rule", in: dual, by: []origin{byAttacker, byStray, byOutsider},
		frames: func(s *scene) [][]byte { return one(s.tcp(allowedPort, syn)) },
	},
	{
		name: "UDP to the port of another's rule", in: dual, by: []origin{byAttacker, byStray, byOutsider},
		frames: func(s *scene) [][]byte { return one(s.udp(allowedPort)) },
	},
	{
		name: "TCP to an allowed port", in: dual, by: []origin{byFriend}, allowed: true,
		frames: func(s *scene) [][]byte { return one(s.tcp(allowedPort, syn)) },
	},
	{
		name: "UDP to an allowed port", in: dual, by: []origin{byFriend}, allowed: true,
		frames: func(s *scene) [][]byte { return one(s.udp(allowedPort)) },
	},
	{
		name: "UDP to a Pod that is not isolated", in: dual, by: []origin{byAttacker, byStray, byFriend, byOutsider}, at: open, allowed: true,
		frames: func(s *scene) [][]byte { return one(s.udp(deniedPort)) },
	},
	{
		name: "TCP to a denied destination", in: dual, by: []origin{byCaged}, at: open,
		frames: func(s *scene) [][]byte { return one(s.tcp(deniedPort, syn)) },
	},
	{
		name: "TCP to an allowed destination", in: dual, by: []origin{byCaged}, at: open, allowed: true,
		frames: func(s *scene) [][]byte { return one(s.tcp(allowedPort, syn)) },
	},
}

// tagAttacks: a VLAN tag hides the packet from a bridge's netfilter.
var tagAttacks = []attack{
	{
		name: "802.1Q tag with VID 0", in: dual, by: fromPods,
		// The router takes it for the priority tag that it is, and routes it.
		frames: withTags(tag(unix.ETH_P_8021Q, 0)),
	},
	{
		name: "802.1Q tag", in: dual, by: fromPods, without: routed("the router has no such VLAN"),
		frames: withTags(tag(unix.ETH_P_8021Q, 5)),
	},
	{
		name: "802.1ad tag", in: dual, by: fromPods, without: routed("the router has no such VLAN"),
		frames: withTags(tag(unix.ETH_P_8021AD, 5)),
	},
	{
		name: "802.1ad tag with VID 0", in: dual, by: fromPods,
		frames: withTags(tag(unix.ETH_P_8021AD, 0)),
	},
	{
		name: "two 802.1Q tags", in: dual, by: fromPods, without: routed("the router has no such VLAN"),
		frames: withTags(tag(unix.ETH_P_8021Q, 5), tag(unix.ETH_P_8021Q, 6)),
	},
	{
		name: "802.1ad over 802.1Q tag", in: dual, by: fromPods, without: routed("the router has no such VLAN"),
		frames: withTags(tag(unix.ETH_P_8021AD, 5), tag(unix.ETH_P_8021Q, 6)),
	},
	{
		name: "two tags with VID 0", in: dual, by: fromPods,
		frames: withTags(tag(unix.ETH_P_8021Q, 0), tag(unix.ETH_P_8021Q, 0)),
	},
	{
		name: "three tags", in: dual, by: fromPods, without: routed("the router has no such VLAN"),
		frames: withTags(tag(unix.ETH_P_8021AD, 5), tag(unix.ETH_P_8021Q, 6), tag(unix.ETH_P_8021Q, 7)),
	},
	{
		name: "tagged broadcast", in: dual, by: fromPods, without: routed("the router has no such VLAN"),
		frames: func(s *scene) [][]byte {
			return one(tagged(s.to(s.dst, broadcastMAC).udp(allowedPort), tag(unix.ETH_P_8021Q, 5)))
		},
	},
}

func withTags(tags ...uint32) func(s *scene) [][]byte {
	return func(s *scene) [][]byte { return one(tagged(s.udp(allowedPort), tags...)) }
}

// multicastAttacks: one frame for many, the victim among them.
var multicastAttacks = []attack{
	multicast("224.0.0.1"), multicast("224.0.0.251"), multicast("239.1.2.3"), multicast("255.255.255.255"), multicast("10.77.0.255"),
	multicast("ff02::1"), multicast("ff02::fb"), multicast("ff05::2"), multicast("ff0e::1234"),
	{
		name: "ping of all nodes", in: ipv6, by: fromPods, without: notForwarded,
		frames: func(s *scene) [][]byte { return one(s.to(allNodes, multicastMAC(allNodes)).echo()) },
	},
	{
		name: "ping of all nodes from a link-local address", in: ipv6, by: fromPods, without: notForwarded,
		frames: func(s *scene) [][]byte {
			return one(s.from(linkLocal(s.srcMAC)).to(allNodes, multicastMAC(allNodes)).echo())
		},
	},
	{
		name: "broadcast frame to the victim's own address", in: dual, by: fromPods, without: notForwarded,
		frames: func(s *scene) [][]byte { return one(s.to(s.dst, broadcastMAC).udp(allowedPort)) },
	},
	{
		name: "multicast frame to the victim's own address", in: dual, by: fromPods, without: notForwarded,
		frames: func(s *scene) [][]byte { return one(s.to(s.dst, multicastMAC(allNodes)).udp(allowedPort)) },
	},
	{
		name: "own frame to a multicast address", in: dual, by: fromPods, without: notForwarded,
		frames: func(s *scene) [][]byte { return one(s.to(s.group(), nil).udp(allowedPort)) },
	},
	{
		name: "frame to an unknown hardware address", in: dual, by: fromPods, without: routed("the router takes frames for itself only"),
		frames: func(s *scene) [][]byte {
			return one(s.to(s.dst, []byte{2, 0x66, 0x66, 0x66, 0x66, 0x66}).udp(allowedPort))
		},
	},
	{
		name: "DHCP offer", in: ipv4, by: fromPods, without: notForwarded,
		frames: func(s *scene) [][]byte {
			p := s.to(netip.MustParseAddr("255.255.255.255"), broadcastMAC)
			return one(p.ip(unix.IPPROTO_UDP, p.datagram(67, 68)))
		},
	},
}

var notForwarded = routed("the router forwards to single addresses only")

func (s *scene) group() netip.Addr {
	if s.is6() {
		return netip.MustParseAddr("ff02::fb")
	}
	return netip.MustParseAddr("224.0.0.251")
}

func multicast(to string) attack {
	group := netip.MustParseAddr(to)
	mac, in := multicastMAC(group), ipv4
	switch {
	case group.Is6():
		in = ipv6
	case !group.IsMulticast():
		mac = broadcastMAC
	}
	return attack{
		name: "UDP to " + to, in: in, by: fromPods, without: notForwarded,
		frames: func(s *scene) [][]byte { return one(s.to(group, mac).udp(5353)) },
	}
}

// ethertypeAttacks: what is no IP at all. They belong to no family.
var ethertypeAttacks = []attack{
	ethertype("local experimental frame", 0x88b5, nil),
	ethertype("IPX frame", 0x8137, nil),
	ethertype("AppleTalk frame", 0x809b, nil),
	ethertype("MPLS frame", 0x8847, []byte{0, 0x01, 0x01, 0x40}),
	ethertype("LLC frame", 64, []byte{0xfe, 0xfe, 0x03}),
	ethertype("IPX frame over LLC", 64, []byte{0xe0, 0xe0, 0x03}),
	ethertype("RARP frame", 0x8035, nil),
	ethertype("LLDP frame", 0x88cc, nil),
	{
		name: "IP over SNAP", in: dual, by: fromPods, without: routed("the router does not understand it"),
		frames: func(s *scene) [][]byte {
			f := s.udp(allowedPort)
			snap := slices.Concat([]byte{0xaa, 0xaa, 0x03, 0, 0, 0}, f[12:])
			return one(s.ethernet(uint16(len(snap)), snap))
		},
	},
	{
		name: "IP over PPPoE", in: dual, by: fromPods, without: routed("the router does not understand it"),
		frames: func(s *scene) [][]byte {
			f, protocol := s.udp(allowedPort), byte(0x21)
			if s.is6() {
				protocol = 0x57
			}
			packet := f[14:]
			header := []byte{0x11, 0, 0, 1, byte((len(packet) + 2) >> 8), byte(len(packet) + 2), 0, protocol}
			return one(s.ethernet(unix.ETH_P_PPP_SES, slices.Concat(header, packet)))
		},
	},
	{
		name: "experimental frame to all", in: ipv4, by: fromPods, without: routed("the router does not understand it"),
		frames: func(s *scene) [][]byte {
			return one(s.to(s.dst, broadcastMAC).ethernet(0x88b5, slices.Concat(s.token, make([]byte, 40))))
		},
	},
}

func ethertype(name string, kind uint16, header []byte) attack {
	return attack{
		name: name, in: ipv4, by: fromPods, without: routed("the router does not understand it"),
		frames: func(s *scene) [][]byte {
			return one(s.ethernet(kind, slices.Concat(header, s.token, make([]byte, 64-len(header)-len(s.token)))))
		},
	}
}
