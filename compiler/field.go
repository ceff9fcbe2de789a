package compiler

import (
	"encoding/binary"
	"net/netip"

	"github.com/sluice-net/sluice/policy"
)

// Field is something of a packet that a rule can ask for, or of its connection. What it
// presupposes of the packet, such as a header, is the kernel's and nft's business: a
// packet without it never matches.
type Field uint8

const (
	// NoField is no part of a [Concat].
	NoField Field = iota
	IPSource
	IPDestination
	IP6Source
	IP6Destination
	IP6HopLimit
	IP6Length
	IP6NextHeader
	// L4Protocol is that of the transport header, behind IPv6's extension headers.
	L4Protocol
	// SourcePort and DestinationPort are of any protocol that has ports.
	SourcePort
	DestinationPort
	UDPDestinationPort
	TCPFlags
	ICMPType
	ICMPv6Type
	InterfaceIn
	InterfaceOut
	InterfaceKindIn
	InterfaceKindOut
	// PortIn and PortOut are interfaces by number: in table bridge sluice, ports.
	PortIn
	PortOut
	PacketLength
	ConnState
	ConnStatus
	ConnMark
	ConnDirection
	OriginalIPSource
	OriginalIP6Source
	ReplyIPSource
	ReplyIP6Source
	EtherSource
	EtherDestination
	EtherProtocol
	// Protocol is that of what is behind the link header and a tag, if there is one.
	Protocol
	// TagInside are the first 16 bits of what is behind these: where that is another tag,
	// its priority and number.
	TagInside
	ARPHardware
	ARPProtocol
	ARPHardwareLength
	ARPProtocolLength
	ARPOperation
	ARPSourceEther
	ARPSourceIP
	ARPDestinationIP
	FragmentNextHeader
	FragmentHeader
	// NeighbourTarget is the address that a message of neighbour discovery speaks of, at
	// the same place in all of them. nft has no name for it.
	NeighbourTarget
	// IP6DestinationStart is the first 16 bits of it. By offset they cost half of what a
	// field with a name does.
	IP6DestinationStart
	// RouteToSource and RouteToDestination are what kind of route the node has to the
	// packet's source and destination.
	RouteToSource
	RouteToDestination
	// WayBack is whether the node would send to the source by the interface that the
	// packet came by.
	WayBack
	// FieldCount is how many there are, so that a table of them is complete or does not
	// compile.
	FieldCount
)

type fieldText struct {
	text string
	kind DataType
	size int
}

var fieldTable = [FieldCount]fieldText{
	IPSource:            {text: "ip saddr", kind: IPv4Addr, size: 4},
	IPDestination:       {text: "ip daddr", kind: IPv4Addr, size: 4},
	IP6Source:           {text: "ip6 saddr", kind: IPv6Addr, size: 16},
	IP6Destination:      {text: "ip6 daddr", kind: IPv6Addr, size: 16},
	IP6HopLimit:         {text: "ip6 hoplimit", kind: Number, size: 1},
	IP6Length:           {text: "ip6 length", kind: Number, size: 2},
	IP6NextHeader:       {text: "ip6 nexthdr", kind: InetProto, size: 1},
	L4Protocol:          {text: "meta l4proto", kind: InetProto, size: 1},
	SourcePort:          {text: "th sport", kind: InetService, size: 2},
	DestinationPort:     {text: "th dport", kind: InetService, size: 2},
	UDPDestinationPort:  {text: "udp dport", kind: InetService, size: 2},
	TCPFlags:            {text: "tcp flags", kind: TCPFlag, size: 1},
	ICMPType:            {text: "icmp type", kind: ICMPKind, size: 1},
	ICMPv6Type:          {text: "icmpv6 type", kind: ICMPv6Kind, size: 1},
	InterfaceIn:         {text: "iifname", kind: IfName, size: ifNameSize},
	InterfaceOut:        {text: "oifname", kind: IfName, size: ifNameSize},
	InterfaceKindIn:     {text: "meta iifkind", kind: IfKind, size: ifNameSize},
	InterfaceKindOut:    {text: "meta oifkind", kind: IfKind, size: ifNameSize},
	PortIn:              {text: "iif", kind: IfIndex, size: 4},
	PortOut:             {text: "oif", kind: IfIndex, size: 4},
	PacketLength:        {text: "meta length", kind: HostNumber, size: 4},
	ConnState:           {text: "ct state", kind: CTState, size: 4},
	ConnStatus:          {text: "ct status", kind: CTStatus, size: 4},
	ConnMark:            {text: "ct mark", kind: CTMark, size: 4},
	ConnDirection:       {text: "ct direction", kind: CTDirection, size: 1},
	OriginalIPSource:    {text: "ct original ip saddr", kind: IPv4Addr, size: 4},
	OriginalIP6Source:   {text: "ct original ip6 saddr", kind: IPv6Addr, size: 16},
	ReplyIPSource:       {text: "ct reply ip saddr", kind: IPv4Addr, size: 4},
	ReplyIP6Source:      {text: "ct reply ip6 saddr", kind: IPv6Addr, size: 16},
	EtherSource:         {text: "ether saddr", kind: EtherAddr, size: 6},
	EtherDestination:    {text: "ether daddr", kind: EtherAddr, size: 6},
	EtherProtocol:       {text: "ether type", kind: EtherType, size: 2},
	Protocol:            {text: "meta protocol", kind: EtherType, size: 2},
	TagInside:           {text: "@nh,0,16", kind: Integer, size: 2},
	ARPHardware:         {text: "arp htype", kind: Number, size: 2},
	ARPProtocol:         {text: "arp ptype", kind: EtherType, size: 2},
	ARPHardwareLength:   {text: "arp hlen", kind: Number, size: 1},
	ARPProtocolLength:   {text: "arp plen", kind: Number, size: 1},
	ARPOperation:        {text: "arp operation", kind: ARPOp, size: 2},
	ARPSourceEther:      {text: "arp saddr ether", kind: EtherAddr, size: 6},
	ARPSourceIP:         {text: "arp saddr ip", kind: IPv4Addr, size: 4},
	ARPDestinationIP:    {text: "arp daddr ip", kind: IPv4Addr, size: 4},
	FragmentNextHeader:  {text: "frag nexthdr", kind: Number, size: 1},
	FragmentHeader:      {text: "exthdr frag", kind: Number, size: 1},
	NeighbourTarget:     {text: "@th,64,128", kind: Integer, size: 16},
	IP6DestinationStart: {text: "@nh,192,16", kind: Integer, size: 2},
	RouteToSource:       {text: "fib saddr type", kind: RouteType, size: 4},
	RouteToDestination:  {text: "fib daddr type", kind: RouteType, size: 4},
	WayBack:             {text: "fib saddr . iif oif", kind: Presence, size: 4},
}

