package enforcer

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

type eventKey struct {
	kind EventKind
	name types.NamespacedName
}

// mailbox lies between the source's goroutines and the sync loop. It keeps the
// latest event of each object, so that it never grows beyond the cluster.
type mailbox struct {
	clock clock.PassiveClock
	wake  func()

	mu      sync.Mutex
	pending map[eventKey]Event
	since   time.Time // of the oldest pending event
	synced  bool
	partly  bool
	seq     uint64
	settle  bool
	trouble map[string]error
	// large are the pending events of large policies, with their weight, and
	// largeNext says that it is their turn.
	large     map[eventKey]int
	largeNext bool
}

// batch is what a sync takes out of the mailbox.
type batch struct {
	events map[eventKey]Event
	// since is when the oldest event came, zero if there is none.
	since  time.Time
	synced bool
	// partly: all that could be read was delivered.
	partly bool
	// seq counts all that came so far.
	seq uint64
	// settle: someone waits for this batch and wants nothing to be assumed of
	// interfaces.
	settle bool
	// held: there is more that came before, so seq is not reached yet.
	held bool
}

func newMailbox(c clock.PassiveClock, wake func()) *mailbox {
	return &mailbox{clock: c, wake: wake, pending: map[eventKey]Event{}, trouble: map[string]error{}, large: map[eventKey]int{}}
}

func (m *mailbox) Deliver(events ...Event) {
	if len(events) == 0 {
		return
	}
	m.mu.Lock()
	if len(m.pending) == 0 {
		m.since = m.clock.Now()
	}
	for _, e := range events {
		key := eventKey{e.Kind, e.Name}
		if e.Deleted && e.Kind == PodEvent {
			e.Pod = m.pending[key].Pod // what nobody has taken would be lost
		}
		m.pending[key] = e
	}
	m.noteLarge(events)
	m.seq++
	m.mu.Unlock()
	m.wake()
}

func (m *mailbox) Synced() {
	m.mu.Lock()
	m.synced = true
	m.seq++
	m.mu.Unlock()
	m.wake()
}

func (m *mailbox) SyncedInPart() {
	m.mu.Lock()
	m.partly = true
	m.seq++
	m.mu.Unlock()
	m.wake()
}

func (m *mailbox) Report(part string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		delete(m.trouble, part)
		return
	}
	m.trouble[part] = err
}

// reports are the troubles of the source's parts.
func (m *mailbox) reports() map[string]error {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[string]error, len(m.trouble))
	for part, err := range m.trouble {
		out[part] = err
	}
	return out
}

// ask makes sure that there is another batch, and returns its number at least.
func (m *mailbox) ask() uint64 {
	m.mu.Lock()
	m.seq++
	m.settle = true
	seq := m.seq
	m.mu.Unlock()
	m.wake()
	return seq
}

// take takes what is due. Nobody who waits for all that came is served by a part of it.
func (m *mailbox) take(c choice) batch {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := batch{events: m.choose(c), since: m.since, synced: m.synced, partly: m.partly, seq: m.seq}
	if b.held = len(m.pending) > 0 || m.settle && c == small; b.held {
		return b
	}
	m.since = time.Time{}
	b.settle = m.settle
	m.settle = false
	return b
}
