package rulesim

import (
	"encoding/binary"
	"net/netip"
)

// Hook is where in the kernel a base chain stands.
type Hook string

const (
	Forward Hook = "forward"
	Input   Hook = "input"
	Output  Hook = "output"
)

// State is what conntrack says of a packet, as the bits of "ct state".
type State uint32

const (
	Invalid     State = 1
	Established State = 2
	Related     State = 4
	New         State = 8
	Untracked   State = 64
)

// TCP flags.
const (
	FIN uint8 = 1
	SYN uint8 = 2
	RST uint8 = 4
	ACK uint8 = 16
)

// Confirmed is the bit of "ct status" that an entry has from when its first packet
// passed.
const Confirmed uint32 = 8

// Entry is a conntrack entry.
type Entry struct {
	Mark, Status uint32
	// Original and Reply are the sources of packets in either direction.
	Original, Reply netip.Addr
}

// Packet is a packet at a hook.
type Packet struct {
	Hook     Hook
	In, Out  string
	Src, Dst netip.Addr
	// ToNode: the destination is an address of the node's, wherever the packet is.
	ToNode bool
	// Astray: the node would not send to the source by the interface that it came by.
	Astray bool
	// Own: the source is an address of the node.
	Own bool
	// Before leaves out base chains of this priority and later ones: something else took
	// the packet there. 0: none is left out.
	Before   int
	HopLimit uint8
	Protocol uint8
	// Transport is what follows the network header. See [Transport].
	Transport []byte
	// NextHeader is what IPv6 has next, if that is another header than Protocol's;
	// Length is what it says that follows, if that is more than Transport.
	NextHeader *uint8
	Length     uint16
	// LaterFragment: not the first fragment, so there is no transport header.
	LaterFragment bool
	State         State
	Reply         bool
	// Entry is nil for invalid and untracked packets.
	Entry *Entry
	// Trace asks for [Result.Trace].
	Trace bool
}

func (p *Packet) nextHeader() uint8 {
	if p.NextHeader != nil {
		return *p.NextHeader
	}
	return p.Protocol
}

func (p *Packet) payloadLength() uint16 { return max(p.Length, uint16(len(p.Transport))) }

// Transport makes a transport header: ports for TCP, UDP and SCTP, an echo for
// ICMP and ICMPv6 whose type is from, eight bytes of any kind for the others.
func Transport(protocol uint8, from, to uint16, flags uint8) []byte {
	size := map[uint8]int{6: 20, 17: 8, 132: 12}[protocol]
	if size == 0 {
		// In an ICMP header the checksum stands where others have the
		// destination port.
		b := []byte{byte(from), 0, 0x1f, 0x90, 0, 1, 0, 1}
		return b
	}
	b := make([]byte, size)
	binary.BigEndian.PutUint16(b, from)
	binary.BigEndian.PutUint16(b[2:], to)
	if protocol == 6 {
		b[12], b[13] = 5<<4, flags
	}
	return b
}

// Verdict is what becomes of a packet.
type Verdict string

const (
	Accept Verdict = "accept"
	Drop   Verdict = "drop"
	Reject Verdict = "reject"
)

// Result is a judgement.
type Result struct {
	Verdict Verdict
	// Counters are the named counters that counted the packet.
	Counters []string
	// Logs are the prefixes of the log statements that took the packet.
	Logs []string
	// Rules, Expressions and Lookups count the work that was done.
	Rules, Expressions, Lookups int
	// Trace lists the rules that matched, each after the name of its chain.
	Trace []string
}

// Passed reports whether the packet goes on.
func (r Result) Passed() bool { return r.Verdict == Accept }
