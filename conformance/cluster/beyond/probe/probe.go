// Package probe is what the tests and the prober say to each other, one JSON
// object a line, and the prober's side of it.
package probe

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Op is something that a prober can do.
type Op string

const (
	// Dial makes a connection and wants its answer: the address that the
	// server saw, and the payload back.
	Dial Op = "dial"
	// Connect makes a TCP connection, and is content with that: for servers
	// that are not a prober.
	Connect Op = "connect"
	// Repeat dials again and again until it is told to stop.
	Repeat Op = "repeat"
	// Hold makes one connection and has payload echoed on it until it is told
	// to stop, or the connection breaks.
	Hold Op = "hold"
	// Upload sends Size bytes through one TCP connection and wants them counted.
	Upload Op = "upload"
	// Ping sends one ICMP echo request of Size bytes.
	Ping Op = "ping"
	// Listen answers on a port, from then on.
	Listen Op = "listen"
	// Stop ends the Repeat or Hold that has the given ID, which then answers.
	Stop Op = "stop"
	// PathMTU makes the route to an address narrower until it is told to stop.
	PathMTU Op = "pathmtu"
	// Hop finds out who the neighbour is that packets to an address go to first.
	Hop Op = "hop"
	// Inject puts frames on the link as they are, and Hear counts the marks in
	// frames that come from it, until it is told to stop.
	Inject Op = "inject"
	Hear   Op = "hear"
	// Datagrams sends payloads over UDP and waits for no answer.
	Datagrams Op = "datagrams"
	// Write writes a file, and Remove removes one, or a directory.
	Write  Op = "write"
	Remove Op = "remove"
	// Quit ends the container's first process, as a kubelet would.
	Quit Op = "quit"
	// First does all of Acts at the same time: Ask, Connect and Burst. Ask sends one
	// datagram and waits Interval for the answer before it sends another; Burst
	// sends Size of them, Interval apart, and counts the answers until Timeout
	// after the last.
	First Op = "first"
	Ask   Op = "ask"
	Burst Op = "burst"
	// Heard says how many datagrams or connections came to a port.
	Heard Op = "heard"
)

// Request is what a test wants done.
type Request struct {
	ID       int           `json:"id"`
	Op       Op            `json:"op"`
	Network  string        `json:"network,omitempty"` // tcp or udp
	Address  string        `json:"address,omitempty"` // with a port, but for Ping and PathMTU
	Timeout  time.Duration `json:"timeout,omitempty"`
	Interval time.Duration `json:"interval,omitempty"`
	Size     int           `json:"size,omitempty"`
	Path     string        `json:"path,omitempty"`
	Data     string        `json:"data,omitempty"`
	Acts     []Request     `json:"acts,omitempty"`
	// Frames are those of Inject, and the payloads of Datagrams.
	Frames [][]byte `json:"frames,omitempty"`
}

// Outcome is what became of a try.
type Outcome string

const (
	OK       Outcome = "ok"
	Timeout  Outcome = "timeout" // no answer: dropped, as Sluice does
	Refused  Outcome = "refused" // an answer, though no server's
	Broken   Outcome = "broken"  // a connection that had worked before
	Problem  Outcome = "problem" // anything else, such as no route
	Finished Outcome = "finished"
)

// Response is what became of a request.
type Response struct {
	ID      int     `json:"id"`
	Outcome Outcome `json:"outcome"`
	Detail  string  `json:"detail,omitempty"`
	Seen    string  `json:"seen,omitempty"` // the client's address, as the server saw it

	// Of Upload: how large packets may be on the path, as the kernel knows.
	MTU int `json:"mtu,omitempty"`

	// Of First: when it began, and what became of each act. Of an act, Tries is what
	// was sent and Until when the first answer came.
	At   time.Time  `json:"at,omitzero"`
	Acts []Response `json:"acts,omitempty"`
	// Of Hop: hardware addresses, the prober's own and the neighbour's.
	MAC net.HardwareAddr `json:"mac,omitempty"`
	Hop net.HardwareAddr `json:"hop,omitempty"`

	// Of Hear: how many frames had each mark.
	Heard map[string]int `json:"heard,omitempty"`

	// Of Repeat and Hold:
	Tries   int           `json:"tries,omitempty"`
	Answers int           `json:"answers,omitempty"`
	Longest time.Duration `json:"longest,omitempty"` // between two answers
	Until   time.Duration `json:"until,omitempty"`   // when the last answer came, from the start
}

// server is a prober at work.
type server struct {
	mu    sync.Mutex
	out   *json.Encoder
	stops map[int]chan struct{}
}

// Serve does what it is asked to until there are no more requests. Requests are
// served at the same time.
func Serve(in io.Reader, out io.Writer) error {
	s := &server{out: json.NewEncoder(out), stops: map[int]chan struct{}{}}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	var running sync.WaitGroup
	defer running.Wait()
	defer s.stopAll()
	for lines.Scan() {
		var r Request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return fmt.Errorf("read %q: %w", lines.Text(), err)
		}
		if r.Op == Stop {
			s.stop(r.ID)
			continue
		}
		stop := s.begin(r.ID)
		running.Go(func() {
			answer := do(r, stop)
			answer.ID = r.ID
			s.answer(answer)
		})
	}
	return lines.Err()
}

// Once does one thing, for a limited time if it is one that goes on. It is for
// containers that have to begin with it.
func Once(request string, limit time.Duration, out io.Writer) error {
	var r Request
	if err := json.Unmarshal([]byte(request), &r); err != nil {
		return fmt.Errorf("read %q: %w", request, err)
	}
	stop := make(chan struct{})
	time.AfterFunc(limit, func() { close(stop) })
	return json.NewEncoder(out).Encode(do(r, stop))
}

func (s *server) begin(id int) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	stop := make(chan struct{})
	s.stops[id] = stop
	return stop
}

func (s *server) stop(id int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stop, ok := s.stops[id]; ok {
		close(stop)
		delete(s.stops, id)
	}
}

func (s *server) stopAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, stop := range s.stops {
		close(stop)
		delete(s.stops, id)
	}
}

func (s *server) answer(r Response) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.stops, r.ID)
	// If nobody listens any more, the next read of the input ends the prober.
	_ = s.out.Encode(r)
}

func do(r Request, stop <-chan struct{}) Response {
	switch r.Op {
	case Dial, Connect:
		return dial(r)
	case Repeat:
		return repeat(r, stop)
	case Hold:
		return hold(r, stop)
	case Upload:
		return upload(r)
	case Ping:
		return ping(r)
	case First:
		return first(r)
	case Heard:
		return howMany(r)
	case Listen:
		return done(listen(r.Network, r.Address))
	case PathMTU:
		return done(narrow(r.Address, r.Size, stop))
	case Hop:
		return hop(r.Address)
	case Inject:
		return done(inject(r.Frames))
	case Hear:
		return hear(stop)
	case Datagrams:
		return done(datagrams(r.Address, r.Frames))
	case Write:
		return done(write(r.Path, r.Data))
	case Remove:
		return done(os.RemoveAll(r.Path))
	case Quit:
		return done(quit())
	}
	return done(errors.New("unknown operation " + string(r.Op)))
}

func done(err error) Response {
	if err != nil {
		return Response{Outcome: outcome(err), Detail: err.Error()}
	}
	return Response{Outcome: OK}
}
