package sctp

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// DialSCTP opens an association. It fails with ECONNREFUSED where nobody listens
// or SCTP is not spoken, and with ETIMEDOUT after 11 seconds without an answer.
func DialSCTP(network string, laddr, raddr *SCTPAddr) (*SCTPConn, error) {
	c, err := dial(network, laddr, raddr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "sctp", Addr: raddr, Err: named("connect", err)}
	}
	return c, nil
}

// named gives an error that is a number only the name of what failed, as the
// errors of sockets have it.
func named(call string, err error) error {
	var errno syscall.Errno
	var socket *net.OpError
	if errors.As(err, &errno) && !errors.As(err, &socket) {
		return os.NewSyscallError(call, errno)
	}
	return err
}

func dial(network string, laddr, raddr *SCTPAddr) (*SCTPConn, error) {
	local, remote, err := dialEnds(network, laddr, raddr)
	if err != nil {
		return nil, err
	}
	localPort, err := laddr.port()
	if err != nil {
		return nil, err
	}
	remotePort, err := raddr.port()
	if err != nil {
		return nil, err
	}
	claimed, localPort, err := claimPort(localPort)
	if err != nil {
		return nil, err
	}
	w, err := dialWire(local, remote)
	if err != nil {
		claimed.Close()
		return nil, err
	}
	a := connect(localPort, remotePort, randomTag(), rand.Uint32(), time.Now())
	c := newConn(a, sctpAddr(w.local, localPort), sctpAddr(remote, remotePort),
		func(b []byte) error { return w.write(b, w.ends) },
		func() { w.close(); claimed.Close() })
	go c.listen(w)
	c.step(func(*association, time.Time) {})
	err = nil
	_ = c.wait(new(time.Time), func() bool {
		err = a.err
		return a.state >= established
	})
	return c, err
}

func dialEnds(network string, laddr, raddr *SCTPAddr) (local, remote netip.Addr, err error) {
	suffix, err := familyOf(network)
	if err != nil {
		return local, remote, err
	}
	if local, err = laddr.ip(); err != nil {
		return local, remote, err
	}
	if remote, err = raddr.ip(); err != nil {
		return local, remote, err
	}
	if !remote.IsValid() {
		return local, remote, errors.New("there is nobody to dial at an unspecified address")
	}
	if suffix == "4" && remote.Is6() || suffix == "6" && remote.Is4() || local.IsValid() && local.Is4() != remote.Is4() {
		return local, remote, fmt.Errorf("%v is of the wrong family", remote)
	}
	return local, remote, nil
}

// listen takes the packets for this connection from a wire of its own.
func (c *SCTPConn) listen(w *wire) {
	buf := make([]byte, packetBuffer)
	for {
		b, _, err := w.read(buf)
		var errno syscall.Errno
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case errors.As(err, &errno):
			c.step(func(a *association, _ time.Time) { a.unreachable(errno) })
			continue
		case err != nil:
			continue
		}
		p, err := parsePacket(b)
		if err != nil || int(p.dst) != c.local.Port || int(p.src) != c.remote.Port {
			continue
		}
		c.step(func(a *association, now time.Time) { a.receive(p, now) })
	}
}

// randomTag is any tag but 0, which means none.
func randomTag() uint32 { return rand.Uint32N(1<<32-1) + 1 }
