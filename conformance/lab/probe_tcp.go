package lab

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// bindAttempts is how many source ports are tried: some may be a server's.
const bindAttempts = 16

// openClient makes a socket bound to a source port of its own.
func (l *Lab) openClient(f Flow, kind, protocol int, options ...socketOption) (int, netip.AddrPort, error) {
	for i := 0; ; i++ {
		src := l.ports.next(f.Src, f.Protocol)
		fd, err := openSocket(kind, protocol, src, options...)
		if err == nil || !errors.Is(err, unix.EADDRINUSE) || i == bindAttempts {
			return fd, src, err
		}
	}
}

// startTCP connects, and lets advanceTCP do the rest.
func (l *Lab) startTCP(a *attempt) error {
	fd, _, err := l.openClient(a.flow, unix.SOCK_STREAM, 0, noLinger)
	if err != nil {
		return err
	}
	err = unix.Connect(fd, sockaddr(netip.AddrPortFrom(a.flow.Dst, a.flow.Port)))
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		unix.Close(fd)
		return err
	}
	a.fd = fd
	if err := l.servers.poll.add(fd, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLET, func(events uint32) { l.advanceTCP(a, events) }); err != nil {
		a.fd = -1
		return err
	}
	return nil
}

// advanceTCP sends the flow's number once the connection stands, and is
// content when it comes back.
func (l *Lab) advanceTCP(a *attempt, events uint32) {
	if a.ended {
		return
	}
	p := l.servers.poll
	if err := socketError(a.fd); err != nil {
		l.settle(a, Result{Outcome: Refused, Err: err})
		return
	}
	if !a.sent && events&unix.EPOLLOUT != 0 {
		a.sent = true
		p.moved()
		if _, err := unix.Write(a.fd, binary.BigEndian.AppendUint64(nil, a.number)); err != nil {
			l.settle(a, Result{Outcome: Refused, Err: err})
			return
		}
	}
	if !a.sent || events&(unix.EPOLLIN|unix.EPOLLHUP) == 0 {
		return
	}
	var b [8]byte
	n, err := unix.Read(a.fd, b[:])
	switch {
	case errors.Is(err, unix.EAGAIN):
	case err != nil:
		l.settle(a, Result{Outcome: Refused, Err: err})
	case n == 8 && binary.BigEndian.Uint64(b[:]) == a.number:
		l.settle(a, Result{Outcome: Reached})
	default:
		l.settle(a, Result{Outcome: Refused, Err: errors.New("the connection was closed without an answer")})
	}
}

// settle ends an attempt that has a socket of its own.
func (l *Lab) settle(a *attempt, r Result) {
	l.servers.poll.close(a.fd)
	a.fd = -1
	a.finish(r)
	l.servers.poll.moved()
}
