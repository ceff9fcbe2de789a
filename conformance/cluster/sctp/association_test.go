package sctp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"syscall"
	"testing"
	"time"
)

var (
	testSecret = []byte("secret")
	testFlow   = flow{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.1"), 80, 40000}
)

// fate is what the network does with a packet.
type fate int

const (
	arrives fate = iota
	lost
	twice
	overtakes // what is under way in its direction
)

// world is a client and a server behind a network whose clock stands still while
// nothing is under way.
type world struct {
	t              *testing.T
	now            time.Time
	client, server *association
	fates          map[int]fate // by number, in the order in which packets are sent
	sent           int
	toServer       [][]byte
	toClient       [][]byte
	kinds          []string // of all packets, for messages
	accepted       int
}

func newWorld(t *testing.T, fates map[int]fate) *world {
	now := time.Unix(1_000_000, 0)
	// The numbers pass the end of their range on the way.
	return &world{t: t, now: now, fates: fates, client: connect(40000, 80, 0xc, 1<<32-1, now)}
}

// post takes what an end has to say to the network.
func (w *world) post(a *association, queue *[][]byte) {
	if a == nil {
		return
	}
	for _, b := range a.outbox {
		w.carry(b, queue)
	}
	a.outbox = nil
}

func (w *world) carry(b []byte, queue *[][]byte) {
	p := mustParse(w.t, b)
	w.kinds = append(w.kinds, fmt.Sprintf("%d:%d", w.sent, p.chunks[0].kind))
	switch w.fates[w.sent] {
	case arrives:
		*queue = append(*queue, b)
	case twice:
		*queue = append(*queue, b, b)
	case overtakes:
		*queue = slices.Insert(*queue, 0, b)
	}
	w.sent++
}

// deliver hands over one packet, if any is under way.
func (w *world) deliver() bool {
	w.post(w.client, &w.toServer)
	w.post(w.server, &w.toClient)
	switch {
	case len(w.toServer) > 0:
		p := mustParse(w.t, w.toServer[0])
		w.toServer = w.toServer[1:]
		w.serve(p)
	case len(w.toClient) > 0:
		p := mustParse(w.t, w.toClient[0])
		w.toClient = w.toClient[1:]
		if w.client.state == closed {
			w.refuse(p, &w.toServer)
		} else {
			w.client.receive(p, w.now)
		}
	default:
		return false
	}
	return true
}

func (w *world) refuse(p packet, queue *[][]byte) {
	if answer, ok := refusal(p); ok {
		w.carry(answer.marshal(), queue)
	}
}

// serve is what a listener does.
func (w *world) serve(p packet) {
	switch first := p.chunks[0]; first.kind {
	case chunkInit:
		answer, ok := initAck(p, testFlow, testSecret, w.now)
		if !ok {
			w.t.Fatalf("no answer to %+v", p)
		}
		w.carry(answer.marshal(), &w.toClient)
		return
	case chunkCookieEcho:
		k, ok := openCookie(first.value, testSecret, testFlow, w.now)
		if !ok || p.tag != k.localTag {
			w.t.Fatalf("a wrong cookie in %+v", p)
		}
		if w.server == nil {
			w.accepted++
			w.server = accept(80, 40000, k)
			p.chunks = p.chunks[1:]
		}
	}
	if w.server == nil || w.server.state == closed {
		w.refuse(p, &w.toClient)
		return
	}
	w.server.receive(p, w.now)
}

// settle delivers until nothing is under way, letting the ends act in between.
func (w *world) settle(act func()) {
	for range 10_000 {
		act()
		if !w.deliver() {
			return
		}
	}
	w.t.Fatalf("packets without an end: %v", w.kinds[:100])
}

// pass lets the time go by until the next timer.
func (w *world) pass() bool {
	var next time.Time
	for _, a := range []*association{w.client, w.server} {
		if a != nil && !a.timeout.IsZero() && (next.IsZero() || a.timeout.Before(next)) {
			next = a.timeout
		}
	}
	if next.IsZero() {
		return false
	}
	w.now = next
	w.client.tick(w.now)
	if w.server != nil {
		w.server.tick(w.now)
	}
	return true
}

// porter plays agnhost's programs: the client asks, and closes when it has an
// answer; the server answers at once, and closes when it has heard something.
func (w *world) porter() (answers []string) {
	asked, answered := false, false
	act := func() {
		if w.client.state == established && !asked {
			asked = w.client.write([]byte("hostname\n"), w.now)
		}
		for _, m := range w.client.unread {
			answers = append(answers, string(m))
		}
		w.client.unread = nil
		if len(answers) > 0 && !w.client.deaf {
			w.client.ignore()
			w.client.shutdown(w.now)
		}
		if s := w.server; s != nil {
			if s.state == established && !answered {
				answered = s.write([]byte("foo"), w.now)
			}
			if s.heard && answered && !s.deaf {
				s.ignore()
				s.shutdown(w.now)
			}
		}
	}
	w.settle(act)
	for w.pass() {
		w.settle(act)
	}
	return answers
}

// TestAssociationSurvivesTheNetwork has one exchange with everything that can
// happen to any one packet and any two of them.
func TestAssociationSurvivesTheNetwork(t *testing.T) {
	plain := newWorld(t, nil)
	if answers := plain.porter(); !reflect.DeepEqual(answers, []string{"foo"}) {
		t.Fatalf("without loss: %q", answers)
	}
	if took := plain.now.Sub(time.Unix(1_000_000, 0)); took != 0 {
		t.Errorf("without loss something was repeated: %v, %v", took, plain.kinds)
	}
	worlds := 0
	for i := range plain.sent + 3 {
		for j := range i + 1 {
			for _, first := range []fate{lost, twice, overtakes} {
				for _, second := range []fate{lost, twice, overtakes} {
					w := newWorld(t, map[int]fate{i: first, j: second})
					answers := w.porter()
					worlds++
					if !reflect.DeepEqual(answers, []string{"foo"}) || w.accepted != 1 {
						t.Errorf("%v: answers %q, %d accepted, packets %v", w.fates, answers, w.accepted, w.kinds)
					}
					if w.client.state != closed || w.server.state != closed || w.client.err != nil || w.server.err != nil {
						t.Errorf("%v: client %d %v, server %d %v, packets %v", w.fates, w.client.state, w.client.err,
							w.server.state, w.server.err, w.kinds)
					}
					if took := w.now.Sub(time.Unix(1_000_000, 0)); took > 7*time.Second {
						t.Errorf("%v took %v", w.fates, took)
					}
				}
			}
		}
	}
	if worlds < 500 {
		t.Errorf("only %d worlds", worlds)
	}
}

// TestAssociationKeepsOrder sends more than fits under way, while each third packet is lost.
func TestAssociationKeepsOrder(t *testing.T) {
	w := newWorld(t, map[int]fate{})
	for i := range 2000 {
		if i%3 == 2 && i > 6 {
			w.fates[i] = lost
		}
	}
	const messages = 50
	var want, got []string
	written := 0
	act := func() {
		for written < messages && w.client.write(fmt.Appendf(nil, "message %d", written), w.now) {
			want = append(want, fmt.Sprintf("message %d", written))
			written++
		}
		if w.server != nil {
			for _, m := range w.server.unread {
				got = append(got, string(m))
			}
			w.server.unread = nil
		}
		if written == messages {
			w.client.ignore()
			w.client.shutdown(w.now)
		}
	}
	w.settle(act)
	for w.pass() {
		w.settle(act)
	}
	if !reflect.DeepEqual(got, want) || len(got) != messages {
		t.Errorf("got %d of %d messages: %q", len(got), written, got)
	}
	if w.client.err != nil || w.server.err != nil {
		t.Errorf("client %v, server %v", w.client.err, w.server.err)
	}
}

func TestAssociationGivesUp(t *testing.T) {
	all := map[int]fate{}
	for i := range 1000 {
		all[i] = lost
	}
	w := newWorld(t, all)
	begin := w.now
	w.porter()
	if took := w.now.Sub(begin); !errors.Is(w.client.err, syscall.ETIMEDOUT) || took != 11*time.Second {
		t.Errorf("ended with %v after %v", w.client.err, took)
	}
	if w.sent != maxRepeats+1 {
		t.Errorf("%d packets: %v", w.sent, w.kinds)
	}
}

// TestAssociationEnds has what ends an association, in each state that it may
// come in, and what must not.
func TestAssociationEnds(t *testing.T) {
	now := time.Unix(1, 0)
	waiting := func() *association { return connect(1, 2, 0xa, 1, now) }
	open := func() *association {
		return accept(1, 2, cookie{localTag: 0xa, remoteTag: 0xb, localTSN: 1, remoteTSN: 9})
	}
	data := dataValue(9, 0, []byte("x"))
	abort := func(tag uint32, flags byte) func(*association) {
		return func(a *association) { a.receive(packet{tag: tag, chunks: []chunk{{chunkAbort, flags, nil}}}, now) }
	}
	icmp := func(err syscall.Errno) func(*association) {
		return func(a *association) { a.unreachable(err) }
	}
	take := func(chunks ...chunk) func(*association) {
		return func(a *association) { a.receive(packet{tag: 0xa, chunks: chunks}, now) }
	}
	tests := map[string]struct {
		begin  func() *association
		happen func(*association)
		state  state
		err    error
	}{
		"refused":                     {waiting, abort(0xa, 0), closed, syscall.ECONNREFUSED},
		"refused by a stranger":       {waiting, abort(0xb, 0), cookieWait, nil},
		"refused with no tag at all":  {waiting, abort(0, flagReflected), cookieWait, nil},
		"reset":                       {open, abort(0xa, 0), closed, syscall.ECONNRESET},
		"reset with the peer's tag":   {open, abort(0xb, flagReflected), closed, syscall.ECONNRESET},
		"reset with the wrong tag":    {open, abort(0xb, 0), established, nil},
		"protocol unreachable":        {waiting, icmp(syscall.ENOPROTOOPT), closed, syscall.ECONNREFUSED},
		"unknown next header":         {waiting, icmp(syscall.EPROTO), closed, syscall.ECONNREFUSED},
		"prohibited":                  {waiting, icmp(syscall.EHOSTUNREACH), closed, syscall.EHOSTUNREACH},
		"dropped by this machine":     {waiting, icmp(syscall.EPERM), cookieWait, nil},
		"unreachable once open":       {open, icmp(syscall.EHOSTUNREACH), established, nil},
		"piece of a message":          {open, take(chunk{chunkData, 2, data}), closed, syscall.EPROTO},
		"message of nothing":          {open, take(chunk{chunkData, flagWhole, data[:dataHeader]}), closed, syscall.EPROTO},
		"unknown chunk stops":         {open, take(chunk{kind: 0x3f}, chunk{chunkAbort, 0, nil}), established, nil},
		"unknown chunk is skipped":    {open, take(chunk{kind: 0xbf}, chunk{chunkAbort, 0, nil}), closed, syscall.ECONNRESET},
		"acknowledged before sent":    {open, take(chunk{chunkSack, 0, sackValue(7, 0)}), established, nil},
		"shutdown cut short":          {open, take(chunk{chunkShutdown, 0, nil}), established, nil},
		"shutdown":                    {open, take(chunk{chunkShutdown, 0, make([]byte, 4)}), shutdownAckSent, nil},
		"complete without a shutdown": {open, take(chunk{chunkShutdownComplete, 0, nil}), established, nil},
		"cookie without a handshake":  {open, take(chunk{chunkInitAck, 0, initiation{tag: 1, cookie: []byte{1}}.marshal()}), established, nil},
		"no cookie":                   {waiting, take(chunk{chunkInitAck, 0, initiation{tag: 1}.marshal()}), cookieWait, nil},
		"data before the handshake":   {waiting, take(chunk{chunkData, flagWhole, data}), cookieWait, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := test.begin()
			test.happen(a)
			if a.state != test.state || !errors.Is(a.err, test.err) {
				t.Errorf("state %d, %v; want %d, %v", a.state, a.err, test.state, test.err)
			}
		})
	}
}

