package lab

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// messageSize is that of a sequence number.
const messageSize = 8

// note counts a message that came.
func (s *Stream) note(sequence uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.count.Received++
	if sequence >= s.lapped {
		s.count.Fresh++
	}
	switch {
	case sequence >= s.next:
		s.count.Lost += sequence - s.next
		s.next = sequence + 1
	case s.count.Lost > 0:
		// It was overtaken, not lost.
		s.count.Lost--
	}
	s.count.Stall = max(s.count.Stall, now.Sub(s.count.Last))
	s.count.Last = now
	close(s.heard)
	s.heard = make(chan struct{})
}

// begin counts a message before it is sent.
func (s *Stream) begin(sequence uint64) {
	s.mu.Lock()
	s.begun = sequence + 1
	s.mu.Unlock()
}

func (s *Stream) noteSent() {
	s.mu.Lock()
	s.count.Sent++
	s.mu.Unlock()
}

// ticks calls send with sequence numbers until the stream ends or send fails.
func (s *Stream) ticks(send func(sequence uint64) error) error {
	select {
	case <-s.talk:
	case <-s.ctx.Done():
		return nil
	}
	t := time.NewTicker(s.every)
	defer t.Stop()
	for sequence := uint64(0); ; sequence++ {
		s.begin(sequence)
		if err := send(sequence); err != nil {
			return err
		}
		select {
		case <-t.C:
		case <-s.ctx.Done():
			return nil
		}
	}
}

// clientTCP says hello and then sends or listens, as the kind says.
func (s *Stream) clientTCP() error {
	if err := waitConnected(s.client); err != nil {
		return err
	}
	if _, err := s.client.Write(s.hello()); err != nil {
		return err
	}
	if s.kind == TCPSend {
		return s.sendTCP(s.client)
	}
	return s.receiveTCP(s.client)
}

// waitConnected returns when a connection stands or is refused.
func waitConnected(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var connectErr error
	err = raw.Write(func(fd uintptr) bool {
		if connectErr = socketError(int(fd)); connectErr != nil {
			return true
		}
		_, err := unix.Getpeername(int(fd))
		return err == nil
	})
	if err != nil {
		return err
	}
	return connectErr
}

// adopt takes the server's end of a TCP stream from the echo servers, with what
// they read after the hello.
func (s *Stream) adopt(conn int, rest []byte) {
	f := os.NewFile(uintptr(conn), "server")
	s.mu.Lock()
	if s.ctx.Err() != nil || s.peer != nil {
		s.mu.Unlock()
		f.Close()
		return
	}
	s.peer = f
	part := func() error { return s.sendTCP(f) }
	if s.kind == TCPSend {
		part = func() error { return s.receiveTCP(io.MultiReader(bytes.NewReader(rest), f)) }
	}
	s.start(part)
	s.mu.Unlock()
}

func (s *Stream) sendTCP(f *os.File) error {
	return s.ticks(func(sequence uint64) error {
		if _, err := f.Write(binary.BigEndian.AppendUint64(nil, sequence)); err != nil {
			return err
		}
		s.noteSent()
		return nil
	})
}

func (s *Stream) receiveTCP(f io.Reader) error {
	var b [messageSize]byte
	for {
		if _, err := io.ReadFull(f, b[:]); err != nil {
			return err
		}
		s.note(binary.BigEndian.Uint64(b[:]))
	}
}

// sendUDP is the client's side: messages, or hellos until something comes.
// Errors say that somebody refused the last datagram; the next may pass.
func (s *Stream) sendUDP() error {
	return s.ticks(func(sequence uint64) error {
		if s.kind == UDPExchange {
			if _, err := s.client.Write(binary.BigEndian.AppendUint64(nil, sequence)); err == nil {
				s.noteSent()
			}
			return nil
		}
		s.mu.Lock()
		answered := s.count.Received > 0 || s.next > 0
		s.mu.Unlock()
		if !answered {
			_, _ = s.client.Write(s.hello())
		}
		return nil
	})
}

func (s *Stream) receiveUDP() error {
	var b [64]byte
	for s.ctx.Err() == nil {
		n, err := s.client.Read(b[:])
		if err == nil && n == messageSize {
			s.note(binary.BigEndian.Uint64(b[:]))
		}
	}
	return nil
}

// push starts the server's side of a UDPPush stream, once, on the socket that
// the hello came to.
func (s *Stream) push(fd int, to unix.Sockaddr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil || s.pushed {
		return
	}
	s.pushed = true
	s.start(func() error {
		return s.ticks(func(sequence uint64) error {
			if unix.Sendto(fd, binary.BigEndian.AppendUint64(nil, sequence), 0, to) == nil {
				s.noteSent()
			}
			return nil
		})
	})
}
