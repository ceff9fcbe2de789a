package denials

import (
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/sluice-net/sluice/policy"
)

// Log is what the kernel's log says of a packet.
type Log struct {
	// Prefix is that of the rule. It and Payload are only read while the call lasts.
	Prefix []byte
	// Time is when the packet was judged, zero where the kernel does not say.
	Time time.Time
	// Payload begins with the network header.
	Payload []byte
	// Original is where the connection was opened to, before anybody translated the
	// address; not valid where that is not known.
	Original netip.AddrPort
}

const (
	// Interval is how often a flow is told of: as often as the kernel logs it
	// (reportInterval of package compiler).
	Interval = 10 * time.Second
	// remembered is how long it is known when a flow was last told of.
	remembered = 6 * Interval
	// mostFlows bounds the flows that are remembered, and mostWaiting the logs that wait
	// to be explained: the first in what the rate lets pass in remembered, the second in
	// seconds of it.
	mostFlows   = 16_384
	mostWaiting = 1024
	// DefaultRate is how many denials a second an agent explains. The kernel logs up to
	// 20 a second for each Pod.
	DefaultRate = 200
)

// LeftOutCause says why denials were not told of.
type LeftOutCause string

const (
	// LeftOutKernel: the kernel had no room to tell of them.
	LeftOutKernel LeftOutCause = "kernel"
	// LeftOutRate: more than the rate in a second.
	LeftOutRate LeftOutCause = "rate"
	// LeftOutQueue: more than the sync loop had time for.
	LeftOutQueue LeftOutCause = "queue"
	// LeftOutFlows: more flows than are remembered.
	LeftOutFlows LeftOutCause = "flows"
	// LeftOutUnread: not understood.
	LeftOutUnread LeftOutCause = "unread"
)

// LeftOutCauses are all there are.
var LeftOutCauses = []LeftOutCause{LeftOutKernel, LeftOutRate, LeftOutQueue, LeftOutFlows, LeftOutUnread}

// Flow is what counts as one flow: a client's port makes no other.
type Flow struct {
	Src, Dst netip.Addr
	Protocol policy.Protocol
	// Port is the destination's; of ICMP the type and the code.
	Port  uint16
	cause cause
}

// Element is the flow as the kernel's set of reported flows has it: addresses as its
// packets have them, and the port that policies speak of, or ICMP's type and code. It is
// false for a flow that is counted by no element that is known: of a protocol without
// either, or denied by no policy.
func (f Flow) Element() (src, dst netip.Addr, protocol policy.Protocol, port uint16, ok bool) {
	typed := f.Protocol == policy.ICMP || f.Protocol == policy.ICMPv6
	ok = (f.Protocol.HasPorts() || typed) && (f.cause.reason == Policy || f.cause.reason == Reply)
	if f.cause.reply {
		return f.Dst, f.Src, f.Protocol, f.Port, ok
	}
	return f.Src, f.Dst, f.Protocol, f.Port, ok
}

// told is what is known of a flow that was told of.
type told struct {
	// at is when, more how many packets came since, and read that the kernel was asked.
	at   time.Time
	more uint64
	read bool
}

// waiting is a log that is to be explained.
type waiting struct {
	flow     Flow
	packet   Packet
	when     time.Time
	original netip.AddrPort
	packets  uint64
	since    time.Time
}

// intake takes logs from the reader, and keeps those that are to be explained until the
// sync loop has time. It is as large as its limits, whatever comes.
type intake struct {
	rate  float64
	ready chan struct{}

	mu     sync.Mutex
	tokens float64
	filled time.Time
	known  map[Flow]*told
	// order is when flows were told of, from head on. Those before asked were asked for
	// in the kernel.
	order       []turn
	head, asked int
	queue       []waiting
	leftOut     map[LeftOutCause]uint64
}

// turn is when a flow was told of.
type turn struct {
	flow Flow
	at   time.Time
}

func newIntake(rate int) *intake {
	return &intake{
		rate: float64(rate), tokens: float64(2 * rate), ready: make(chan struct{}, 1),
		known: map[Flow]*told{}, leftOut: map[LeftOutCause]uint64{},
	}
}

// judgedAt is when the packet was judged. The log's time is of another clock, so only
// the difference counts, and only if it makes sense.
func judgedAt(l *Log, now time.Time) time.Time {
	if l.Time.IsZero() {
		return now
	}
	if age := now.Sub(l.Time); age > 0 && age < keep {
		return now.Add(-age)
	}
	return now
}

