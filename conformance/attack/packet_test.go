package attack_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"
)

// packet is what all frames of an attack have in common; its methods make
// frames of it.
type packet struct {
	t              testing.TB
	srcMAC, dstMAC net.HardwareAddr
	src, dst       netip.Addr
	hops           uint8
	// token is in every frame, so that a capture tells whose it is.
	token []byte
}

func (p packet) is6() bool { return p.dst.Is6() }

// from is the packet with another source address.
func (p packet) from(a netip.Addr) packet {
	p.src = a
	return p
}

// to is the packet for another address and hardware address, nil for the same.
func (p packet) to(a netip.Addr, mac net.HardwareAddr) packet {
	p.dst = a
	if mac != nil {
		p.dstMAC = mac
	}
	return p
}

var (
	broadcastMAC = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	allNodes     = netip.MustParseAddr("ff02::1")
)

// multicastMAC is the hardware address that goes with a multicast address.
func multicastMAC(a netip.Addr) net.HardwareAddr {
	b := a.AsSlice()
	if a.Is6() {
		return net.HardwareAddr{0x33, 0x33, b[12], b[13], b[14], b[15]}
	}
	return net.HardwareAddr{0x01, 0x00, 0x5e, b[1] & 0x7f, b[2], b[3]}
}

// linkLocal is the address that a kernel derives from a hardware address.
func linkLocal(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{
		0: 0xfe, 1: 0x80,
		8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5],
	})
}

// ethernet is a frame of any type, or, with a type below 1536, of that length.
func (p packet) ethernet(kind uint16, payload []byte) []byte {
	frame := append(append([]byte(nil), p.dstMAC...), p.srcMAC...)
	return append(binary.BigEndian.AppendUint16(frame, kind), payload...)
}

// tagged puts VLAN tags into a frame, the outermost first.
func tagged(frame []byte, tags ...uint32) []byte {
	out := append([]byte(nil), frame[:12]...)
	for _, tag := range tags {
		out = binary.BigEndian.AppendUint32(out, tag)
	}
	return append(out, frame[12:]...)
}

// tag is a VLAN tag.
func tag(protocol, vid uint16) uint32 { return uint32(protocol)<<16 | uint32(vid) }

// ip is a frame with an IP packet that carries bytes.
func (p packet) ip(protocol uint8, payload []byte) []byte {
	hops := p.hops
	if hops == 0 {
		hops = 64
	}
	if p.is6() {
		return p.serialize(gopacket.SerializeOptions{FixLengths: true}, &layers.IPv6{
			Version: 6, HopLimit: hops, NextHeader: layers.IPProtocol(protocol),
			SrcIP: p.src.AsSlice(), DstIP: p.dst.AsSlice(),
		}, payload)
	}
	return p.ip4(&layers.IPv4{Protocol: layers.IPProtocol(protocol), TTL: hops}, payload)
}

// ip4 is a frame with an IPv4 packet of which some fields are given.
func (p packet) ip4(header *layers.IPv4, payload []byte) []byte {
	header.Version, header.SrcIP, header.DstIP = 4, p.src.AsSlice(), p.dst.AsSlice()
	if header.TTL == 0 {
		header.TTL = 64
	}
	return p.serialize(gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, header, payload)
}

func (p packet) serialize(o gopacket.SerializeOptions, header gopacket.SerializableLayer, payload []byte) []byte {
	p.t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, o, header, gopacket.Payload(payload)); err != nil {
		p.t.Fatal(err)
	}
	kind := uint16(unix.ETH_P_IP)
	if header.LayerType() == layers.LayerTypeIPv6 {
		kind = unix.ETH_P_IPV6
	}
	return p.ethernet(kind, b.Bytes())
}

// segment is a TCP segment with the token as its data.
func (p packet) segment(sport, dport uint16, flags uint8) []byte {
	b := binary.BigEndian.AppendUint16(nil, sport)
	b = binary.BigEndian.AppendUint16(b, dport)
	b = binary.BigEndian.AppendUint32(b, 1000) // sequence
	b = binary.BigEndian.AppendUint32(b, 2000) // acknowledgement
	b = append(b, 5<<4, flags, 0x10, 0, 0, 0, 0, 0)
	return p.withChecksum(unix.IPPROTO_TCP, 16, append(b, p.token...))
}

// datagram is a UDP datagram with the token as its data.
func (p packet) datagram(sport, dport uint16) []byte {
	b := binary.BigEndian.AppendUint16(nil, sport)
	b = binary.BigEndian.AppendUint16(b, dport)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(p.token)))
	return p.withChecksum(unix.IPPROTO_UDP, 6, append(append(b, 0, 0), p.token...))
}

// withChecksum fills in the checksum at an offset of a transport header.
func (p packet) withChecksum(protocol uint8, offset int, b []byte) []byte {
	binary.BigEndian.PutUint16(b[offset:], checksum(p.pseudoHeader(protocol, len(b)), b))
	return b
}

func (p packet) pseudoHeader(protocol uint8, length int) []byte {
	b := append(p.src.AsSlice(), p.dst.AsSlice()...)
	b = binary.BigEndian.AppendUint32(b, uint32(length))
	return append(b, 0, 0, 0, protocol)
}

