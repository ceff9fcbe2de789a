package frame

import (
	"net"
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// ARPReply claims that the sender has an address.
func ARPReply(mac, to net.HardwareAddr, claimed, target netip.Addr) ([]byte, error) {
	return arp(layers.ARPReply, mac, to, claimed, target)
}

// ARPRequest asks for an address, in the name of one that the sender claims.
func ARPRequest(mac net.HardwareAddr, claimed, wanted netip.Addr) ([]byte, error) {
	return arp(layers.ARPRequest, mac, Broadcast, claimed, wanted)
}

func arp(operation uint16, mac, to net.HardwareAddr, claimed, target netip.Addr) ([]byte, error) {
	asked := to
	if operation == layers.ARPRequest {
		asked = make(net.HardwareAddr, 6)
	}
	return Build(Ethernet(mac, to, layers.EthernetTypeARP), &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4,
		HwAddressSize: 6, ProtAddressSize: 4, Operation: operation,
		SourceHwAddress: mac, SourceProtAddress: claimed.AsSlice(),
		DstHwAddress: asked, DstProtAddress: target.AsSlice(),
	})
}

// icmpv6 is a neighbour discovery message, whose hop limit is 255.
func icmpv6(mac, to net.HardwareAddr, src, dst netip.Addr, kind uint8, body gopacket.SerializableLayer) ([]byte, error) {
	return Build(
		Ethernet(mac, to, layers.EthernetTypeIPv6),
		&layers.IPv6{
			Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6,
			SrcIP: src.AsSlice(), DstIP: dst.AsSlice(),
		},
		&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)}, body)
}

func linkLayer(kind layers.ICMPv6Opt, mac net.HardwareAddr) layers.ICMPv6Options {
	return layers.ICMPv6Options{{Type: kind, Data: mac}}
}

// NeighbourSolicitation asks who has an address.
func NeighbourSolicitation(mac net.HardwareAddr, src, wanted netip.Addr) ([]byte, error) {
	group := SolicitedNode(wanted)
	return icmpv6(mac, Multicast(group), src, group, layers.ICMPv6TypeNeighborSolicitation,
		&layers.ICMPv6NeighborSolicitation{
			TargetAddress: wanted.AsSlice(),
			Options:       linkLayer(layers.ICMPv6OptSourceAddress, mac),
		})
}

// NeighbourAdvertisement claims that the sender has an address, overriding what
// is known.
func NeighbourAdvertisement(mac, to net.HardwareAddr, src, dst, claimed netip.Addr) ([]byte, error) {
	const solicitedOverride = 0x60
	return icmpv6(mac, to, src, dst, layers.ICMPv6TypeNeighborAdvertisement,
		&layers.ICMPv6NeighborAdvertisement{
			Flags: solicitedOverride, TargetAddress: claimed.AsSlice(),
			Options: linkLayer(layers.ICMPv6OptTargetAddress, mac),
		})
}

// RouterAdvertisement claims that the sender is a router, for the default route
// and a prefix to make addresses of.
func RouterAdvertisement(mac net.HardwareAddr, src netip.Addr, prefix netip.Prefix) ([]byte, error) {
	const onLinkAutonomous, day = 0xc0, 86400
	information := make([]byte, 30)
	information[0], information[1] = byte(prefix.Bits()), onLinkAutonomous
	information[3], information[4], information[5] = day>>16&0xff, day>>8&0xff, day&0xff
	information[7], information[8], information[9] = day>>16&0xff, day>>8&0xff, day&0xff
	copy(information[14:], prefix.Addr().AsSlice())
	all := netip.MustParseAddr("ff02::1")
	return icmpv6(mac, Multicast(all), src, all, layers.ICMPv6TypeRouterAdvertisement,
		&layers.ICMPv6RouterAdvertisement{
			HopLimit: 64, RouterLifetime: 1800,
			Options: append(linkLayer(layers.ICMPv6OptSourceAddress, mac),
				layers.ICMPv6Option{Type: layers.ICMPv6OptPrefixInfo, Data: information}),
		})
}
