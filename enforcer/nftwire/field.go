package nftwire

import (
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/compiler"
)

// source is what an expression loads a field from.
type source uint8

const (
	_ source = iota
	fromPayload
	fromMeta
	fromConn
	// fromExtension is one of IPv6's extension headers.
	fromExtension
	// fromRoute is what the node's routing says of the packet.
	fromRoute
)

// need is what a field presupposes of the packet. nft makes sure of it before a rule asks
// for the field, where the rule has not done so already.
type need uint8

const (
	nothing need = iota
	ofEther
	ofARP
	ofIPv4
	ofIPv6
	ofICMP
	ofICMPv6
	ofTCP
	ofUDP
)

// field is where a packet has a field of the compiler's.
type field struct {
	from source
	need need
	// base, offset and size are of the payload; size is that of the value for all, and
	// offset what routing goes by.
	base, offset, size uint32
	// key is which of the metadata, the number of an extension header, or what routing is
	// asked for.
	key uint32
	// direction is which of a connection's, 1 for the opener's.
	direction uint8
	// setType is nft's number for the type in sets of a rule's own, header and part are
	// what it notes of the field beside these. Without a number there are none.
	setType, header, part uint32
}

// nft's numbers for types of values.
const (
	typeIPv4       = 7
	typeIPv6       = 8
	typeEther      = 9
	typeEtherType  = 10
	typeARPOp      = 11
	typeProtocol   = 12
	typeService    = 13
	typeICMP       = 14
	typeIfIndex    = 20
	typeICMPv6     = 29
	typeIfName     = 41
	typeInteger    = 4
	typeVerdict    = 0xffffff00
	typeBits       = 6 // of a concatenation's number, for each of its types
	setConcat      = 0x80
	nftMetaIIFKind = 26
	nftMetaOIFKind = 27
	headerFragment = unix.IPPROTO_FRAGMENT
)

// nft's numbers for headers in what it notes of sets, and for extension headers.
const (
	icmpOf     = 4
	ipv4Of     = 12
	ipv6Of     = 13
	icmpv6Of   = 14
	arpOf      = 15
	etherOf    = 17
	fragmentOf = 6
)

func link(offset, size uint32, n need) field {
	return field{from: fromPayload, need: n, base: unix.NFT_PAYLOAD_LL_HEADER, offset: offset, size: size}
}

func network(offset, size uint32, n need) field {
	return field{from: fromPayload, need: n, base: unix.NFT_PAYLOAD_NETWORK_HEADER, offset: offset, size: size}
}

func transport(offset, size uint32, n need) field {
	return field{from: fromPayload, need: n, base: unix.NFT_PAYLOAD_TRANSPORT_HEADER, offset: offset, size: size}
}

func meta(key, size uint32) field { return field{from: fromMeta, key: key, size: size} }

func conn(key, size uint32, direction uint8) field {
	return field{from: fromConn, key: key, size: size, direction: direction}
}

func route(asked, by, size uint32) field {
	return field{from: fromRoute, key: asked, offset: by, size: size}
}

// What routing can be asked for, and by what: linux/netfilter/nf_tables.h.
const (
	fibInterface = 1
	fibType      = 3

	fibBySource      = 1
	fibByDestination = 2
	fibByIncoming    = 8
	fibPresent       = 32
)

// set says what nft notes of a set of such values.
func (f field) set(setType, header, part uint32) field {
	f.setType, f.header, f.part = setType, header, part
	return f
}

const (
	opener   = 1
	answerer = 2
)

