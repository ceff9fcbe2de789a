package enforcer

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// nlSocket is a netlink socket that stays in the namespace it was opened in,
// whatever thread uses it.
type nlSocket struct {
	proto   int
	sockets map[int]*nl.SocketHandle
}

func openSocket(ns Netns, proto int) (*nlSocket, error) {
	s := &nlSocket{proto: proto}
	err := ns.Do(func() error {
		raw, err := nl.GetNetlinkSocketAt(-1, -1, proto)
		if err != nil {
			return fmt.Errorf("open netlink socket: %w", err)
		}
		if err := raw.SetReceiveTimeout(&nl.SocketTimeoutTv); err != nil {
			raw.Close()
			return fmt.Errorf("set netlink timeout: %w", err)
		}
		s.sockets = map[int]*nl.SocketHandle{proto: {Socket: raw}}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// strict asks the kernel to honour filters of dumps instead of ignoring them.
func (s *nlSocket) strict() error {
	fd := s.sockets[s.proto].Socket.GetFd()
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1); err != nil {
		return fmt.Errorf("set strict checking on netlink socket: %w", err)
	}
	return nil
}

func (s *nlSocket) close() { s.sockets[s.proto].Close() }

// request makes a request that is answered on this socket.
func (s *nlSocket) request(kind, flags int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(kind, flags)
	req.Sockets = s.sockets
	return req
}

// each runs a request and calls f for each answer. What it saw is only part of
// the truth if it fails: see [dumpAgain].
func (s *nlSocket) each(req *nl.NetlinkRequest, f func(msg []byte)) error {
	return req.ExecuteIter(s.proto, 0, func(msg []byte) bool {
		f(msg)
		return true
	})
}

// dumpAgain reports whether a dump failed because the table changed or the
// socket overran meanwhile, so that another try can see all of it.
func dumpAgain(err error) bool {
	return errors.Is(err, netlink.ErrDumpInterrupted) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EINTR)
}

// dumpTries bounds how often an interrupted dump is begun anew.
const dumpTries = 10

// attr is one netlink attribute, of the type without its flags.
type attr struct {
	kind  uint16
	value []byte
	raw   []byte // with header and padding, as it came
}

// attrs splits a run of attributes. A malformed rest is left out.
func attrs(b []byte) func(yield func(attr) bool) {
	return func(yield func(attr) bool) {
		for len(b) >= unix.SizeofRtAttr {
			size := int(binary.NativeEndian.Uint16(b))
			if size < unix.SizeofRtAttr || size > len(b) {
				return
			}
			end := min((size+3)&^3, len(b))
			kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if !yield(attr{kind, b[unix.SizeofRtAttr:size], b[:end]}) {
				return
			}
			b = b[end:]
		}
	}
}

func attrMap(b []byte) map[uint16][]byte {
	out := make(map[uint16][]byte, 8)
	for a := range attrs(b) {
		out[a.kind] = a.value
	}
	return out
}

// nested is the value of an attribute within others, nil without one.
func nested(b []byte, kind uint16) []byte {
	for a := range attrs(b) {
		if a.kind == kind {
			return a.value
		}
	}
	return nil
}
