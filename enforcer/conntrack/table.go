// Package conntrack is all that an agent has to do with the connections that the kernel
// tracks: the epochs that their marks bear, of which [Epochs] issues none that one still
// has; the connections of addresses that lose their Pod, which [Departures] deletes before
// another Pod gets them; and those that were picked up in the middle. [Table] is how the
// kernel is asked for all of this.
package conntrack

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

// Table is the conntrack table of a namespace.
type Table struct {
	Namespace netns.Namespace
}

// ctaMarkMask is CTA_MARK_MASK of linux/netfilter/nfnetlink_conntrack.h.
const ctaMarkMask = 21

const (
	ctGet = unix.NFNL_SUBSYS_CTNETLINK<<8 | nl.IPCTNL_MSG_CT_GET
	ctNew = unix.NFNL_SUBSYS_CTNETLINK<<8 | nl.IPCTNL_MSG_CT_NEW
)

// connection is what it takes to change the mark of a conntrack entry.
type connection struct {
	family uint8
	mark   uint32
	// key are the attributes that name the entry: original tuple, zone and id.
	key []byte
}

// Marks counts the connections of both families by what mask leaves of their
// marks. It is all of them or an error.
func (c Table) Marks(ctx context.Context, mask uint32) (map[uint32]int, error) {
	var marks map[uint32]int
	err := c.dump(ctx, allConnections, func() { marks = map[uint32]int{} }, func(msg []byte) {
		marks[ctMark(msg)&mask]++
	})
	if err != nil {
		return nil, fmt.Errorf("dump conntrack: %w", err)
	}
	return marks, nil
}

// Clear removes the bits of mask from the marks of all connections of which
// stale approves. Connections that end meanwhile do not matter.
func (c Table) Clear(ctx context.Context, mask uint32, stale func(mark uint32) bool) (int, error) {
	var found []connection
	err := c.dump(ctx, allConnections, func() { found = nil }, func(msg []byte) {
		if mark := ctMark(msg); mark&mask != 0 && stale(mark) {
			found = append(found, connectionOf(msg, mark))
		}
	})
	if err != nil {
		return 0, fmt.Errorf("dump conntrack: %w", err)
	}
	socket, err := nlsocket.Open(c.Namespace, unix.NETLINK_NETFILTER)
	if err != nil {
		return 0, err
	}
	defer socket.Close()
	for i, conn := range found {
		if err := ctx.Err(); err != nil {
			return i, err
		}
		if err := clearMark(socket, conn, mask); err != nil && !errors.Is(err, unix.ENOENT) {
			return i, fmt.Errorf("clear conntrack mark: %w", err)
		}
	}
	return len(found), nil
}

func clearMark(socket *nlsocket.Socket, conn connection, mask uint32) error {
	req := socket.Request(ctNew, unix.NLM_F_ACK)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: conn.family, Version: nl.NFNETLINK_V0})
	// The kernel computes mark & ~MASK ^ MARK, so nobody else's bits change
	// even if the mark was rewritten since the dump.
	req.AddData(nl.NewRtAttr(nl.CTA_MARK, nl.BEUint32Attr(0)))
	req.AddData(nl.NewRtAttr(ctaMarkMask, nl.BEUint32Attr(mask)))
	req.AddRawData(conn.key)
	return socket.Each(req, func([]byte) {})
}

// selection is what a dump asks for: of one family or of both, and what narrows it
// down in the kernel.
type selection struct {
	family uint8
	filter []nl.NetlinkRequestData
}

var allConnections = selection{family: unix.AF_UNSPEC}

// dump walks the connections of a selection; reset is called before each try.
func (c Table) dump(ctx context.Context, which selection, reset func(), f func(msg []byte)) error {
	socket, err := nlsocket.Open(c.Namespace, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer socket.Close()
	for range nlsocket.DumpTries {
		if ended := ctx.Err(); ended != nil {
			return ended
		}
		reset()
		req := socket.Request(ctGet, unix.NLM_F_DUMP)
		req.AddData(&nl.Nfgenmsg{NfgenFamily: which.family, Version: nl.NFNETLINK_V0})
		for _, data := range which.filter {
			req.AddData(data)
		}
		if err = socket.Each(req, f); err == nil || !nlsocket.Interrupted(err) {
			return err
		}
	}
	return err
}

func ctMark(msg []byte) uint32 {
	if len(msg) < nl.SizeofNfgenmsg {
		return 0
	}
	for a := range nlsocket.Attrs(msg[nl.SizeofNfgenmsg:]) {
		if a.Kind == nl.CTA_MARK && len(a.Value) == 4 {
			return binary.BigEndian.Uint32(a.Value)
		}
	}
	return 0
}

func connectionOf(msg []byte, mark uint32) connection {
	conn := connection{family: msg[0], mark: mark}
	for a := range nlsocket.Attrs(msg[nl.SizeofNfgenmsg:]) {
		if a.Kind == nl.CTA_TUPLE_ORIG || a.Kind == nl.CTA_ZONE || a.Kind == nl.CTA_ID {
			conn.key = append(conn.key, a.Raw...)
		}
	}
	return conn
}