func checksum(parts ...[]byte) uint16 {
	var sum uint32
	for _, b := range parts {
		for i := 0; i+1 < len(b); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
		if len(b)%2 == 1 {
			sum += uint32(b[len(b)-1]) << 8
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// TCP flags.
const (
	fin uint8 = 1 << iota
	syn
	rst
	psh
	ack
	urg
)

// sourcePort is one that nobody else uses: a packet of a flow that was allowed
// before would prove nothing. The lab's own flows begin at 33000.
func (p packet) sourcePort() uint16 {
	n, err := strconv.Atoi(string(p.token[len(p.token)-4:]))
	if err != nil {
		p.t.Fatal(err)
	}
	return uint16(20000 + n)
}

// identifier is the port of a ping.
func (p packet) identifier() []byte {
	return binary.BigEndian.AppendUint16(nil, p.sourcePort())
}

func (p packet) tcp(dport uint16, flags uint8) []byte {
	return p.ip(unix.IPPROTO_TCP, p.segment(p.sourcePort(), dport, flags))
}

func (p packet) udp(dport uint16) []byte {
	return p.ip(unix.IPPROTO_UDP, p.datagram(p.sourcePort(), dport))
}

// echo is a ping.
func (p packet) echo() []byte {
	kind := uint8(layers.ICMPv4TypeEchoRequest)
	if p.is6() {
		kind = layers.ICMPv6TypeEchoRequest
	}
	return p.icmp(kind, 0, append(p.identifier(), 0, 1), p.token)
}

// icmp is an ICMP or ICMPv6 message. rest is the four bytes after the checksum.
func (p packet) icmp(kind, code uint8, rest, body []byte) []byte {
	b, protocol := p.icmpMessage(kind, code, rest, body)
	return p.ip(protocol, b)
}

func (p packet) icmpMessage(kind, code uint8, rest, body []byte) ([]byte, uint8) {
	b := append(append([]byte{kind, code, 0, 0}, rest...), body...)
	if p.is6() {
		return p.withChecksum(unix.IPPROTO_ICMPV6, 2, b), unix.IPPROTO_ICMPV6
	}
	binary.BigEndian.PutUint16(b[2:], checksum(b))
	return b, unix.IPPROTO_ICMP
}

// Options of neighbour discovery.
const (
	sourceLinkAddress = 1
	targetLinkAddress = 2
)

// ndOption has the hardware address of the sender.
func ndOption(kind uint8, mac net.HardwareAddr) []byte {
	return append([]byte{kind, 1}, mac...)
}

// tokenOption is a nonce (RFC 3971, 5.3.2), the one option that can hold a token and
// that hosts do send.
func (p packet) tokenOption() []byte {
	return append([]byte{14, 1, '~'}, p.token[7:12]...)
}

// nd is a message of neighbour discovery about a target.
func (p packet) nd(kind uint8, flags byte, target netip.Addr, options ...[]byte) []byte {
	b, protocol := p.ndMessage(kind, flags, target, options...)
	p.hops = 255
	return p.ip(protocol, b)
}

func (p packet) ndMessage(kind uint8, flags byte, target netip.Addr, options ...[]byte) ([]byte, uint8) {
	body := target.AsSlice()
	for _, o := range append(options, p.tokenOption()) {
		body = append(body, o...)
	}
	return p.icmpMessage(kind, 0, []byte{flags, 0, 0, 0}, body)
}

// routerAdvertisement says: I am your router, for half an hour.
func (p packet) routerAdvertisement() ([]byte, uint8) {
	body := append(make([]byte, 8), ndOption(sourceLinkAddress, p.srcMAC)...)
	// A prefix, on link and for addresses.
	prefix := append([]byte{3, 4, 64, 0xc0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}, netip.MustParseAddr("fd66::").AsSlice()...)
	body = append(append(body, prefix...), p.tokenOption()...)
	return p.icmpMessage(layers.ICMPv6TypeRouterAdvertisement, 0, []byte{64, 0, 7, 8}, body)
}

// arp is an ARP message; the token is behind it, where Ethernet pads.
func (p packet) arp(operation uint16, senderMAC net.HardwareAddr, sender netip.Addr, targetMAC net.HardwareAddr, target netip.Addr) []byte {
	b := []byte{0, 1, 8, 0, 6, 4}
	b = binary.BigEndian.AppendUint16(b, operation)
	b = append(append(b, senderMAC...), sender.AsSlice()...)
	b = append(append(b, targetMAC...), target.AsSlice()...)
	return p.ethernet(unix.ETH_P_ARP, append(b, p.token...))
}

// fragments cuts a transport payload at offsets, which are multiples of 8, and
// makes a packet of each piece.
func (p packet) fragments(protocol uint8, payload []byte, cuts ...int) [][]byte {
	var out [][]byte
	id := p.sourcePort()
	start := 0
	for _, end := range append(cuts, len(payload)) {
		out = append(out, p.fragment(id, protocol, payload[start:end], start, end < len(payload)))
		start = end
	}
	return out
}

// fragment is one fragment of a packet.
func (p packet) fragment(id uint16, protocol uint8, payload []byte, offset int, more bool) []byte {
	if p.is6() {
		return p.ip(unix.IPPROTO_FRAGMENT, append(fragmentHeader(id, protocol, offset, more), payload...))
	}
	h := &layers.IPv4{Protocol: layers.IPProtocol(protocol), Id: id, FragOffset: uint16(offset / 8)}
	if more {
		h.Flags = layers.IPv4MoreFragments
	}
	return p.ip4(h, payload)
}

func fragmentHeader(id uint16, next uint8, offset int, more bool) []byte {
	field := uint16(offset)
	if more {
		field |= 1
	}
	b := binary.BigEndian.AppendUint16([]byte{next, 0}, field)
	return binary.BigEndian.AppendUint32(b, uint32(id))
}
