package attack_test

import (
	"net/netip"

	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/conformance/lab"
)

// Only the sender's own guard can tell true from false in neighbour discovery
// and ARP: who is let off it (because it routes) is trusted with them.
var fromGuarded = []origin{byAttacker}

var linkOnly = routed("neighbours are asked on it alone")

// hidden: where there is NAT, there is conntrack, which puts fragments together.
var hidden = map[lab.Topology]string{
	lab.PTP: linkOnly[lab.PTP], lab.VXLAN: "a first fragment without all headers is dropped where fragments are put together",
}

// Flags of a neighbour advertisement.
const (
	override  = 0x20
	solicited = 0x40
	router    = 0x80
)

// gateway is the address that Pods route by.
func (s *scene) gateway() netip.Addr {
	if s.is6() {
		return netip.MustParseAddr("fd77::1")
	}
	return netip.MustParseAddr("10.77.0.1")
}

// discoveryAttacks: forged messages of neighbour and router discovery. On ptp
// the router routes those that are addressed to the victim alone, and takes one
// off their hop limit, which makes them worthless.
var discoveryAttacks = []attack{
	{
		name: "router advertisement to all", in: ipv6, by: fromGuarded, without: linkOnly,
		frames: func(s *scene) [][]byte { return advertise(s, s.to(allNodes, multicastMAC(allNodes))) },
	},
	{
		name: "router advertisement to the victim", in: ipv6, by: fromGuarded, without: linkOnly,
		frames: func(s *scene) [][]byte {
			return advertise(s, s.to(linkLocal(s.w.pod(s.target).MAC), nil))
		},
	},
	{
		name: "router advertisement in the gateway's name", in: ipv6, by: fromGuarded, without: linkOnly,
		frames: func(s *scene) [][]byte {
			p := s.to(allNodes, multicastMAC(allNodes)).from(linkLocal(s.w.pod(s.target).GatewayMAC))
			b, protocol := p.routerAdvertisement()
			p.hops = 255
			return one(p.ip(protocol, b))
		},
	},
	{
		name: "router advertisement behind a hop-by-hop header", in: ipv6, by: fromPods, without: linkOnly,
		frames: func(s *scene) [][]byte {
			p := s.from(linkLocal(s.srcMAC)).to(allNodes, multicastMAC(allNodes))
			b, protocol := p.routerAdvertisement()
			p.hops = 64
			return one(p.ip(unix.IPPROTO_HOPOPTS, append(padding(protocol), b...)))
		},
	},
	{
		name: "router advertisement in fragments", in: ipv6, by: fromGuarded, without: linkOnly,
		frames: func(s *scene) [][]byte {
			p := s.from(linkLocal(s.srcMAC)).to(allNodes, multicastMAC(allNodes))
			p.hops = 255
			b, protocol := p.routerAdvertisement()
			return p.fragments(protocol, b, 24)
		},
	},
	{
		// The first fragment shows no ICMPv6 type: it ends within the options.
		name: "router advertisement in fragments that hide it", in: ipv6, by: fromGuarded, without: hidden,
		frames: func(s *scene) [][]byte {
			p := s.to(allNodes, multicastMAC(allNodes))
			p.hops = 255
			b, protocol := p.routerAdvertisement()
			return p.fragments(unix.IPPROTO_DSTOPTS, append(padding(protocol), b...), 8)
		},
	},
	{
		name: "redirect in the gateway's name", in: ipv6, by: fromGuarded, without: linkOnly,
		frames: func(s *scene) [][]byte {
			p := s.from(linkLocal(s.w.pod(s.target).GatewayMAC)).to(linkLocal(s.w.pod(s.target).MAC), nil)
			return redirect(s, p)
		},
	},
	{
		name: "redirect in the sender's own name", in: ipv6, by: fromPods, without: linkOnly,
		frames: func(s *scene) [][]byte { return redirect(s, s.from(linkLocal(s.srcMAC))) },
	},
	{
		name: "redirect with a global source", in: ipv6, by: fromPods,
		frames: func(s *scene) [][]byte { return redirect(s, s.packet) },
	},
	{
		name: "advertisement of a neighbour's address to all", in: ipv6, by: fromGuarded, without: linkOnly,
		frames: func(s *scene) [][]byte {
			p := s.to(allNodes, multicastMAC(allNodes))
			return one(p.nd(layers.ICMPv6TypeNeighborAdvertisement, override, s.addrOf(friend), ndOption(targetLinkAddress, s.srcMAC)))
		},
	},
	{
		name: "advertisement of a neighbour's address to the victim", in: ipv6, by: fromGuarded,
		frames: func(s *scene) [][]byte {
			return one(s.from(s.addrOf(friend)).nd(layers.ICMPv6TypeNeighborAdvertisement, override|solicited, s.addrOf(friend), ndOption(targetLinkAddress, s.srcMAC)))
		},
	},
	{
		name: "advertisement of the gateway's address", in: ipv6, by: fromGuarded,
		frames: func(s *scene) [][]byte {
			return one(s.nd(layers.ICMPv6TypeNeighborAdvertisement, router|override|solicited, s.gateway(), ndOption(targetLinkAddress, s.srcMAC)))
		},
	},
	{
		name: "advertisement of the gateway's link-local address", in: ipv6, by: fromGuarded,
		frames: func(s *scene) [][]byte {
			return one(s.nd(layers.ICMPv6TypeNeighborAdvertisement, router|override|solicited, linkLocal(s.w.pod(s.target).GatewayMAC), ndOption(targetLinkAddress, s.srcMAC)))
		},
	},
	{
		name: "advertisement of the victim's own address", in: ipv6, by: fromGuarded, without: linkOnly,
		frames: func(s *scene) [][]byte {
			p := s.to(allNodes, multicastMAC(allNodes))
			return one(p.nd(layers.ICMPv6TypeNeighborAdvertisement, override, s.dst, ndOption(targetLinkAddress, s.srcMAC)))
		},
	},
	{
		name: "solicitation in a neighbour's name", in: ipv6, by: fromGuarded,
		frames: func(s *scene) [][]byte {
			return one(s.from(s.addrOf(friend)).nd(layers.ICMPv6TypeNeighborSolicitation, 0, s.dst, ndOption(sourceLinkAddress, s.srcMAC)))
		},
	},
	{
		name: "solicitation in the gateway's name", in: ipv6, by: fromGuarded,
		frames: func(s *scene) [][]byte {
			return one(s.from(s.gateway()).nd(layers.ICMPv6TypeNeighborSolicitation, 0, s.dst, ndOption(sourceLinkAddress, s.srcMAC)))
		},
	},
	{
		name: "duplicate address detection of the victim's address", in: ipv6, by: fromGuarded, without: linkOnly,
		frames: func(s *scene) [][]byte {
			group := solicitedNode(s.dst)
			return one(s.from(netip.IPv6Unspecified()).to(group, multicastMAC(group)).
				nd(layers.ICMPv6TypeNeighborSolicitation, 0, s.dst))
		},
	},
	{
		name: "solicitation that came across a router", in: ipv6, by: []origin{byAttacker, byStray, byOutsider},
		frames: func(s *scene) [][]byte {
			p := s.packet
			p.hops = 64
			b, protocol := p.ndMessage(layers.ICMPv6TypeNeighborSolicitation, 0, s.dst)
			return one(p.ip(protocol, b))
		},
	},
	{
		// The fabric and the node each take one off 255.
		name: "solicitation with the highest hop limit from afar", in: ipv6, by: []origin{byOutsider},
		frames: func(s *scene) [][]byte {
			return one(s.nd(layers.ICMPv6TypeNeighborSolicitation, 0, s.dst))
		},
	},
	honest("solicitation in its own name", func(s *scene) []byte {
		group := solicitedNode(s.dst)
		return s.to(group, multicastMAC(group)).nd(layers.ICMPv6TypeNeighborSolicitation, 0, s.dst, ndOption(sourceLinkAddress, s.srcMAC))
	}),
	honest("solicitation in its own link-local name", func(s *scene) []byte {
		return s.from(linkLocal(s.srcMAC)).nd(layers.ICMPv6TypeNeighborSolicitation, 0, s.dst, ndOption(sourceLinkAddress, s.srcMAC))
	}),
	honest("advertisement of its own address", func(s *scene) []byte {
		return s.nd(layers.ICMPv6TypeNeighborAdvertisement, override|solicited, s.src, ndOption(targetLinkAddress, s.srcMAC))
	}),
	honest("advertisement of its own address to all", func(s *scene) []byte {
		return s.to(allNodes, multicastMAC(allNodes)).nd(layers.ICMPv6TypeNeighborAdvertisement, override, s.src, ndOption(targetLinkAddress, s.srcMAC))
	}),
	honest("duplicate address detection of its own address", func(s *scene) []byte {
		group := solicitedNode(s.src)
		return s.from(netip.IPv6Unspecified()).to(group, multicastMAC(group)).nd(layers.ICMPv6TypeNeighborSolicitation, 0, s.src)
	}),
}