// fields has all of the compiler's: one too few does not compile.
var fields = [...]field{
	compiler.IPSource:            network(12, 4, ofIPv4).set(typeIPv4, ipv4Of, 11),
	compiler.IPDestination:       network(16, 4, ofIPv4).set(typeIPv4, ipv4Of, 12),
	compiler.IP6Source:           network(8, 16, ofIPv6).set(typeIPv6, ipv6Of, 8),
	compiler.IP6Destination:      network(24, 16, ofIPv6).set(typeIPv6, ipv6Of, 9),
	compiler.IP6HopLimit:         network(7, 1, ofIPv6),
	compiler.IP6Length:           network(4, 2, ofIPv6),
	compiler.IP6NextHeader:       network(6, 1, ofIPv6),
	compiler.L4Protocol:          meta(unix.NFT_META_L4PROTO, 1),
	compiler.SourcePort:          transport(0, 2, nothing),
	compiler.DestinationPort:     transport(2, 2, nothing),
	compiler.UDPDestinationPort:  transport(2, 2, ofUDP),
	compiler.TCPFlags:            transport(13, 1, ofTCP),
	compiler.ICMPType:            transport(0, 1, ofICMP).set(typeICMP, icmpOf, 1),
	compiler.ICMPv6Type:          transport(0, 1, ofICMPv6).set(typeICMPv6, icmpv6Of, 1),
	compiler.InterfaceIn:         meta(unix.NFT_META_IIFNAME, unix.IFNAMSIZ),
	compiler.InterfaceOut:        meta(unix.NFT_META_OIFNAME, unix.IFNAMSIZ),
	compiler.InterfaceKindIn:     meta(nftMetaIIFKind, unix.IFNAMSIZ),
	compiler.InterfaceKindOut:    meta(nftMetaOIFKind, unix.IFNAMSIZ),
	compiler.PortIn:              meta(unix.NFT_META_IIF, 4),
	compiler.PortOut:             meta(unix.NFT_META_OIF, 4),
	compiler.PacketLength:        meta(unix.NFT_META_LEN, 4),
	compiler.ConnState:           conn(unix.NFT_CT_STATE, 4, 0),
	compiler.ConnStatus:          conn(unix.NFT_CT_STATUS, 4, 0),
	compiler.ConnMark:            conn(unix.NFT_CT_MARK, 4, 0),
	compiler.ConnDirection:       conn(unix.NFT_CT_DIRECTION, 1, 0),
	compiler.OriginalIPSource:    conn(unix.NFT_CT_SRC_IP, 4, opener),
	compiler.OriginalIP6Source:   conn(unix.NFT_CT_SRC_IP6, 16, opener),
	compiler.ReplyIPSource:       conn(unix.NFT_CT_SRC_IP, 4, answerer),
	compiler.ReplyIP6Source:      conn(unix.NFT_CT_SRC_IP6, 16, answerer),
	compiler.EtherSource:         link(6, 6, ofEther).set(typeEther, etherOf, 2),
	compiler.EtherDestination:    link(0, 6, ofEther).set(typeEther, etherOf, 1),
	compiler.EtherProtocol:       link(12, 2, ofEther).set(typeEtherType, etherOf, 3),
	compiler.Protocol:            meta(unix.NFT_META_PROTOCOL, 2),
	compiler.TagInside:           network(0, 2, nothing),
	compiler.ARPHardware:         network(0, 2, ofARP),
	compiler.ARPProtocol:         network(2, 2, ofARP),
	compiler.ARPHardwareLength:   network(4, 1, ofARP),
	compiler.ARPProtocolLength:   network(5, 1, ofARP),
	compiler.ARPOperation:        network(6, 2, ofARP).set(typeARPOp, arpOf, 5),
	compiler.ARPSourceEther:      network(8, 6, ofARP).set(typeEther, arpOf, 6),
	compiler.ARPSourceIP:         network(14, 4, ofARP).set(typeIPv4, arpOf, 7),
	compiler.ARPDestinationIP:    network(24, 4, ofARP).set(typeIPv4, arpOf, 9),
	compiler.FragmentNextHeader:  field{from: fromExtension, need: ofIPv6, key: headerFragment, size: 1}.set(typeProtocol, fragmentOf, 1),
	compiler.FragmentHeader:      {from: fromExtension, need: ofIPv6, key: headerFragment, size: 1},
	compiler.NeighbourTarget:     transport(8, 16, nothing).set(typeInteger, 0, 0),
	compiler.IP6DestinationStart: network(24, 2, nothing),
	compiler.RouteToSource:       route(fibType, fibBySource, 4),
	compiler.RouteToDestination:  route(fibType, fibByDestination, 4),
	compiler.WayBack:             route(fibInterface, fibBySource|fibByIncoming|fibPresent, 4),
}

var _ [compiler.FieldCount]field = fields
