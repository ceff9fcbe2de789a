package denials

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/sluice-net/sluice/policy"
)

// Packet is what the headers of a denied packet say.
type Packet struct {
	Src, Dst netip.Addr
	Protocol policy.Protocol
	// SrcPort and DstPort are set where HasPorts.
	SrcPort, DstPort uint16
	// HasPorts: the protocol has ports, and the packet has its beginning.
	HasPorts bool
	// Type and Code are ICMP's, where HasType.
	Type, Code uint8
	HasType    bool
	// Fragment: it is not the first piece of a datagram.
	Fragment bool
	// Cut: the log has less of it than would be needed to know more.
	Cut bool
}

// maxExtensions is how many extension headers of IPv6 are walked. Each is at most once
// in a packet that follows RFC 8200, but for one.
const maxExtensions = 8

// Protocol numbers of the extension headers of IPv6
// (https://www.iana.org/assignments/ipv6-parameters).
const (
	hopByHop    = 0
	routing     = 43
	fragment    = 44
	authHeader  = 51
	destOptions = 60
	mobility    = 135
	hip         = 139
	shim6       = 140
)

var errNotIP = errors.New("read a denied packet: it is no IP packet")

// ParsePacket reads the headers of a packet, from the network header on. Who sent it is
// a stranger: whatever is in it gives a Packet or an error. What the log has cut off is
// no error, for the addresses are enough to tell of it.
func ParsePacket(b []byte) (Packet, error) {
	if len(b) == 0 {
		return Packet{}, fmt.Errorf("read a denied packet: it is empty")
	}
	switch b[0] >> 4 {
	case 4:
		return parseIPv4(b)
	case 6:
		return parseIPv6(b)
	}
	return Packet{}, errNotIP
}

func parseIPv4(b []byte) (Packet, error) {
	const shortest = 20
	if len(b) < shortest {
		return Packet{}, fmt.Errorf("read a denied packet: %d bytes are no IPv4 header", len(b))
	}
	header := int(b[0]&0xf) * 4
	if header < shortest {
		return Packet{}, fmt.Errorf("read a denied packet: an IPv4 header of %d bytes is too short", header)
	}
	p := Packet{
		Src:      netip.AddrFrom4([4]byte(b[12:16])),
		Dst:      netip.AddrFrom4([4]byte(b[16:20])),
		Protocol: policy.Protocol(b[9]),
		Fragment: binary.BigEndian.Uint16(b[6:])&0x1fff != 0,
	}
	p.transport(b, header)
	return p, nil
}

func parseIPv6(b []byte) (Packet, error) {
	const header = 40
	if len(b) < header {
		return Packet{}, fmt.Errorf("read a denied packet: %d bytes are no IPv6 header", len(b))
	}
	p := Packet{
		Src: netip.AddrFrom16([16]byte(b[8:24])),
		Dst: netip.AddrFrom16([16]byte(b[24:40])),
	}
	next, at := b[6], header
	for range maxExtensions {
		size, ok := extension(next, b, at)
		if !ok {
			p.Protocol = policy.Protocol(next)
			p.transport(b, at)
			return p, nil
		}
		if size == 0 {
			break
		}
		if next == fragment {
			p.Fragment = p.Fragment || binary.BigEndian.Uint16(b[at+2:])&0xfff8 != 0
		}
		next, at = b[at], at+size
		if p.Fragment {
			// What follows is the middle of something.
			p.Protocol = policy.Protocol(next)
			return p, nil
		}
	}
	p.Protocol, p.Cut = policy.Protocol(next), true
	return p, nil
}

// extension is the length of the extension header of a kind, 0 if the log has cut it
// off. It is false for what is no extension header.
func extension(kind byte, b []byte, at int) (size int, ok bool) {
	switch kind {
	case hopByHop, routing, destOptions, mobility, hip, shim6, fragment, authHeader:
	default:
		return 0, false
	}
	const shortest = 8
	if at+shortest > len(b) {
		return 0, true
	}
	switch kind {
	case fragment:
		return shortest, true
	case authHeader:
		return (int(b[at+1]) + 2) * 4, true
	}
	return (int(b[at+1]) + 1) * 8, true
}

// transport reads ports or type, if they are there.
func (p *Packet) transport(b []byte, at int) {
	if p.Fragment {
		return
	}
	switch {
	case p.Protocol.HasPorts():
		if at+4 > len(b) {
			p.Cut = true
			return
		}
		p.SrcPort, p.DstPort = binary.BigEndian.Uint16(b[at:]), binary.BigEndian.Uint16(b[at+2:])
		p.HasPorts = true
	case p.Protocol == policy.ICMP || p.Protocol == policy.ICMPv6:
		if at+2 > len(b) {
			p.Cut = true
			return
		}
		p.Type, p.Code, p.HasType = b[at], b[at+1], true
	}
}
