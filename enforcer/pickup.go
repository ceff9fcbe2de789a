package enforcer

import (
	"context"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/enforcer/nlsocket"
	"github.com/sluice-net/sluice/policy"
)

// pickup is a TCP connection that conntrack met in the middle: whoever spoke first
// counts as its opener. In the grace of a first install such connections are let go
// on, so that a server which pushes may reverse one that policies forbid.
type pickup struct {
	connection
	from, to netip.AddrPort
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
func (c conntrack) Pickups(ctx context.Context) ([]pickup, error) {
	var out []pickup
	err := c.dump(ctx, allConnections, func() { out = nil }, func(msg []byte) {
		if p, ok := pickupOf(msg); ok {
			out = append(out, p)
		}
	})
	return out, err
}

func pickupOf(msg []byte) (pickup, bool) {
	if len(msg) < nl.SizeofNfgenmsg {
		return pickup{}, false
	}
	a := nlsocket.AttrMap(msg[nl.SizeofNfgenmsg:])
	tcp := nlsocket.AttrMap(nlsocket.Nested(a[ctaProtoInfo], ctaProtoInfoTCP))
	for _, flags := range [][]byte{tcp[tcpFlagsOriginal], tcp[tcpFlagsReply]} {
		if len(flags) == 0 || flags[0]&tcpLiberal == 0 {
			return pickup{}, false
		}
	}
	p := pickup{connection: connectionOf(slices.Clone(msg), 0), from: sourceOf(a[nl.CTA_TUPLE_ORIG]), to: sourceOf(a[nl.CTA_TUPLE_REPLY])}
	return p, p.from.IsValid() && p.to.IsValid()
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

// judgePickups judges what the grace let go on, once it is over. Nobody can say who
// opened such a connection, so it stays if policies allow it whoever did; all others
// are forgotten, and then their next packet is reset where an isolated Pod is at an
// end: clients that may, connect anew. It is tried again if it fails.
func (s *syncer) judgePickups(ctx context.Context) {
	if !s.rounds.Pickups() {
		return
	}
	found, err := s.conntrack.Pickups(ctx)
	if err == nil {
		forwarded := s.forwarded()
		found = slices.DeleteFunc(found, func(p pickup) bool {
			return s.allowsBothWays(p) || !forwarded(p.from.Addr()) || !forwarded(p.to.Addr())
		})
		_, err = s.conntrack.deleteAll(ctx, func(yield func(connection) bool) {
			for _, p := range found {
				if !yield(p.connection) {
					return
				}
			}
		})
	}
	if err != nil {
		klog.FromContext(ctx).Error(err, "Failed to judge the connections of the grace; trying again")
		return
	}
	s.rounds.PickupsJudged()
	if len(found) > 0 {
		klog.FromContext(ctx).Info("Forgot connections from before the first install that policies do not allow both ways", "connections", len(found))
	}
}

func (s *syncer) allowsBothWays(p pickup) bool {
	allows := func(from, to netip.AddrPort) bool {
		return s.index.Evaluate(policy.Flow{Src: policy.End{Addr: from.Addr()}, Dst: policy.End{Addr: to.Addr()}, Protocol: policy.TCP, Port: to.Port()}).Allowed
	}
	return allows(p.from, p.to) && allows(p.to, p.from)
}

// forwarded tells addresses that are others' from those of the node, whose own
// connections nobody resets.
func (s *syncer) forwarded() func(netip.Addr) bool {
	known := map[netip.Addr]bool{}
	return func(a netip.Addr) bool {
		is, asked := known[a]
		if !asked {
			forwards, err := s.links.Forwards(a)
			is = err == nil && forwards
			known[a] = is
		}
		return is
	}
}
