package rulesim

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// load is an expression that reads a value of the packet. It says ok=false
// where the kernel's would end the rule.
type load struct {
	name string
	typ  *datatype
	// family and proto are what nft makes sure of before the load: 0 is any.
	family, proto uint8
	read          func(p *Packet, b []byte) (out []byte, ok bool)
}

const (
	ipv4 uint8 = 2
	ipv6 uint8 = 10
)

func (p *Packet) family() uint8 {
	if p.Src.Is4() {
		return ipv4
	}
	return ipv6
}

// loads are all that this package understands.
var loads = []*load{
	{name: "ip saddr", typ: typeIPv4, family: ipv4, read: readSrc},
	{name: "ip daddr", typ: typeIPv4, family: ipv4, read: readDst},
	{name: "ip6 saddr", typ: typeIPv6, family: ipv6, read: readSrc},
	{name: "ip6 daddr", typ: typeIPv6, family: ipv6, read: readDst},
	{name: "ip6 hoplimit", typ: typeByte, family: ipv6, read: func(p *Packet, b []byte) ([]byte, bool) { return append(b, p.HopLimit), true }},
	{name: "ip6 nexthdr", typ: typeProto, family: ipv6, read: func(p *Packet, b []byte) ([]byte, bool) { return append(b, p.nextHeader()), true }},
	{name: "ip6 length", typ: typeLength, family: ipv6, read: func(p *Packet, b []byte) ([]byte, bool) {
		return binary.BigEndian.AppendUint16(b, p.payloadLength()), true
	}},
	{name: "meta nfproto", typ: typeFamily, read: func(p *Packet, b []byte) ([]byte, bool) { return append(b, p.family()), true }},
	{name: "meta l4proto", typ: typeProto, read: func(p *Packet, b []byte) ([]byte, bool) { return append(b, p.Protocol), true }},
	{name: "th sport", typ: typeService, read: transport(0, 2)},
	{name: "th dport", typ: typeService, read: transport(2, 2)},
	{name: "tcp sport", typ: typeService, proto: 6, read: transport(0, 2)},
	{name: "tcp dport", typ: typeService, proto: 6, read: transport(2, 2)},
	{name: "tcp flags", typ: typeTCP, proto: 6, read: transport(13, 1)},
	{name: "udp sport", typ: typeService, proto: 17, read: transport(0, 2)},
	{name: "udp dport", typ: typeService, proto: 17, read: transport(2, 2)},
	{name: "icmp type", typ: typeICMP, proto: 1, read: transport(0, 1)},
	{name: "icmpv6 type", typ: typeICMP6, proto: 58, read: transport(0, 1)},
	{name: "iifname", typ: typeIfname, read: func(p *Packet, b []byte) ([]byte, bool) { return appendName(b, p.In), true }},
	{name: "oifname", typ: typeIfname, read: func(p *Packet, b []byte) ([]byte, bool) { return appendName(b, p.Out), true }},
	{name: "meta iifkind", typ: typeIfname, read: func(p *Packet, b []byte) ([]byte, bool) { return appendName(b, kind(p.In)), p.In != "" }},
	{name: "meta oifkind", typ: typeIfname, read: func(p *Packet, b []byte) ([]byte, bool) { return appendName(b, kind(p.Out)), p.Out != "" }},
	{name: "fib daddr type", typ: typeRoute, read: func(p *Packet, b []byte) ([]byte, bool) {
		if p.ToNode {
			return binary.BigEndian.AppendUint32(b, 2), true
		}
		return binary.BigEndian.AppendUint32(b, 1), true
	}},
	{name: "fib saddr . iif oif", typ: typeWay, read: func(p *Packet, b []byte) ([]byte, bool) {
		if p.Astray {
			return append(b, 0), true
		}
		return append(b, 1), true
	}},
	{name: "iif", typ: typeIndex, read: func(p *Packet, b []byte) ([]byte, bool) {
		if p.In == "" {
			return append(b, 0, 0, 0, 0), true
		}
		return append(b, 0, 0, 0, 1), true
	}},
	{name: "fib saddr type", typ: typeRoute, read: func(p *Packet, b []byte) ([]byte, bool) {
		if p.Own {
			return append(b, 0, 0, 0, 2), true
		}
		return append(b, 0, 0, 0, 1), true
	}},
	{name: "ct state", typ: typeState, read: func(p *Packet, b []byte) ([]byte, bool) {
		return binary.BigEndian.AppendUint32(b, uint32(p.State)), true
	}},
	{name: "ct status", typ: typeStatus, read: func(p *Packet, b []byte) ([]byte, bool) {
		if p.Entry == nil {
			return b, false
		}
		return binary.BigEndian.AppendUint32(b, p.Entry.Status), true
	}},
	{name: "ct direction", typ: typeDir, read: readDirection},
	{name: "ct original ip saddr", typ: typeIPv4, family: ipv4, read: readEnd(false)},
	{name: "ct original ip6 saddr", typ: typeIPv6, family: ipv6, read: readEnd(false)},
	{name: "ct reply ip saddr", typ: typeIPv4, family: ipv4, read: readEnd(true)},
	{name: "ct reply ip6 saddr", typ: typeIPv6, family: ipv6, read: readEnd(true)},
	{name: "ct mark", typ: typeMark, read: func(p *Packet, b []byte) ([]byte, bool) {
		if p.Entry == nil {
			return b, false
		}
		return binary.BigEndian.AppendUint32(b, p.Entry.Mark), true
	}},
}