// String is the field as nft writes it.
func (f Field) String() string { return fieldTable[f].text }

// Type is what its values are.
func (f Field) Type() DataType { return fieldTable[f].kind }

// Size is how many bytes they have.
func (f Field) Size() int { return fieldTable[f].size }

// appendValue writes a value of the field as nft does.
func (f Field) appendValue(out []byte, value Value) []byte { return f.Type().appendText(out, value) }

// Concat is up to four fields that are looked up together, in order; the rest is
// [NoField].
type Concat [4]Field

func concat(fields ...Field) (out Concat) {
	copy(out[:], fields)
	return out
}

// Len is how many fields there are.
func (c Concat) Len() int {
	n := 0
	for n < len(c) && c[n] != NoField {
		n++
	}
	return n
}

func (c Concat) appendText(out []byte) []byte {
	for i, f := range c[:c.Len()] {
		if i > 0 {
			out = append(out, " . "...)
		}
		out = append(out, f.String()...)
	}
	return out
}

// Value is what a field is compared with: its bytes in network order. No field has more
// than a register of the kernel's.
type Value struct {
	size  uint8
	bytes [16]byte
}

// Bytes are as many as the field has.
func (v Value) Bytes() []byte { return v.bytes[:v.size] }

// number is a value of up to eight bytes.
func (v Value) number() uint64 {
	var out uint64
	for _, b := range v.bytes[:min(v.size, 8)] {
		out = out<<8 | uint64(b)
	}
	return out
}

// valueOf takes bytes in network order, as many as a register holds.
func valueOf(part string) (v Value) {
	v.size = uint8(copy(v.bytes[:], part))
	return v
}

// Number is a value of a field of up to four bytes.
func (f Field) Number(n uint32) Value {
	v := Value{size: uint8(f.Size())}
	var whole [4]byte
	binary.BigEndian.PutUint32(whole[:], n)
	copy(v.bytes[:f.Size()], whole[4-min(4, f.Size()):])
	return v
}

// Text is a value of a field that names something, filled up with zeroes.
func (f Field) Text(s string) Value {
	v := Value{size: uint8(f.Size())}
	copy(v.bytes[:], s)
	return v
}

// AddrValue is an address as a value.
func AddrValue(a netip.Addr) (v Value) {
	if a.Is4() {
		raw := a.As4()
		v.size = uint8(copy(v.bytes[:], raw[:]))
		return v
	}
	v.size, v.bytes = 16, a.As16()
	return v
}

// Numbers are the values of a [OneOf].
func (f Field) Numbers(list ...uint32) string {
	out := make([]byte, 0, len(list)*f.Size())
	for _, n := range list {
		out = append(out, f.Number(n).Bytes()...)
	}
	return string(out)
}

// AddrValues are the same for addresses, in their order.
func AddrValues(list []netip.Addr) string {
	var out []byte
	for _, a := range list {
		out = append(out, a.AsSlice()...)
	}
	return string(out)
}

// etherValue is a hardware address as a value.
func etherValue(mac [6]byte) (v Value) {
	v.size = uint8(copy(v.bytes[:], mac[:]))
	return v
}

// source and the rest are where a packet of the family has it.
func (f family) source() Field { return [...]Field{IPSource, IP6Source}[f] }

func (f family) destination() Field { return [...]Field{IPDestination, IP6Destination}[f] }

// opener is the source of the first packet of a connection that went so.
func (f family) opener(w way) Field {
	return [...][2]Field{{OriginalIPSource, ReplyIPSource}, {OriginalIP6Source, ReplyIP6Source}}[f][w]
}

// peerField is where a packet has the address of the peer, as seen from the Pod
// that is the subject.
func peerField(f family, d policy.Direction, w way) Field {
	if (d == policy.Ingress) == (w == forth) {
		return f.source()
	}
	return f.destination()
}

// subjectField is where a packet has the subject's address.
func subjectField(f family, d policy.Direction, w way) Field {
	if (d == policy.Ingress) == (w == forth) {
		return f.destination()
	}
	return f.source()
}

// portField is where a packet has the port that policies speak of.
func portField(w way) Field {
	if w == forth {
		return DestinationPort
	}
	return SourcePort
}
