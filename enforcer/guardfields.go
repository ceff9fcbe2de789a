package enforcer

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/google/nftables/expr"
)

// guardField is something that a guard's rule compares.
type guardField struct {
	load guardLoad
	// kind and notes are for sets of such values: the type's number, and what
	// nft notes of where they come from.
	kind  uint32
	notes []byte
	read  func(text string) ([]byte, bool)
}

// guardLoad is where a packet has the field: at an offset behind a header.
type guardLoad struct {
	base        expr.PayloadBase
	offset, len uint32
}

// What nft says of an expression in a set's notes.
const (
	payloadOf     = 7
	protocolOf    = 0
	fieldOf       = 1
	rawBase       = 2
	rawOffset     = 3
	rawLength     = 4
	ethernetOf    = 17
	arpOf         = 15
	ipv4Of        = 12
	ipv6Of        = 13
	icmpv6Of      = 14
	etherAddrType = 9
	etherTypeType = 10
	integerType   = 4
	icmpv6Type    = 29
)

func fieldNotes(protocol, field uint32) []byte {
	return slices.Concat(note(noteKeyOrder, orderNetwork), notes(noteKeyOf, note(expressionOf, payloadOf), notes(expressionData, note(protocolOf, protocol), note(fieldOf, field))))
}

func rawNotes(base expr.PayloadBase, offset, length uint32) []byte {
	return slices.Concat(note(noteKeyOrder, orderNetwork), notes(noteKeyOf, note(expressionOf, payloadOf),
		notes(expressionData, note(protocolOf, 0), note(fieldOf, 0), note(rawBase, uint32(base)+1), note(rawOffset, offset), note(rawLength, length))))
}

const (
	linkHeader    = expr.PayloadBaseLLHeader
	networkHeader = expr.PayloadBaseNetworkHeader
	transport     = expr.PayloadBaseTransportHeader
)

var (
	etherSource = guardField{guardLoad{base: linkHeader, offset: 6, len: 6}, etherAddrType, fieldNotes(ethernetOf, 2), readMAC}
	etherType   = guardField{guardLoad{base: linkHeader, offset: 12, len: 2}, etherTypeType, fieldNotes(ethernetOf, 3), readEtherType}
	arpHardware = guardField{load: guardLoad{base: networkHeader, offset: 0, len: 2}, read: readNumber(2)}
	arpLength   = guardField{load: guardLoad{base: networkHeader, offset: 5, len: 1}, read: readNumber(1)}
	arpEther    = guardField{guardLoad{base: networkHeader, offset: 8, len: 6}, etherAddrType, fieldNotes(arpOf, 6), readMAC}
	arpIP       = guardField{guardLoad{base: networkHeader, offset: 14, len: 4}, 7, fieldNotes(arpOf, 7), readAddr(4)}
	ipSource    = guardField{guardLoad{base: networkHeader, offset: 12, len: 4}, 7, fieldNotes(ipv4Of, 11), readAddr(4)}
	ip6Source   = guardField{guardLoad{base: networkHeader, offset: 8, len: 16}, 8, fieldNotes(ipv6Of, 8), readAddr(16)}
	ip6HopLimit = guardField{load: guardLoad{base: networkHeader, offset: 7, len: 1}, read: readNumber(1)}
	icmpv6Kind  = guardField{guardLoad{base: transport, offset: 0, len: 1}, icmpv6Type, fieldNotes(icmpv6Of, 1), readICMPv6}
	target      = guardField{guardLoad{base: transport, offset: 8, len: 16}, integerType, rawNotes(transport, 64, 128), readHex(16)}
)

func readMAC(text string) ([]byte, bool) {
	out, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
	return out, err == nil && len(out) == 6 && len(text) == 17 && strings.Count(text, ":") == 5 && text[2] == ':' && text[5] == ':' && text[8] == ':' && text[11] == ':' && text[14] == ':'
}

func readNumber(size int) func(string) ([]byte, bool) {
	return func(text string) ([]byte, bool) {
		n, err := strconv.ParseUint(text, 10, 8*size)
		return binary.BigEndian.AppendUint64(nil, n)[8-size:], err == nil
	}
}

func readAddr(size int) func(string) ([]byte, bool) {
	return func(text string) ([]byte, bool) {
		a, err := netip.ParseAddr(text)
		out := a.AsSlice()
		return out, err == nil && len(out) == size && a.Zone() == ""
	}
}

// rawField reads a field without a name, such as @nh,96,32: what it counts from, and
// where it begins and how long it is in bits. Only whole bytes, as many as a
// register holds; of the transport header, target is all that guards ask for.
func rawField(text string) (*guardField, bool) {
	parts := strings.Split(text, ",")
	if len(parts) != 3 {
		return nil, false
	}
	base, known := map[string]expr.PayloadBase{"@ll": linkHeader, "@nh": networkHeader}[parts[0]]
	offset, wrong := strconv.ParseUint(parts[1], 10, 8)
	size, wrong2 := strconv.ParseUint(parts[2], 10, 8)
	if !known || wrong != nil || wrong2 != nil || offset%8 != 0 || size%8 != 0 || size == 0 || size > 128 {
		return nil, false
	}
	load := guardLoad{base: base, offset: uint32(offset / 8), len: uint32(size / 8)}
	return &guardField{load: load, read: readHex(int(load.len))}, true
}

// readHex reads a number of so many bytes.
func readHex(size int) func(string) ([]byte, bool) {
	return func(text string) ([]byte, bool) {
		digits, ok := strings.CutPrefix(text, "0x")
		if !ok || digits == "" || len(digits) > 2*size {
			return nil, false
		}
		out, err := hex.DecodeString(strings.Repeat("0", 2*size-len(digits)) + digits)
		return out, err == nil
	}
}

func readWord(values map[string][]byte) func(string) ([]byte, bool) {
	return func(text string) ([]byte, bool) {
		out, ok := values[text]
		return out, ok
	}
}

var (
	readEtherType = readWord(map[string][]byte{
		"ip": {0x08, 0x00}, "arp": {0x08, 0x06}, "ip6": {0x86, 0xdd}, "vlan": {0x81, 0x00}, "8021ad": {0x88, 0xa8},
	})
	readICMPv6 = readWord(map[string][]byte{
		"mld-listener-query": {130}, "mld-listener-report": {131}, "mld-listener-done": {132}, "mld2-listener-report": {143},
		"nd-router-solicit": {133}, "nd-router-advert": {134}, "nd-neighbor-solicit": {135}, "nd-neighbor-advert": {136}, "nd-redirect": {137},
	})
)
