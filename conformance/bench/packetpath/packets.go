package packetpath

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// payload is what a small packet carries.
	payload = 16
	// batch is how many are sent with one system call.
	batch = 64
)

// packets sends small packets of one flow, which the server has answered
// before. They count when they arrive in the server's interface: nobody takes
// them from the socket, so that the path is most of the work.
func (s *site) packets() (*traffic, error) {
	server, err := listen(s.server, unix.SOCK_DGRAM, packetPort)
	if err != nil {
		return nil, err
	}
	client, err := open(s.client, unix.SOCK_DGRAM, func(fd int) error {
		return unix.Connect(fd, sockaddr(s.server.Pod.Addrs[0], packetPort))
	})
	if err != nil {
		closeAll([]int{server})
		return nil, err
	}
	if err := errors.Join(greet(client, server), unix.SetsockoptInt(server, unix.SOL_SOCKET, unix.SO_RCVBUF, 4096)); err != nil {
		closeAll([]int{client, server})
		return nil, fmt.Errorf("packets: %w", err)
	}
	t := &traffic{
		count: func() (n int, err error) {
			err = s.server.Do(func() error { n, err = received(); return err })
			return n, err
		},
		metrics: func(r reading) map[Metric]float64 {
			return map[Metric]float64{Packets: r.perSecond(), PacketCPU: r.cpuEach()}
		},
		unblock: func() {},
		free:    func() { closeAll([]int{client, server}) },
	}
	t.generate(s.processors[0], func() error {
		for b := newBurst(client); !t.ended.Load(); {
			if err := b.send(); err != nil {
				return fmt.Errorf("packets: %w", err)
			}
		}
		return nil
	})
	return t, nil
}

// greet sends a packet there and one back: a flow that nobody answers is never
// established.
func greet(client, server int) error {
	buf := make([]byte, payload)
	if _, err := unix.Write(client, buf); err != nil {
		return fmt.Errorf("greet: %w", err)
	}
	var from unix.Sockaddr
	err := restarted(func() (err error) { _, from, err = unix.Recvfrom(server, buf, 0); return err })
	if err != nil {
		return fmt.Errorf("greet: nothing arrived: %w", err)
	}
	if err := unix.Sendto(server, buf, 0, from); err != nil {
		return fmt.Errorf("greet: %w", err)
	}
	err = restarted(func() error { _, err := unix.Read(client, buf); return err })
	if err != nil {
		return fmt.Errorf("greet: no answer: %w", err)
	}
	return nil
}

// restarted is a system call that the runtime's signals may interrupt.
func restarted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// message is struct mmsghdr.
type message struct {
	header unix.Msghdr
	length uint32
	_      [4]byte
}

// burst is many packets with one system call.
type burst struct {
	fd       int
	data     [payload]byte
	iov      unix.Iovec
	messages [batch]message
}

func newBurst(fd int) *burst {
	b := &burst{fd: fd}
	b.iov.Base = &b.data[0]
	b.iov.SetLen(payload)
	for i := range b.messages {
		b.messages[i].header.Iov = &b.iov
		b.messages[i].header.SetIovlen(1)
	}
	return b
}

func (b *burst) send() error {
	_, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(b.fd), uintptr(unsafe.Pointer(&b.messages[0])), batch, 0, 0, 0) //nolint:gosec // as the kernel wants it
	if errno != 0 && errno != unix.EINTR && errno != unix.EAGAIN {
		return fmt.Errorf("send: %w", errno)
	}
	return nil
}

// received is how many packets have come in by eth0 of the calling thread's
// namespace.
func received() (int, error) {
	data, err := os.ReadFile("/proc/thread-self/net/dev")
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(data) {
		if counters, ok := strings.CutPrefix(strings.TrimSpace(string(line)), "eth0:"); ok {
			if fields := strings.Fields(counters); len(fields) > 1 {
				return strconv.Atoi(fields[1])
			}
		}
	}
	return 0, errors.New("no counters of eth0")
}
