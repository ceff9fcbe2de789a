package flows

import (
	"encoding/binary"
	"net/netip"

	"github.com/vishvananda/netlink/nl"

	"github.com/sluice-net/sluice/enforcer/nlsocket"
	"github.com/sluice-net/sluice/policy"
)

// Connection is a connection as conntrack has it.
type Connection struct {
	// Src opened it, Dst is who got it in the end: the address behind a Service.
	Src, Dst netip.Addr
	Protocol policy.Protocol
	// Port is that of Dst, 0 where the protocol has none.
	Port uint16
	// Original is where it was opened to.
	Original netip.AddrPort
	// Mark is conntrack's.
	Mark uint32
}

// tuple is one direction of a connection.
type tuple struct {
	src, dst netip.Addr
	proto    policy.Protocol
	// from and to are ports.
	from, to uint16
}

// Parse reads a message of conntrack's. It is false for what is no connection of IP.
func Parse(msg []byte) (Connection, bool) {
	if len(msg) < nl.SizeofNfgenmsg {
		return Connection{}, false
	}
	var there, back tuple
	var c Connection
	for a := range nlsocket.Attrs(msg[nl.SizeofNfgenmsg:]) {
		switch a.Kind {
		case nl.CTA_TUPLE_ORIG:
			there = parseTuple(a.Value)
		case nl.CTA_TUPLE_REPLY:
			back = parseTuple(a.Value)
		case nl.CTA_MARK:
			c.Mark = nlsocket.Number(a.Value)
		}
	}
	if !there.whole() || !back.whole() || there.proto != back.proto || there.src.Is4() != back.src.Is4() {
		return Connection{}, false
	}
	c.Src, c.Dst, c.Protocol = there.src, back.src, there.proto
	c.Original = netip.AddrPortFrom(there.dst, there.to)
	if c.Protocol.HasPorts() {
		c.Port = back.from
	}
	return c, true
}

func (t *tuple) whole() bool {
	return t.src.IsValid() && t.dst.IsValid() && t.src.Is4() == t.dst.Is4() && t.proto != 0
}

func parseTuple(b []byte) (t tuple) {
	for a := range nlsocket.Attrs(b) {
		switch a.Kind {
		case nl.CTA_TUPLE_IP:
			for ip := range nlsocket.Attrs(a.Value) {
				addr, ok := netip.AddrFromSlice(ip.Value)
				if !ok {
					continue
				}
				switch ip.Kind {
				case nl.CTA_IP_V4_SRC, nl.CTA_IP_V6_SRC:
					t.src = addr
				case nl.CTA_IP_V4_DST, nl.CTA_IP_V6_DST:
					t.dst = addr
				}
			}
		case nl.CTA_TUPLE_PROTO:
			for p := range nlsocket.Attrs(a.Value) {
				switch {
				case p.Kind == nl.CTA_PROTO_NUM && len(p.Value) == 1:
					t.proto = policy.Protocol(p.Value[0])
				case p.Kind == nl.CTA_PROTO_SRC_PORT && len(p.Value) == 2:
					t.from = binary.BigEndian.Uint16(p.Value)
				case p.Kind == nl.CTA_PROTO_DST_PORT && len(p.Value) == 2:
					t.to = binary.BigEndian.Uint16(p.Value)
				}
			}
		}
	}
	return t
}