// add takes a log.
func (q *intake) add(l Log, now time.Time) {
	c, ours := causeOf(l.Prefix)
	p, err := ParsePacket(l.Payload)
	q.mu.Lock()
	defer q.mu.Unlock()
	if !ours || err != nil {
		q.leftOut[LeftOutUnread]++
		return
	}
	f := flowOf(&p, c)
	t := q.known[f]
	if t != nil && now.Sub(t.at) < Interval {
		if !t.read {
			t.more++
		}
		return
	}
	if cause := q.refuse(t == nil, now); cause != "" {
		q.leftOut[cause]++
		return
	}
	w := waiting{flow: f, packet: p, when: judgedAt(&l, now), original: l.Original, packets: 1}
	if t != nil {
		w.packets, w.since = 1+t.more, t.at
	}
	q.known[f] = &told{at: now}
	q.order = append(q.order, turn{f, now})
	q.queue = append(q.queue, w)
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// flowOf turns a reply around, so that a flow is what its opener made of it.
func flowOf(p *Packet, c cause) Flow {
	f := Flow{Src: p.Src, Dst: p.Dst, Protocol: p.Protocol, Port: p.DstPort, cause: c}
	if c.reply {
		f.Src, f.Dst, f.Port = p.Dst, p.Src, p.SrcPort
	}
	if p.HasType {
		f.Port = uint16(p.Type)<<8 | uint16(p.Code)
	}
	return f
}

// refuse says why a log is left out, or takes a token for it.
func (q *intake) refuse(fresh bool, now time.Time) LeftOutCause {
	q.forget(now)
	if fresh && len(q.known) >= mostFlows {
		return LeftOutFlows
	}
	if len(q.queue) >= mostWaiting {
		return LeftOutQueue
	}
	if d := now.Sub(q.filled); d > 0 {
		q.tokens = min(q.tokens+d.Seconds()*q.rate, 2*q.rate)
	}
	q.filled = now
	if q.tokens < 1 {
		return LeftOutRate
	}
	q.tokens--
	return ""
}

// forget drops flows that were told of long ago. One that was told of again since has a
// later turn, too.
func (q *intake) forget(now time.Time) {
	for q.head < len(q.order) && now.Sub(q.order[q.head].at) >= remembered {
		old := q.order[q.head]
		if t := q.known[old.flow]; t != nil && t.at.Equal(old.at) {
			delete(q.known, old.flow)
		}
		q.head++
	}
	q.asked = max(q.asked, q.head)
	if q.head > len(q.order)/2 {
		q.order = append(q.order[:0], q.order[q.head:]...)
		q.asked -= q.head
		q.head = 0
	}
}

// countedBefore is how long before the end of its interval a flow's packets are counted:
// then the kernel forgets them.
const countedBefore = 500 * time.Millisecond

// due are flows whose packets the kernel should be asked for now, each once.
func (q *intake) due(now time.Time) []Flow {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []Flow
	for ; q.asked < len(q.order); q.asked++ {
		switch age := now.Sub(q.order[q.asked].at); {
		case age < Interval-countedBefore:
			return out
		case age < Interval:
			out = append(out, q.order[q.asked].flow)
		}
	}
	return out
}

// counted takes how many packets of a flow the kernel has denied since it was told of,
// that one included.
func (q *intake) counted(f Flow, packets uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t := q.known[f]; t != nil && !t.read && packets > 0 {
		t.more, t.read = max(t.more, packets-1), true
	}
}

// take takes up to so many logs that wait. It reports whether there are more, and has
// Ready say so again.
func (q *intake) take(most int) (list []waiting, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(most, len(q.queue))
	list = append(list, q.queue[:n]...)
	q.queue = append(q.queue[:0], q.queue[n:]...)
	if more = len(q.queue) > 0; more {
		select {
		case q.ready <- struct{}{}:
		default:
		}
	}
	return list, more
}

// oldest is when the first packet was judged that waits, or now.
func (q *intake) oldest(now time.Time) time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.queue {
		if q.queue[i].when.Before(now) {
			now = q.queue[i].when
		}
	}
	return now
}

// leave counts denials that are not told of.
func (q *intake) leave(cause LeftOutCause, n uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.leftOut[cause] += n
}

// left are how many were left out so far, by cause.
func (q *intake) left() map[LeftOutCause]uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return maps.Clone(q.leftOut)
}
