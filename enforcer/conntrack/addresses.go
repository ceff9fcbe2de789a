package conntrack

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

const ctDelete = unix.NFNL_SUBSYS_CTNETLINK<<8 | nl.IPCTNL_MSG_CT_DELETE

// These are of linux/netfilter/nfnetlink_conntrack.h and its kernel's own headers.
const (
	ctaFilter           = 25
	ctaFilterOrigFlags  = 1
	ctaFilterReplyFlags = 2
	filterSource        = 1 << 0
	filterDestination   = 1 << 1
)

const (
	// filteredAddresses is up to how many addresses the kernel is asked for one by
	// one. It walks its table four times for each; with more, one dump of all is less.
	filteredAddresses = 4
	// deletedAtOnce bounds how long a round of the sync loop deletes connections of
	// addresses that nobody has yet: some hundredths of a second.
	deletedAtOnce = 5000
)

// Delete deletes the connections that have one of the addresses at an end, in either
// direction, up to limit of them; 0: all. It reports whether there are more.
//
// The kernel narrows the dump down where it can (5.8 and later), but what is deleted
// is decided here: a kernel that does not know the filter answers with everything.
// Each is deleted by its tuple, zone and id, so that one that was opened anew
// meanwhile stays.
func (c Table) Delete(ctx context.Context, addrs map[netip.Addr]bool, limit int) (n int, more bool, err error) {
	found := map[string]connection{}
	for _, which := range selectionsOf(addrs) {
		err := c.dump(ctx, which, func() {}, func(msg []byte) {
			if full := limit > 0 && len(found) >= limit; full || !touchesAny(msg, addrs) {
				more = more || full
				return
			}
			conn := connectionOf(msg, 0)
			found[string(conn.key)] = conn
		})
		if err != nil {
			return 0, false, fmt.Errorf("dump conntrack: %w", err)
		}
	}
	n, err = c.deleteAll(ctx, maps.Values(found))
	return n, more || err != nil, err
}

// deleteAll deletes connections. Those that ended by themselves do not matter.
func (c Table) deleteAll(ctx context.Context, conns iter.Seq[connection]) (n int, err error) {
	socket, err := nlsocket.Open(c.Namespace, unix.NETLINK_NETFILTER)
	if err != nil {
		return 0, err
	}
	defer socket.Close()
	for conn := range conns {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		req := socket.Request(ctDelete, unix.NLM_F_ACK)
		req.AddData(&nl.Nfgenmsg{NfgenFamily: conn.family, Version: nl.NFNETLINK_V0})
		req.AddRawData(conn.key)
		// ENOENT here is about the connection alone.
		if err := socket.Each(req, func([]byte) {}); err != nil && !errors.Is(err, unix.ENOENT) {
			return n, fmt.Errorf("delete connection: %w", err)
		}
		n++
	}
	return n, nil
}

// selectionsOf asks for few addresses one by one, for many by asking for all.
func selectionsOf(addrs map[netip.Addr]bool) []selection {
	if len(addrs) > filteredAddresses {
		return []selection{allConnections}
	}
	var out []selection
	for a := range addrs {
		for _, end := range []struct {
			tuple, flags int
			bit          uint32
		}{
			{nl.CTA_TUPLE_ORIG, ctaFilterOrigFlags, filterSource},
			{nl.CTA_TUPLE_ORIG, ctaFilterOrigFlags, filterDestination},
			{nl.CTA_TUPLE_REPLY, ctaFilterReplyFlags, filterSource},
			{nl.CTA_TUPLE_REPLY, ctaFilterReplyFlags, filterDestination},
		} {
			out = append(out, endSelection(a, end.tuple, end.flags, end.bit))
		}
	}
	return out
}

// endSelection selects the connections that have an address at one place of one of
// their tuples.
func endSelection(a netip.Addr, tuple, flags int, bit uint32) selection {
	family, kind := uint8(unix.AF_INET), nl.CTA_IP_V4_SRC
	if a.Is6() {
		family, kind = unix.AF_INET6, nl.CTA_IP_V6_SRC
	}
	if bit == filterDestination {
		kind++
	}
	// In this order of the attributes the kernel reads the flags of both tuples.
	filter := nl.NewRtAttr(unix.NLA_F_NESTED|ctaFilter, nil)
	for _, f := range []int{ctaFilterOrigFlags, ctaFilterReplyFlags} {
		value := uint32(0)
		if f == flags {
			value = bit
		}
		filter.AddRtAttr(f, binary.NativeEndian.AppendUint32(nil, value))
	}
	outer := nl.NewRtAttr(unix.NLA_F_NESTED|tuple, nil)
	outer.AddRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_IP, nil).AddRtAttr(kind, a.AsSlice())
	return selection{family: family, filter: []nl.NetlinkRequestData{outer, filter}}
}

// touchesAny reports whether a connection has one of the addresses at an end.
func touchesAny(msg []byte, addrs map[netip.Addr]bool) bool {
	if len(msg) < nl.SizeofNfgenmsg {
		return false
	}
	for tuple := range nlsocket.Attrs(msg[nl.SizeofNfgenmsg:]) {
		if tuple.Kind != nl.CTA_TUPLE_ORIG && tuple.Kind != nl.CTA_TUPLE_REPLY {
			continue
		}
		for end := range nlsocket.Attrs(nlsocket.Nested(tuple.Value, nl.CTA_TUPLE_IP)) {
			if a, ok := netip.AddrFromSlice(end.Value); ok && addrs[a] {
				return true
			}
		}
	}
	return false
}