func readSrc(p *Packet, b []byte) ([]byte, bool) { return append(b, p.Src.AsSlice()...), true }
func readDst(p *Packet, b []byte) ([]byte, bool) { return append(b, p.Dst.AsSlice()...), true }

// readEnd gives the source of a connection's packets in one direction.
func readEnd(reply bool) func(*Packet, []byte) ([]byte, bool) {
	return func(p *Packet, b []byte) ([]byte, bool) {
		if p.Entry == nil {
			return b, false
		}
		end := p.Entry.Original
		if reply {
			end = p.Entry.Reply
		}
		if !end.IsValid() || end.Is4() != p.Src.Is4() {
			return b, false
		}
		return append(b, end.AsSlice()...), true
	}
}

func readDirection(p *Packet, b []byte) ([]byte, bool) {
	switch {
	case p.Entry == nil:
		return b, false
	case p.Reply:
		return append(b, 1), true
	}
	return append(b, 0), true
}

func transport(at, n int) func(*Packet, []byte) ([]byte, bool) {
	return func(p *Packet, b []byte) ([]byte, bool) {
		if p.LaterFragment || at+n > len(p.Transport) {
			return b, false
		}
		return append(b, p.Transport[at:at+n]...), true
	}
}

// kind is an interface's. This model knows interfaces by their names alone, so those
// that begin with a v are veths.
func kind(name string) string {
	if strings.HasPrefix(name, "v") {
		return "veth"
	}
	return ""
}

// appendName pads a name with zeros. No interface is the empty name.
func appendName(b []byte, name string) []byte {
	var padded [16]byte
	copy(padded[:], name)
	return append(b, padded[:]...)
}

// parseLoad reads a load if one is next.
func parseLoad(b *cursor) *load {
	for _, l := range loads {
		if b.take(fields(l.name)...) {
			return l
		}
	}
	if b.take("meta", "iifname") || b.take("meta", "oifname") {
		b.pos--
		return parseLoad(b)
	}
	return nil
}

// key is a load or a concatenation of loads.
type key []*load

func (k key) types() []*datatype {
	out := make([]*datatype, len(k))
	for i, l := range k {
		out[i] = l.typ
	}
	return out
}

func (k key) read(p *Packet, b []byte) ([]byte, bool) {
	for _, l := range k {
		var ok bool
		if b, ok = l.read(p, b); !ok {
			return b, false
		}
	}
	return b, true
}

// fits checks the key against the type of a set.
func (k key) fits(s *set) error {
	if fmt.Sprint(k.types()) != fmt.Sprint(s.key) {
		return fmt.Errorf("%v looked up in %s of %v", k.types(), s.name, s.key)
	}
	return nil
}
