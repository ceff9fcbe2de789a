package lab

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch s := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(s.Addr), uint16(s.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(s.Addr), uint16(s.Port))
	}
	return netip.AddrPort{}
}

func domain(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// openSocket makes a non-blocking socket bound to an address, in the namespace
// of the calling thread.
func openSocket(kind, protocol int, bind netip.AddrPort, options ...socketOption) (int, error) {
	fd, err := unix.Socket(domain(bind.Addr()), kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return -1, fmt.Errorf("open socket: %w", needsRoot(err))
	}
	for _, o := range options {
		if err := o(fd); err != nil {
			unix.Close(fd)
			return -1, fmt.Errorf("set socket option: %w", err)
		}
	}
	if err := unix.Bind(fd, sockaddr(bind)); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("bind %s: %w", bind, err)
	}
	return fd, nil
}

type socketOption func(fd int) error

func setInt(level, name, value int) socketOption {
	return func(fd int) error { return unix.SetsockoptInt(fd, level, name, value) }
}

// reportErrors makes ICMP errors of every kind show on the socket.
func reportErrors(a netip.Addr) socketOption {
	if a.Is4() {
		return setInt(unix.IPPROTO_IP, unix.IP_RECVERR, 1)
	}
	return setInt(unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
}

// bigBuffer takes the requests of thousands of flows at once.
var bigBuffer = setInt(unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)

// noLinger makes close reset the connection: no end lingers in TIME_WAIT.
func noLinger(fd int) error {
	return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}

// socketError takes the pending error off a socket, nil if there is none.
func socketError(fd int) error {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if n != 0 {
		return unix.Errno(n)
	}
	return nil
}
