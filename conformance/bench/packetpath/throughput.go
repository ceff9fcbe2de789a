package packetpath

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// chunk is how much is sent and received with one system call.
const chunk = 1 << 20

// throughput sends through one connection. Nothing is copied: the data comes
// from memory that is a file, and the receiver throws it away in the kernel. So
// the path of the packets is most of the work.
func (s *site) throughput() (*traffic, error) {
	from, to, err := s.connection()
	if err != nil {
		return nil, fmt.Errorf("throughput: %w", err)
	}
	var count atomic.Int64
	t := &traffic{
		count: func() (int, error) { return int(count.Load()), nil },
		metrics: func(r reading) map[Metric]float64 {
			return map[Metric]float64{Throughput: r.perSecond() * 8 / 1e9}
		},
		unblock: func() {
			_ = unix.Shutdown(to, unix.SHUT_RDWR)
			_ = unix.Shutdown(from, unix.SHUT_RDWR)
		},
		free: func() { closeAll([]int{from, to}) },
	}
	t.generate(s.processors[0], func() error { return pour(from) })
	t.generate(s.processors[0], func() error {
		for !t.ended.Load() {
			n, err := drain(to)
			if err != nil && !t.ended.Load() {
				return fmt.Errorf("throughput: %w", err)
			}
			count.Add(int64(n))
		}
		return nil
	})
	return t, nil
}

// connection is one between the two Pods.
func (s *site) connection() (from, to int, err error) {
	listener, err := listen(s.server, unix.SOCK_STREAM, throughputPort)
	if err != nil {
		return -1, -1, err
	}
	defer func() { _ = unix.Close(listener) }()
	from, err = open(s.client, unix.SOCK_STREAM, func(fd int) error {
		return unix.Connect(fd, sockaddr(s.server.Pod.Addrs[0], throughputPort))
	})
	if err != nil {
		return -1, -1, err
	}
	to, _, err = unix.Accept4(listener, unix.SOCK_CLOEXEC)
	if err != nil {
		_ = unix.Close(from)
		return -1, -1, err
	}
	return from, to, nil
}

// pour sends until the connection is shut.
func pour(fd int) error {
	memory, err := unix.MemfdCreate("packetpath", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(memory) }()
	if err := unix.Ftruncate(memory, chunk); err != nil {
		return err
	}
	// The process would end by the signal: who knows of the shut end is told by
	// the error.
	for {
		var offset int64
		_, err := unix.Sendfile(fd, memory, &offset, chunk)
		switch {
		case errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNRESET):
			return nil
		case err != nil && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN):
			return fmt.Errorf("send: %w", err)
		}
	}
}

// drain receives what is there and throws it away.
func drain(fd int) (int, error) {
	var nowhere [1]byte
	n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&nowhere)), chunk, unix.MSG_TRUNC, 0, 0) //nolint:gosec // MSG_TRUNC writes nothing
	switch {
	case errno == unix.EINTR:
		return 0, nil
	case errno != 0:
		return 0, fmt.Errorf("receive: %w", errno)
	case n == 0:
		return 0, errors.New("receive: the sender ended")
	}
	return int(n), nil
}
