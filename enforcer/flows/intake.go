package flows

import (
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/sluice-net/sluice/policy"
)

const (
	// Interval is how often a flow is told of, at least; at most it is twice that.
	Interval = 10 * time.Second
	// MostRate is how many flows a second a node looks at.
	MostRate = 1000
	// mostFlows bounds the flows that are remembered in an interval, and mostWaiting
	// those that wait for the sync loop.
	mostFlows   = 16_384
	mostWaiting = 4096
)

// LeftOutCause says why flows were not looked at.
type LeftOutCause string

const (
	// LeftOutKernel: the kernel had no room to give notice; counted once for each time.
	LeftOutKernel LeftOutCause = "kernel"
	// LeftOutRate: more than the rate in a second.
	LeftOutRate LeftOutCause = "rate"
	// LeftOutQueue: more than the sync loop had time for.
	LeftOutQueue LeftOutCause = "queue"
)

// LeftOutCauses are all there are.
var LeftOutCauses = []LeftOutCause{LeftOutKernel, LeftOutRate, LeftOutQueue}

// key is what counts as one flow: a client's port makes no other.
type key struct {
	src, dst netip.Addr
	proto    policy.Protocol
	port     uint16
	service  netip.AddrPort
}

func keyOf(c *Connection) key {
	k := key{src: c.Src, dst: c.Dst, proto: c.Protocol, port: c.Port, service: c.Original}
	if !c.Protocol.HasPorts() {
		k.service = netip.AddrPortFrom(c.Original.Addr(), 0)
	}
	return k
}

// intake keeps connections until the sync loop has time, each flow once an interval. It
// is as large as its limits, whatever comes.
type intake struct {
	ready chan struct{}

	mu sync.Mutex
	// now and before are the flows of this interval and of the one before it.
	now, before map[key]struct{}
	began       time.Time
	tokens      float64
	filled      time.Time
	// queue are those that wait, from head on.
	queue   []Connection
	head    int
	leftOut map[LeftOutCause]uint64
}

func newIntake() *intake {
	return &intake{ready: make(chan struct{}, 1), now: map[key]struct{}{}, tokens: MostRate, leftOut: map[LeftOutCause]uint64{}}
}

// add takes a connection, at a time.
func (q *intake) add(c Connection, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch age := at.Sub(q.began); {
	case age >= 2*Interval:
		q.now, q.before, q.began = map[key]struct{}{}, nil, at
	case age >= Interval:
		q.now, q.before, q.began = map[key]struct{}{}, q.now, at
	}
	k := keyOf(&c)
	if _, known := q.now[k]; known {
		return
	}
	if _, known := q.before[k]; known {
		return
	}
	if cause := q.refuse(at); cause != "" {
		q.leftOut[cause]++
		return
	}
	q.now[k] = struct{}{}
	q.queue = append(q.queue, c)
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// refuse says why a connection is left out, or takes a token for it.
func (q *intake) refuse(at time.Time) LeftOutCause {
	if len(q.queue)-q.head >= mostWaiting || len(q.now) >= mostFlows {
		return LeftOutQueue
	}
	if d := at.Sub(q.filled); d > 0 {
		q.tokens = min(q.tokens+d.Seconds()*MostRate, MostRate)
	}
	q.filled = at
	if q.tokens < 1 {
		return LeftOutRate
	}
	q.tokens--
	return ""
}

// take takes the first that waits, if any, and has ready say whether more do.
func (q *intake) take() (c Connection, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.queue) {
		return c, false
	}
	c = q.queue[q.head]
	if q.head++; q.head > len(q.queue)/2 {
		q.queue = append(q.queue[:0], q.queue[q.head:]...)
		q.head = 0
	}
	if q.head < len(q.queue) {
		select {
		case q.ready <- struct{}{}:
		default:
		}
	}
	return c, true
}

// again has all flows looked at anew that are there: somebody wants to know who did not.
func (q *intake) again() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.now, q.before = map[key]struct{}{}, nil
}

func (q *intake) leave(cause LeftOutCause) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.leftOut[cause]++
}

func (q *intake) left() map[LeftOutCause]uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return maps.Clone(q.leftOut)
}
