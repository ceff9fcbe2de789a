package lab

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// startUDP sends the flow's number and waits for it to come back.
func (l *Lab) startUDP(a *attempt) error {
	fd, _, err := l.openClient(a.flow, unix.SOCK_DGRAM, 0, reportErrors(a.flow.Src))
	if err != nil {
		return err
	}
	return l.startDatagram(a, fd, nil)
}

// Echo requests of ICMP and ICMPv6. The kernel fills in identifier and
// checksum.
var (
	pingRequest   = []byte{8, 0, 0, 0, 0, 0, 0, 1}
	pingRequestV6 = []byte{128, 0, 0, 0, 0, 0, 0, 1}
)

// startPing sends an echo request, whose identifier is the source port of an
// ICMP socket. The kernel of the destination answers.
func (l *Lab) startPing(a *attempt) error {
	protocol, header := unix.IPPROTO_ICMP, pingRequest
	if a.flow.Src.Is6() {
		protocol, header = unix.IPPROTO_ICMPV6, pingRequestV6
	}
	fd, _, err := l.openClient(a.flow, unix.SOCK_DGRAM, protocol, reportErrors(a.flow.Src))
	if err != nil {
		return err
	}
	return l.startDatagram(a, fd, header)
}

func (l *Lab) startDatagram(a *attempt, fd int, header []byte) error {
	if err := unix.Connect(fd, sockaddr(netip.AddrPortFrom(a.flow.Dst, a.flow.Port))); err != nil {
		unix.Close(fd)
		return err
	}
	request := binary.BigEndian.AppendUint64(append([]byte(nil), header...), a.number)
	if _, err := unix.Write(fd, request); err != nil {
		unix.Close(fd)
		return err
	}
	a.fd = fd
	h := func(uint32) { l.receiveDatagram(a, len(header)) }
	if err := l.servers.poll.add(fd, unix.EPOLLIN|unix.EPOLLET, h); err != nil {
		a.fd = -1
		return err
	}
	return nil
}

func (l *Lab) receiveDatagram(a *attempt, header int) {
	for !a.ended {
		var b [64]byte
		n, err := unix.Read(a.fd, b[:])
		switch {
		case errors.Is(err, unix.EAGAIN):
			return
		case err != nil:
			l.settle(a, Result{Outcome: Refused, Err: err})
		case n == header+8 && binary.BigEndian.Uint64(b[header:]) == a.number:
			l.settle(a, Result{Outcome: Reached})
		}
	}
}
