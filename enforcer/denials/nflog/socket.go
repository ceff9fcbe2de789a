//go:build linux

package nflog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Netns runs functions inside of a network namespace: see package enforcer.
type Netns interface {
	Do(f func() error) error
}

// socket is a netfilter socket that stays in the namespace that it was opened in. A read
// waits without a thread, and ends when the socket is closed.
type socket struct {
	file *os.File
	raw  syscall.RawConn
	seq  uint32
	buf  []byte
}

// largest is what the kernel puts into one datagram at most: it fills a page or two with
// messages of a few hundred bytes.
const largest = 64 << 10

func openSocket(ns Netns, receiveBuffer int) (*socket, error) {
	fd := -1
	open := func() (err error) {
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
		return err
	}
	var err error
	if ns == nil {
		err = open()
	} else {
		err = ns.Do(open)
	}
	if err != nil {
		return nil, fmt.Errorf("open netfilter socket: %w", err)
	}
	// Without the capability for more the default has to do.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
	s := &socket{file: os.NewFile(uintptr(fd), "netfilter"), buf: make([]byte, largest)}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		s.close()
		return nil, fmt.Errorf("bind netfilter socket: %w", err)
	}
	if s.raw, err = s.file.SyscallConn(); err != nil {
		s.close()
		return nil, fmt.Errorf("use netfilter socket: %w", err)
	}
	return s, nil
}

func (s *socket) close() { _ = s.file.Close() }

// receive waits for a datagram of the kernel. It is valid until the next call, and nil
// for one that somebody else has sent.
func (s *socket) receive() ([]byte, error) {
	var n int
	var from unix.Sockaddr
	var err error
	waited := s.raw.Read(func(fd uintptr) bool {
		n, from, err = unix.Recvfrom(int(fd), s.buf, unix.MSG_DONTWAIT)
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	if waited != nil {
		return nil, waited
	}
	if err != nil {
		return nil, err
	}
	if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
		return nil, nil
	}
	return s.buf[:n], nil
}

// answerTime is how long the kernel may take to answer: it does so while it is asked.
const answerTime = 2 * time.Second

// ask sends a message and gives each answer to it to yield, up to its acknowledgement or
// error. Other messages go to stray.
func (s *socket) ask(r *request, seq uint32, yield, stray func(message)) error {
	if err := s.file.SetReadDeadline(time.Now().Add(answerTime)); err != nil {
		return fmt.Errorf("ask netfilter: %w", err)
	}
	defer func() { _ = s.file.SetReadDeadline(time.Time{}) }()
	if err := s.send(r.bytes()); err != nil {
		return err
	}
	for {
		b, err := s.receive()
		if errors.Is(err, unix.ENOBUFS) {
			continue // logs were lost; if the answer was, the deadline says so
		}
		if err != nil {
			return fmt.Errorf("read netfilter's answer: %w", err)
		}
		var done bool
		var answer error
		for m := range messages(b) {
			switch {
			case m.seq != seq || m.kind == packetKind:
				stray(m)
			case m.kind == unix.NLMSG_ERROR && len(m.payload) >= 4:
				done = true
				if errno := -int32(binary.NativeEndian.Uint32(m.payload)); errno != 0 {
					answer = unix.Errno(errno)
				}
			case m.kind == unix.NLMSG_DONE:
				done = true
			default:
				yield(m)
			}
		}
		if done {
			return answer
		}
	}
}

func (s *socket) send(b []byte) error {
	var err error
	waited := s.raw.Write(func(fd uintptr) bool {
		err = unix.Sendto(int(fd), b, unix.MSG_DONTWAIT, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	if err := errors.Join(waited, err); err != nil {
		return fmt.Errorf("send to netfilter: %w", err)
	}
	return nil
}

// next is the number of the next request.
func (s *socket) next() uint32 {
	s.seq++
	return s.seq
}
