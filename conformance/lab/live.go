package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// StreamKind is who talks in a stream.
type StreamKind uint8

const (
	// TCPSend: the client sends, the server listens.
	TCPSend StreamKind = iota
	// TCPPush: the server sends, the client listens.
	TCPPush
	// TCPIdle: nobody says anything until Talk, then the server sends.
	TCPIdle
	// UDPExchange: the client sends, the server answers each message.
	UDPExchange
	// UDPPush: the client asks until it hears something, from then on only
	// the server sends.
	UDPPush
)

func (k StreamKind) String() string {
	names := [...]string{"TCP client to server", "TCP server push", "TCP idle, then server", "UDP exchange", "UDP server stream"}
	if int(k) < len(names) {
		return names[k]
	}
	return "stream kind " + strconv.Itoa(int(k))
}

func (k StreamKind) protocol() uint8 {
	if k == UDPExchange || k == UDPPush {
		return UDP
	}
	return TCP
}

// Stream is a flow that lives until it is stopped. Messages carry sequence
// numbers; the end that listens counts them.
type Stream struct {
	lab   *Lab
	id    uint64
	flow  Flow
	kind  StreamKind
	every time.Duration
	// server is what answers for it, nil for a Service.
	server *endpoint

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
	talk   chan struct{}
	talked sync.Once

	mu     sync.Mutex
	client *os.File
	peer   *os.File
	pushed bool
	count  Report
	// next is the sequence number that is expected next, begun that after the last which
	// somebody began to send, and lapped what begun was at the last lap.
	next, begun, lapped uint64
	// heard wakes those who wait for messages.
	heard chan struct{}
}

// Report is how a stream fares, since its start or its last lap.
type Report struct {
	Sent, Received uint64
	// Fresh are those of Received that were sent after the lap, too: what came before it
	// may have waited in a socket for as long as the machine is busy.
	Fresh uint64
	// Lost are messages that later ones overtook.
	Lost uint64
	// Last is when the last message came, Stall the longest time without one,
	// the present one included.
	Last  time.Time
	Stall time.Duration
	// Err is what ended the stream, nil while it lives.
	Err error
}

// Stream starts a stream of the given kind, with a message each interval (10 ms
// if 0). The flow's protocol is the kind's. That the flow is denied is no
// error: the stream goes on trying.
func (l *Lab) Stream(f Flow, kind StreamKind, every time.Duration) (*Stream, error) {
	f.Protocol = kind.protocol()
	if err := l.prepare(f); err != nil {
		return nil, fmt.Errorf("stream %s: %w", f, err)
	}
	if err := l.ready(context.Background()); err != nil {
		return nil, fmt.Errorf("stream %s: %w", f, err)
	}
	if every <= 0 {
		every = 10 * time.Millisecond
	}
	s := &Stream{
		lab: l, id: l.ports.number(), flow: f, kind: kind, every: every,
		talk: make(chan struct{}), heard: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.count.Last = time.Now()
	if !l.service(f) {
		e := endpoint{netip.AddrPortFrom(f.Dst, f.Port), f.Protocol}
		if err := l.serve(e); err != nil {
			return nil, fmt.Errorf("stream %s: %w", f, err)
		}
		s.server = &e
	}
	if kind != TCPIdle {
		s.Talk()
	}
	if err := l.servers.begin(s); err != nil {
		return nil, fmt.Errorf("stream %s: %w", f, err)
	}
	if err := s.connect(); err != nil {
		s.Stop()
		return nil, fmt.Errorf("stream %s: %w", f, err)
	}
	return s, nil
}

// connect starts the client. The connection comes about while it works.
func (s *Stream) connect() error {
	kind := unix.SOCK_STREAM
	if s.kind.protocol() == UDP {
		kind = unix.SOCK_DGRAM
	}
	var fd int
	err := s.lab.Host(s.flow.Src).Do(func() error {
		var err error
		if fd, _, err = s.lab.openClient(s.flow, kind, 0); err != nil {
			return err
		}
		err = unix.Connect(fd, sockaddr(netip.AddrPortFrom(s.flow.Dst, s.flow.Port)))
		if err != nil && !errors.Is(err, unix.EINPROGRESS) {
			unix.Close(fd)
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		unix.Close(fd)
		return errStopped
	}
	s.client = os.NewFile(uintptr(fd), "client")
	if s.kind.protocol() == TCP {
		s.start(s.clientTCP)
	} else {
		s.start(s.sendUDP)
		s.start(s.receiveUDP)
	}
	return nil
}

// start runs a part of the stream until it is stopped.
func (s *Stream) start(part func() error) {
	s.work.Go(func() {
		if err := part(); err != nil && s.ctx.Err() == nil {
			s.mu.Lock()
			if s.count.Err == nil {
				s.count.Err = err
			}
			s.mu.Unlock()
		}
	})
}

// Talk ends the silence of a TCPIdle stream.
func (s *Stream) Talk() { s.talked.Do(func() { close(s.talk) }) }

// Flow is what the stream is.
func (s *Stream) Flow() Flow { return s.flow }

// Kind is who talks in it.
func (s *Stream) Kind() StreamKind { return s.kind }

// Report says how the stream fares since its start or its last lap.
func (s *Stream) Report() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.count
	r.Stall = max(r.Stall, time.Since(r.Last))
	return r
}

// Lap is Report, and starts counting anew.
func (s *Stream) Lap() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.count
	r.Stall = max(r.Stall, time.Since(r.Last))
	s.count = Report{Last: r.Last, Err: r.Err}
	s.lapped = s.begun
	return r
}

// Await waits until n more messages have come.
func (s *Stream) Await(ctx context.Context, n int) error {
	for ; n > 0; n-- {
		s.mu.Lock()
		heard := s.heard
		s.mu.Unlock()
		select {
		case <-heard:
		case <-s.ctx.Done():
			return fmt.Errorf("%s %s: stopped", s.kind, s.flow)
		case <-ctx.Done():
			return fmt.Errorf("%s %s: waiting for %d more messages: %w", s.kind, s.flow, n, errors.Join(ctx.Err(), s.Report().Err))
		}
	}
	return nil
}

// Stop ends the stream and returns its last report. It may be called again.
func (s *Stream) Stop() Report {
	s.cancel()
	r := s.Report()
	s.lab.servers.end(s)
	s.mu.Lock()
	for _, f := range []*os.File{s.client, s.peer} {
		if f != nil {
			f.Close()
		}
	}
	server := s.server
	s.server = nil
	s.mu.Unlock()
	s.work.Wait()
	if server != nil {
		s.lab.unserve(*server)
	}
	return r
}

// hello is what a client says first, so that the server knows which stream it
// belongs to.
const hello = "sluice-stream:"

func (s *Stream) hello() []byte {
	return binary.BigEndian.AppendUint64([]byte(hello), s.id)
}

// streamOf is the stream that says hello, nil if none does.
func (s *servers) streamOf(b []byte) *Stream {
	if len(b) < len(hello)+8 || string(b[:len(hello)]) != hello {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.streams[binary.BigEndian.Uint64(b[len(hello):])]
}

func (s *servers) begin(st *Stream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams == nil {
		return errStopped
	}
	s.streams[st.id] = st
	return nil
}

func (s *servers) end(st *Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, st.id)
}

// stopStreams stops all of them and lets no other begin.
func (s *servers) stopStreams() {
	s.mu.Lock()
	streams := s.streams
	s.streams = nil
	s.mu.Unlock()
	for _, st := range streams {
		st.Stop()
	}
}