// honest is a message between neighbours that an isolated Pod must get.
func honest(name string, frame func(s *scene) []byte) attack {
	return attack{
		name: name, in: ipv6, by: []origin{byAttacker, byStray, byCaged}, only: []lab.Topology{lab.Bridge}, allowed: true,
		frames: func(s *scene) [][]byte { return one(frame(s)) },
	}
}

// solicitedNode is the group in which the owner of an address is asked.
func solicitedNode(a netip.Addr) netip.Addr {
	b, low := netip.MustParseAddr("ff02::1:ff00:0").As16(), a.As16()
	copy(b[13:], low[13:])
	return netip.AddrFrom16(b)
}

// padding is an extension header of eight bytes that says nothing.
func padding(next uint8) []byte { return []byte{next, 0, 1, 4, 0, 0, 0, 0} }

func advertise(s *scene, p packet) [][]byte {
	p = p.from(linkLocal(s.srcMAC))
	p.hops = 255
	b, protocol := p.routerAdvertisement()
	return one(p.ip(protocol, b))
}

// redirect says: to get to the open Pod go by way of the attacker.
func redirect(s *scene, p packet) [][]byte {
	destination := s.addrOf(open).AsSlice()
	return one(p.nd(layers.ICMPv6TypeRedirect, 0, linkLocal(s.srcMAC), destination, ndOption(targetLinkAddress, s.srcMAC)))
}

