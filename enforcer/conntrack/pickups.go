package conntrack

import (
	"context"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"

	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

// Pickup is a TCP connection that conntrack met in the middle: whoever spoke first
// counts as its opener. In the grace of a first install such connections are let go
// on, so that a server which pushes may reverse one that policies forbid.
type Pickup struct {
	connection
	From, To netip.AddrPort
}

// TCP's attributes of a conntrack entry, and what the kernel notes of those that it
// picked up: their windows cannot be known.
const (
	ctaProtoInfo          = 4
	ctaProtoInfoTCP       = 1
	tcpFlagsOriginal      = 4
	tcpFlagsReply         = 5
	tcpLiberal       byte = 0x08
)

// Pickups lists the TCP connections that conntrack picked up in the middle.
func (c Table) Pickups(ctx context.Context) ([]Pickup, error) {
	var out []Pickup
	err := c.dump(ctx, allConnections, func() { out = nil }, func(msg []byte) {
		if p, ok := pickupOf(msg); ok {
			out = append(out, p)
		}
	})
	return out, err
}

func pickupOf(msg []byte) (Pickup, bool) {
	if len(msg) < nl.SizeofNfgenmsg {
		return Pickup{}, false
	}
	a := nlsocket.AttrMap(msg[nl.SizeofNfgenmsg:])
	tcp := nlsocket.AttrMap(nlsocket.Nested(a[ctaProtoInfo], ctaProtoInfoTCP))
	for _, flags := range [][]byte{tcp[tcpFlagsOriginal], tcp[tcpFlagsReply]} {
		if len(flags) == 0 || flags[0]&tcpLiberal == 0 {
			return Pickup{}, false
		}
	}
	p := Pickup{connection: connectionOf(slices.Clone(msg), 0), From: sourceOf(a[nl.CTA_TUPLE_ORIG]), To: sourceOf(a[nl.CTA_TUPLE_REPLY])}
	return p, p.From.IsValid() && p.To.IsValid()
}

// sourceOf is where packets of a tuple come from: of the original one the opener, of
// the reply's the other end, after any translation of its address.
func sourceOf(tuple []byte) netip.AddrPort {
	ip := nlsocket.AttrMap(nlsocket.Nested(tuple, nl.CTA_TUPLE_IP))
	raw := ip[nl.CTA_IP_V4_SRC]
	if raw == nil {
		raw = ip[nl.CTA_IP_V6_SRC]
	}
	addr, ok := netip.AddrFromSlice(raw)
	port := nlsocket.AttrMap(nlsocket.Nested(tuple, nl.CTA_TUPLE_PROTO))[nl.CTA_PROTO_SRC_PORT]
	if !ok || len(port) != 2 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(port))
}

// DeletePickups has connections forgotten.
func (c Table) DeletePickups(ctx context.Context, which []Pickup) error {
	_, err := c.deleteAll(ctx, func(yield func(connection) bool) {
		for _, p := range which {
			if !yield(p.connection) {
				return
			}
		}
	})
	return err
}
