package beyond

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/sluice-net/sluice/conformance/cluster/beyond/probe"
)

// Numbers that frames are made of.
const (
	etherARP   = 0x0806
	etherIPv4  = 0x0800
	etherIPv6  = 0x86dd
	etherVLAN  = 0x8100
	etherQinQ  = 0x88a8
	etherLocal = 0x88b5 // for local experiments

	protocolTCP    = 6
	protocolUDP    = 17
	protocolICMPv6 = 58

	routerAdvertisement    = 134
	neighbourAdvertisement = 136
)

var (
	everybody = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	allNodes  = netip.MustParseAddr("ff02::1")
	allNodesL = net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
)

// ends are who a packet says that it comes from and goes to.
type ends struct {
	srcMAC, dstMAC net.HardwareAddr
	src, dst       netip.Addr
}

// linkLocal is the address that a kernel derives from a hardware address.
func linkLocal(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]})
}

// marks are numbers that no two frames share.
var marks struct {
	sync.Mutex
	last int
}

func newMark() string {
	marks.Lock()
	defer marks.Unlock()
	marks.last++
	return probe.Mark(marks.last)
}

func (e ends) ethernet(kind uint16, payload []byte) []byte {
	return slices.Concat(e.dstMAC, e.srcMAC, binary.BigEndian.AppendUint16(nil, kind), payload)
}

// tagged puts VLAN tags into a frame, the outermost first.
func tagged(frame []byte, kinds ...uint16) []byte {
	tags := []byte{}
	for _, kind := range kinds {
		tags = binary.BigEndian.AppendUint16(tags, kind)
		tags = binary.BigEndian.AppendUint16(tags, 5)
	}
	return slices.Concat(frame[:12], tags, frame[12:])
}

// ip is a frame with a packet that carries bytes.
func (e ends) ip(protocol, hops uint8, payload []byte) []byte {
	if e.dst.Is4() {
		h := make([]byte, 20, 20+len(payload))
		h[0], h[8], h[9] = 0x45, hops, protocol
		binary.BigEndian.PutUint16(h[2:], uint16(20+len(payload)))
		copy(h[12:], e.src.AsSlice())
		copy(h[16:], e.dst.AsSlice())
		binary.BigEndian.PutUint16(h[10:], sum(h))
		return e.ethernet(etherIPv4, append(h, payload...))
	}
	h := make([]byte, 40, 40+len(payload))
	h[0], h[6], h[7] = 0x60, protocol, hops
	binary.BigEndian.PutUint16(h[4:], uint16(len(payload)))
	copy(h[8:], e.src.AsSlice())
	copy(h[24:], e.dst.AsSlice())
	return e.ethernet(etherIPv6, append(h, payload...))
}

func (e ends) udp(from, to uint16, data string) []byte {
	b := make([]byte, 8, 8+len(data))
	binary.BigEndian.PutUint16(b, from)
	binary.BigEndian.PutUint16(b[2:], to)
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(data)))
	return e.ip(protocolUDP, 64, e.summed(protocolUDP, 6, append(b, data...)))
}

// syn is a TCP segment that wants a connection, with data.
func (e ends) syn(from, to uint16, data string) []byte {
	b := make([]byte, 20, 20+len(data))
	binary.BigEndian.PutUint16(b, from)
	binary.BigEndian.PutUint16(b[2:], to)
	b[4], b[12], b[13], b[14] = 1, 5<<4, 2, 0x10
	return e.ip(protocolTCP, 64, e.summed(protocolTCP, 16, append(b, data...)))
}

// advertisement says that an address is where the frame comes from.
func (e ends) advertisement(of netip.Addr, mark string) []byte {
	b := slices.Concat([]byte{neighbourAdvertisement, 0, 0, 0, 0x60, 0, 0, 0}, of.AsSlice(), []byte{2, 1}, e.srcMAC, []byte(mark))
	return e.ip(protocolICMPv6, 255, e.summed(protocolICMPv6, 2, b))
}

// router says that it is one, for half an hour.
func (e ends) router(mark string) []byte {
	b := slices.Concat([]byte{routerAdvertisement, 0, 0, 0, 64, 0, 7, 8}, make([]byte, 8), []byte{1, 1}, e.srcMAC, []byte(mark))
	return e.ip(protocolICMPv6, 255, e.summed(protocolICMPv6, 2, b))
}

// arp says that an address is where the frame comes from; the mark is where Ethernet
// pads.
func (e ends) arp(operation uint16, of netip.Addr, mark string) []byte {
	b := []byte{0, 1, 8, 0, 6, 4}
	b = binary.BigEndian.AppendUint16(b, operation)
	return e.ethernet(etherARP, slices.Concat(b, e.srcMAC, of.AsSlice(), e.dstMAC, e.dst.AsSlice(), []byte(mark)))
}

// summed fills in the checksum of a transport header.
func (e ends) summed(protocol uint8, at int, b []byte) []byte {
	pseudo := slices.Concat(e.src.AsSlice(), e.dst.AsSlice(), binary.BigEndian.AppendUint32(nil, uint32(len(b))), []byte{0, 0, 0, protocol})
	binary.BigEndian.PutUint16(b[at:], sum(append(pseudo, b...)))
	return b
}

func sum(b []byte) uint16 {
	var s uint32
	for i := 0; i < len(b); i += 2 {
		s += uint32(b[i]) << 8
		if i+1 < len(b) {
			s += uint32(b[i+1])
		}
	}
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	return ^uint16(s)
}
