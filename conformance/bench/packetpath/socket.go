package packetpath

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/conformance/lab"
)

// patience is how long a datagram is waited for. Nothing is ever lost in the
// lab, so who waits longer waits in vain. TCP has no such limit: a system call
// with one is not restarted after the runtime's signals. There tcp_syn_retries
// bounds the wait.
const patience = 5 * time.Second

// synRetries makes a connection that is denied fail after seven seconds.
const synRetries = "2"

// open makes a socket of a Pod. It stays in the Pod's namespace, whoever uses
// it.
func open(in *lab.PodNamespace, kind int, use func(fd int) error) (int, error) {
	fd := -1
	err := in.Do(func() error {
		var err error
		if fd, err = unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		if kind == unix.SOCK_DGRAM {
			wait := unix.NsecToTimeval(int64(patience))
			if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
				return err
			}
		}
		return use(fd)
	})
	if err != nil {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		return -1, fmt.Errorf("open a socket in %s: %w", in.Name, err)
	}
	return fd, nil
}

// listen opens a port of a Pod. The options are set before it is bound.
func listen(in *lab.PodNamespace, kind int, port uint16, options ...func(fd int) error) (int, error) {
	return open(in, kind, func(fd int) error {
		for _, set := range options {
			if err := set(fd); err != nil {
				return err
			}
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return err
		}
		if err := unix.Bind(fd, &unix.SockaddrInet4{Port: int(port)}); err != nil {
			return err
		}
		if kind != unix.SOCK_STREAM {
			return nil
		}
		return unix.Listen(fd, 4096)
	})
}

func sockaddr(a netip.Addr, port uint16) *unix.SockaddrInet4 {
	return &unix.SockaddrInet4{Addr: a.As4(), Port: int(port)}
}
