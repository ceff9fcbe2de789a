package compiler

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/policy"
)

// DataType is a type of values, of a field of packets or of a part of a set's key.
// Values are bytes in network order everywhere here, also those of types that the
// kernel keeps in the host's: see [DataType.HostOrder].
type DataType uint8

const (
	// NoType is no part of a key.
	NoType DataType = iota
	IPv4Addr
	IPv6Addr
	InetProto
	InetService
	IfName
	IfIndex
	EtherAddr
	// Integer is what nft has no name for: see [NeighbourTarget].
	Integer

	// The following are types of fields only: no set has them.

	EtherType
	ARPOp
	ICMPKind
	ICMPv6Kind
	TCPFlag
	CTState
	CTStatus
	CTMark
	CTDirection
	// IfKind is what kind of device an interface is, as its driver calls it.
	IfKind
	// Number is written in decimal.
	Number
	// RouteType is RTN_UNICAST and the rest of linux/rtnetlink.h.
	RouteType
	// Presence is whether there is something.
	Presence
	// HostNumber is one that the kernel keeps in the host's order.
	HostNumber
	dataTypes
)

// dataType is how nft writes a type and its values.
type dataType struct {
	name string
	// size is of a key's part; fields know theirs.
	size int
	host bool
	text func(out []byte, value Value) []byte
}

var dataTypeTable = [dataTypes]dataType{
	IPv4Addr:    {name: "ipv4_addr", size: 4, text: addrText},
	IPv6Addr:    {name: "ipv6_addr", size: 16, text: addrText},
	InetProto:   {name: "inet_proto", size: 1, text: func(out []byte, v Value) []byte { return append(out, protocolName(policy.Protocol(v.bytes[0]))...) }},
	InetService: {name: "inet_service", size: 2, text: numberText},
	IfName:      {name: "ifname", size: ifNameSize, text: nameText},
	IfIndex:     {name: "iface_index", size: 4, host: true, text: numberText},
	EtherAddr:   {name: "ether_addr", size: 6, text: etherText},
	Integer:     {name: "integer", size: 16, text: hexText},
	EtherType:   {text: wordText(map[uint64]string{0x0800: "ip", 0x0806: "arp", 0x86dd: "ip6", 0x8100: "vlan", 0x88a8: "8021ad"})},
	ARPOp:       {text: wordText(map[uint64]string{1: "request", 2: "reply"})},
	ICMPKind:    {text: wordText(icmpNames)},
	ICMPv6Kind:  {text: wordText(icmpv6Names)},
	TCPFlag:     {text: flagText("|", tcpFlagNames)},
	CTState:     {host: true, text: flagText(",", stateNames)},
	CTStatus:    {host: true, text: func(out []byte, v Value) []byte { return strconv.AppendUint(append(out, "0x"...), v.number(), 16) }},
	CTMark:      {host: true, text: markText},
	CTDirection: {text: wordText(map[uint64]string{0: "original", 1: "reply"})},
	IfKind:      {text: nameText},
	Number:      {text: numberText},
	RouteType:   {host: true, text: wordText(map[uint64]string{routeUnicast: "unicast", routeLocal: "local"})},
	Presence:    {host: true, text: wordText(map[uint64]string{wayMissing: "missing", wayExists: "exists"})},
	HostNumber:  {host: true, text: numberText},
}

// Values of [RouteType] and [Presence].
const (
	routeUnicast = 1
	routeLocal   = 2
	wayMissing   = 0
	wayExists    = 1
)

// ifNameSize is IFNAMSIZ of linux/if.h.
const ifNameSize = 16

// String is the name that nft gives the type of a key's part.
func (d DataType) String() string { return dataTypeTable[d].name }

// Size is how many bytes a part of a key has.
func (d DataType) Size() int { return dataTypeTable[d].size }

// HostOrder reports whether the kernel keeps such numbers in the host's byte order.
func (d DataType) HostOrder() bool { return dataTypeTable[d].host }

// appendText writes a value as nft does.
func (d DataType) appendText(out []byte, value Value) []byte {
	return dataTypeTable[d].text(out, value)
}

func addrText(out []byte, v Value) []byte {
	a, _ := netip.AddrFromSlice(v.bytes[:v.size])
	return a.AppendTo(out)
}

func numberText(out []byte, v Value) []byte { return strconv.AppendUint(out, v.number(), 10) }