// arpAttacks: forged ARP.
var arpAttacks = []attack{
	{
		name: "ARP reply in a neighbour's name", in: ipv4, by: fromGuarded, without: linkOnly,
		frames: func(s *scene) [][]byte {
			return one(s.arp(layers.ARPReply, s.srcMAC, s.addrOf(friend), s.dstMAC, s.dst))
		},
	},
	{
		name: "ARP reply in the gateway's name", in: ipv4, by: fromGuarded, without: linkOnly,
		frames: func(s *scene) [][]byte {
			return one(s.arp(layers.ARPReply, s.srcMAC, s.gateway(), s.dstMAC, s.dst))
		},
	},
	{
		name: "gratuitous ARP in a neighbour's name", in: ipv4, by: fromGuarded, without: linkOnly,
		frames: func(s *scene) [][]byte {
			a := s.addrOf(friend)
			return one(s.to(s.dst, broadcastMAC).arp(layers.ARPRequest, s.srcMAC, a, broadcastMAC, a))
		},
	},
	{
		name: "gratuitous ARP in the gateway's name", in: ipv4, by: fromGuarded, without: linkOnly,
		frames: func(s *scene) [][]byte {
			return one(s.to(s.dst, broadcastMAC).arp(layers.ARPReply, s.srcMAC, s.gateway(), broadcastMAC, s.gateway()))
		},
	},
	{
		name: "ARP request in a neighbour's name", in: ipv4, by: fromGuarded, without: linkOnly,
		frames: func(s *scene) [][]byte {
			return one(s.to(s.dst, broadcastMAC).arp(layers.ARPRequest, s.srcMAC, s.addrOf(friend), make([]byte, 6), s.dst))
		},
	},
	{
		name: "ARP about a neighbour's hardware address", in: ipv4, by: fromGuarded, without: linkOnly,
		frames: func(s *scene) [][]byte {
			return one(s.arp(layers.ARPReply, s.w.pod(friend).MAC, s.src, s.dstMAC, s.dst))
		},
	},
	{
		name: "ARP reply with the hardware address of a neighbour", in: ipv4, by: fromGuarded, without: linkOnly,
		frames: func(s *scene) [][]byte {
			p := s.packet
			p.srcMAC = s.w.pod(friend).MAC
			return one(p.arp(layers.ARPReply, p.srcMAC, s.addrOf(friend), s.dstMAC, s.dst))
		},
	},
	{
		name: "ARP reply about the victim itself", in: ipv4, by: fromGuarded, without: linkOnly,
		frames: func(s *scene) [][]byte {
			return one(s.to(s.dst, broadcastMAC).arp(layers.ARPReply, s.srcMAC, s.dst, broadcastMAC, s.dst))
		},
	},
	honestARP("ARP request in its own name", func(s *scene) []byte {
		return s.to(s.dst, broadcastMAC).arp(layers.ARPRequest, s.srcMAC, s.src, make([]byte, 6), s.dst)
	}),
	honestARP("ARP reply in its own name", func(s *scene) []byte {
		return s.arp(layers.ARPReply, s.srcMAC, s.src, s.dstMAC, s.dst)
	}),
	honestARP("gratuitous ARP in its own name", func(s *scene) []byte {
		return s.to(s.dst, broadcastMAC).arp(layers.ARPRequest, s.srcMAC, s.src, broadcastMAC, s.src)
	}),
	honestARP("ARP probe", func(s *scene) []byte {
		return s.to(s.dst, broadcastMAC).arp(layers.ARPRequest, s.srcMAC, netip.IPv4Unspecified(), make([]byte, 6), s.src)
	}),
}

// honestARP is honest for IPv4.
func honestARP(name string, frame func(s *scene) []byte) attack {
	a := honest(name, frame)
	a.in = ipv4
	return a
}
