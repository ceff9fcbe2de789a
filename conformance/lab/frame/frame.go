// Package frame makes Ethernet frames byte by byte, as an attacker would, for
// the tests that put them into the lab. Nothing that is shipped imports it:
// gopacket does the encoding.
package frame

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// Build puts layers together, outermost first, and fills in lengths and
// checksums. Layers that are wrong on purpose go through Raw.
func Build(stack ...gopacket.SerializableLayer) ([]byte, error) {
	var network gopacket.NetworkLayer
	for _, l := range stack {
		if n, ok := l.(gopacket.NetworkLayer); ok {
			network = n
		}
		c, ok := l.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		})
		if !ok || network == nil {
			continue
		}
		if err := c.SetNetworkLayerForChecksum(network); err != nil {
			return nil, fmt.Errorf("build frame: %w", err)
		}
	}
	b := gopacket.NewSerializeBuffer()
	o := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(b, o, stack...); err != nil {
		return nil, fmt.Errorf("build frame: %w", err)
	}
	return b.Bytes(), nil
}

// Raw makes layers out of bytes.
func Raw(b []byte) gopacket.SerializableLayer { return gopacket.Payload(b) }

// Broadcast is the hardware address of everybody.
var Broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// Multicast is the hardware address of a multicast group.
func Multicast(group netip.Addr) net.HardwareAddr {
	b := group.AsSlice()
	if group.Is4() {
		return net.HardwareAddr{0x01, 0x00, 0x5e, b[1] & 0x7f, b[2], b[3]}
	}
	return net.HardwareAddr{0x33, 0x33, b[12], b[13], b[14], b[15]}
}

// SolicitedNode is the group in which the owner of an IPv6 address is asked
// for.
func SolicitedNode(a netip.Addr) netip.Addr {
	group := netip.MustParseAddr("ff02::1:ff00:0").As16()
	b := a.As16()
	copy(group[13:], b[13:])
	return netip.AddrFrom16(group)
}

// Ethernet is the outermost layer.
func Ethernet(src, dst net.HardwareAddr, kind layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: src, DstMAC: dst, EthernetType: kind}
}

// VLAN is a tag; the type of the Ethernet layer above says of which kind,
// layers.EthernetTypeDot1Q or EthernetTypeQinQ.
func VLAN(id uint16, kind layers.EthernetType) *layers.Dot1Q {
	return &layers.Dot1Q{VLANIdentifier: id, Type: kind}
}

// IP is an IP header of the addresses' family. Its Ethernet type is EtherType.
func IP(src, dst netip.Addr, protocol layers.IPProtocol) gopacket.SerializableLayer {
	if src.Is4() {
		return &layers.IPv4{
			Version: 4, TTL: 64, Protocol: protocol,
			SrcIP: src.AsSlice(), DstIP: dst.AsSlice(),
		}
	}
	return &layers.IPv6{
		Version: 6, HopLimit: 64, NextHeader: protocol,
		SrcIP: src.AsSlice(), DstIP: dst.AsSlice(),
	}
}

// EtherType is the Ethernet type of the address's family.
func EtherType(a netip.Addr) layers.EthernetType {
	if a.Is4() {
		return layers.EthernetTypeIPv4
	}
	return layers.EthernetTypeIPv6
}

// UDP is a whole frame with a UDP datagram.
func UDP(srcMAC, dstMAC net.HardwareAddr, src, dst netip.AddrPort, payload string) ([]byte, error) {
	return Build(
		Ethernet(srcMAC, dstMAC, EtherType(dst.Addr())),
		IP(src.Addr(), dst.Addr(), layers.IPProtocolUDP),
		&layers.UDP{SrcPort: layers.UDPPort(src.Port()), DstPort: layers.UDPPort(dst.Port())},
		gopacket.Payload(payload))
}

// TCP is a whole frame with a TCP segment; flags are set on the layer by the
// caller's function.
func TCP(srcMAC, dstMAC net.HardwareAddr, src, dst netip.AddrPort, flags func(*layers.TCP), payload string) ([]byte, error) {
	t := &layers.TCP{SrcPort: layers.TCPPort(src.Port()), DstPort: layers.TCPPort(dst.Port()), Seq: 1, Window: 65535}
	flags(t)
	return Build(
		Ethernet(srcMAC, dstMAC, EtherType(dst.Addr())),
		IP(src.Addr(), dst.Addr(), layers.IPProtocolTCP), t, gopacket.Payload(payload))
}