func TestAssociationAnswersHeartbeats(t *testing.T) {
	a := accept(1, 2, cookie{localTag: 0xa, remoteTag: 0xb})
	a.outbox = nil
	a.receive(packet{tag: 0xa, chunks: []chunk{{chunkHeartbeat, 0, []byte("abcde")}}}, time.Unix(1, 0))
	if len(a.outbox) != 1 {
		t.Fatalf("%d packets", len(a.outbox))
	}
	want := packet{src: 1, dst: 2, tag: 0xb, chunks: []chunk{{chunkHeartbeatAck, 0, []byte("abcde")}}}
	if got := mustParse(t, a.outbox[0]); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

// TestAssociationBoundsWhatIsUnread fills the reader's queue.
func TestAssociationBoundsWhatIsUnread(t *testing.T) {
	a := accept(1, 2, cookie{localTag: 0xa, remoteTag: 0xb, remoteTSN: 1})
	for tsn := range uint32(2 * maxUnread) {
		a.outbox = nil
		a.receive(packet{tag: 0xa, chunks: []chunk{{chunkData, flagWhole, dataValue(tsn+1, 0, []byte("x"))}}}, time.Unix(1, 0))
	}
	sack := mustParse(t, a.outbox[0]).chunks[0].value
	if got := binary.BigEndian.Uint32(sack); got != maxUnread || len(a.unread) != maxUnread {
		t.Errorf("%d unread, acknowledged up to %d", len(a.unread), got)
	}
	if window := binary.BigEndian.Uint32(sack[4:]); window != 0 {
		t.Errorf("the window is still %d", window)
	}
}
