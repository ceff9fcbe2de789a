// Package nlsocket is what the enforcer's parts have in common where they speak
// netlink: a socket that stays in its namespace, dumps that are whole or an error,
// notices, and the attributes of messages.
//
// Two things speak netlink in this program:
//
//   - this package, on vishvananda/netlink's messages, for rtnetlink, conntrack and the
//     notices of all. That library's own sockets belong to threads; these do not.
//   - package nftwire for all that is asked of nf_tables and told to it: a batch is many
//     messages with one commit and as many answers, which no request stands for.
package nlsocket

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/netns"
)

// Socket is a netlink socket that stays in the namespace it was opened in,
// whatever thread uses it.
type Socket struct {
	proto   int
	sockets map[int]*nl.SocketHandle
}

// Open opens a socket of a netlink protocol, such as NETLINK_ROUTE, in a namespace.
func Open(ns netns.Namespace, proto int) (*Socket, error) {
	s := &Socket{proto: proto}
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

// Strict asks the kernel to honour filters of dumps instead of ignoring them.
func (s *Socket) Strict() error {
	fd := s.sockets[s.proto].Socket.GetFd()
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1); err != nil {
		return fmt.Errorf("set strict checking on netlink socket: %w", err)
	}
	return nil
}

// Close closes the socket.
func (s *Socket) Close() { s.sockets[s.proto].Close() }

// Request makes a request that is answered on this socket.
func (s *Socket) Request(kind, flags int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(kind, flags)
	req.Sockets = s.sockets
	return req
}

// Each runs a request and calls f for each answer. What it saw is only part of
// the truth if it fails: see [DumpWhole].
func (s *Socket) Each(req *nl.NetlinkRequest, f func(msg []byte)) error {
	return req.ExecuteIter(s.proto, 0, func(msg []byte) bool {
		f(msg)
		return true
	})
}

// Interrupted reports whether a dump failed because the table changed or the
// socket overran meanwhile, so that another try can see all of it.
func Interrupted(err error) bool {
	return errors.Is(err, netlink.ErrDumpInterrupted) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EINTR)
}

// DumpTries bounds how often an interrupted dump is begun anew.
const DumpTries = 10

// DumpWhole repeats a dump until it is not interrupted. What dump collects it must
// begin anew each time.
func DumpWhole(dump func() error) error {
	var err error
	for range DumpTries {
		if err = dump(); err == nil || !Interrupted(err) {
			return err
		}
	}
	return err
}

// Exchange sends a request and calls more with each of its answers, until the last
// one or until more says that it was enough. Then the kernel may still have something
// to say, so whole is false and the socket is to be closed; so it is after an error.
func (s *Socket) Exchange(req *nl.NetlinkRequest, more func(msg []byte) bool) (whole bool, err error) {
	raw := s.sockets[s.proto].Socket
	req.Seq++ // one that no earlier request on this socket had
	if err := raw.Send(req); err != nil {
		return false, err
	}
	interrupted := false
	for {
		msgs, from, err := raw.Receive()
		if err != nil {
			return false, err
		}
		if from.Pid != nl.PidKernel {
			continue
		}
		for _, m := range msgs {
			if m.Header.Seq != req.Seq {
				continue
			}
			interrupted = interrupted || m.Header.Flags&unix.NLM_F_DUMP_INTR != 0
			if m.Header.Type == unix.NLMSG_DONE || m.Header.Type == unix.NLMSG_ERROR {
				return true, endOf(m.Data, interrupted)
			}
			if !more(m.Data) {
				return false, nil
			}
		}
	}
}

// endOf reads the last message of a dump.
func endOf(data []byte, interrupted bool) error {
	if len(data) >= 4 {
		if errno := int32(binary.NativeEndian.Uint32(data)); errno != 0 {
			return unix.Errno(-errno)
		}
	}
	if interrupted {
		return netlink.ErrDumpInterrupted
	}
	return nil
}