func hexText(out []byte, v Value) []byte {
	return hex.AppendEncode(append(out, "0x"...), v.bytes[:v.size])
}

func nameText(out []byte, v Value) []byte {
	out = append(out, '"')
	for _, b := range v.bytes[:v.size] {
		if b == 0 {
			break
		}
		out = append(out, b)
	}
	return append(out, '"')
}

func etherText(out []byte, v Value) []byte {
	for i := range v.bytes[:v.size] {
		if i > 0 {
			out = append(out, ':')
		}
		out = hex.AppendEncode(out, v.bytes[i:i+1])
	}
	return out
}

// wordText writes what has a name by it, all else as a number.
func wordText(names map[uint64]string) func(out []byte, v Value) []byte {
	return func(out []byte, v Value) []byte {
		if name, known := names[v.number()]; known {
			return append(out, name...)
		}
		return numberText(out, v)
	}
}

// flagText joins the names of the bits that are set, in the order of the names.
func flagText(by string, names []flagName) func(out []byte, v Value) []byte {
	return func(out []byte, v Value) []byte {
		n, first := v.number(), true
		for _, f := range names {
			if n&uint64(f.bit) == 0 {
				continue
			}
			if !first {
				out = append(out, by...)
			}
			out, first = append(out, f.name...), false
		}
		if first {
			return append(out, '0')
		}
		return out
	}
}

type flagName struct {
	bit  uint32
	name string
}

// markText pads marks, so that their bits stand beneath each other.
func markText(out []byte, v Value) []byte {
	if v.number() == 0 {
		return append(out, "0x0"...)
	}
	return hexText(out, v)
}

// Protocol numbers that rules name.
const (
	protoICMP   policy.Protocol = 1
	protoICMPv6 policy.Protocol = 58
)

// protocolName is how nft writes a protocol. Its image has no file of names, and knows
// these.
func protocolName(p policy.Protocol) string {
	switch {
	case p.HasPorts():
		return strings.ToLower(p.String())
	case p == protoICMP:
		return "icmp"
	case p == protoICMPv6:
		return "icmpv6"
	}
	return strconv.Itoa(int(p))
}

// Types of ICMP messages (RFC 792).
const (
	icmpUnreachable = 3
	icmpQuench      = 4
	icmpRedirect    = 5
	icmpTimeExceed  = 11
	icmpParameter   = 12
)

var icmpNames = map[uint64]string{
	icmpUnreachable: "destination-unreachable", icmpQuench: "source-quench", icmpRedirect: "redirect",
	icmpTimeExceed: "time-exceeded", icmpParameter: "parameter-problem",
}

// Types of ICMPv6 messages (RFC 4861, RFC 2710, RFC 3810).
const (
	mldQuery     = 130
	mldReport    = 131
	mldDone      = 132
	ndRouterAsk  = 133
	ndRouterTell = 134
	ndAsk        = 135
	ndTell       = 136
	ndRedirect   = 137
	mld2Report   = 143
)

var icmpv6Names = map[uint64]string{
	mldQuery: "mld-listener-query", mldReport: "mld-listener-report", mldDone: "mld-listener-done", mld2Report: "mld2-listener-report",
	ndRouterAsk: "nd-router-solicit", ndRouterTell: "nd-router-advert", ndAsk: "nd-neighbor-solicit", ndTell: "nd-neighbor-advert", ndRedirect: "nd-redirect",
}

// Flags of TCP (RFC 9293, 3.1).
const (
	tcpFin = 0x01
	tcpSyn = 0x02
	tcpRst = 0x04
	tcpAck = 0x10
)

var tcpFlagNames = []flagName{{tcpFin, "fin"}, {tcpSyn, "syn"}, {tcpRst, "rst"}, {tcpAck, "ack"}}

// States of connections, as rules ask for them (NF_CT_STATE_BIT of
// linux/netfilter/nf_conntrack_common.h).
const (
	StateInvalid   uint32 = 1
	StateRelated   uint32 = 4
	StateNew       uint32 = 8
	StateUntracked uint32 = 64
)

var stateNames = []flagName{{StateInvalid, "invalid"}, {StateRelated, "related"}, {StateNew, "new"}, {StateUntracked, "untracked"}}

// Directions of packets of a connection.
const (
	directionOriginal = 0
	directionReply    = 1
)
