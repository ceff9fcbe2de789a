package source

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// Key names an object of which there are events.
type Key struct {
	Kind EventKind
	Name types.NamespacedName
}

// Mailbox is the [Sink] that lies between the source's goroutines and the sync loop. It
// keeps the latest event of each object, so that it never grows beyond the cluster.
type Mailbox struct {
	clock clock.PassiveClock
	wake  func()

	mu      sync.Mutex
	pending map[Key]Event
	since   time.Time // of the oldest pending event
	synced  bool
	partly  bool
	seq     uint64
	settle  bool
	trouble map[string]error
	// large are the pending events of large policies, with their weight, and
	// largeNext says that it is their turn.
	large     map[Key]int
	largeNext bool
}

// Mail is what a sync takes out of the mailbox.
type Mail struct {
	Events map[Key]Event
	// Since is when the oldest event came, zero if there is none.
	Since  time.Time
	Synced bool
	// Partly: all that could be read was delivered.
	Partly bool
	// Seq counts all that came so far.
	Seq uint64
	// Settle: someone waits for this mail and wants nothing to be assumed of
	// interfaces.
	Settle bool
	// Held: there is more that came before, so Seq is not reached yet.
	Held bool
}

// NewMailbox makes an empty one. wake is called whenever there is something to take.
func NewMailbox(c clock.PassiveClock, wake func()) *Mailbox {
	return &Mailbox{clock: c, wake: wake, pending: map[Key]Event{}, trouble: map[string]error{}, large: map[Key]int{}}
}

// Deliver is of [Sink].
func (m *Mailbox) Deliver(events ...Event) {
	if len(events) == 0 {
		return
	}
	m.mu.Lock()
	if len(m.pending) == 0 {
		m.since = m.clock.Now()
	}
	for _, e := range events {
		key := Key{e.Kind, e.Name}
		if e.Deleted && e.Kind == PodEvent {
			e.Pod = m.pending[key].Pod // what nobody has taken would be lost
		}
		if old, waits := m.pending[key]; waits {
			e.overtakes(old)
		}
		m.pending[key] = e
	}
	m.noteLarge(events)
	m.seq++
	m.mu.Unlock()
	m.wake()
}

// Synced is of [Sink].
func (m *Mailbox) Synced() {
	m.mu.Lock()
	m.synced = true
	m.seq++
	m.mu.Unlock()
	m.wake()
}

// SyncedInPart is of [Sink].
func (m *Mailbox) SyncedInPart() {
	m.mu.Lock()
	m.partly = true
	m.seq++
	m.mu.Unlock()
	m.wake()
}

// Report is of [Sink].
func (m *Mailbox) Report(part string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		delete(m.trouble, part)
		return
	}
	m.trouble[part] = err
}

// Reports are the troubles of the source's parts.
func (m *Mailbox) Reports() map[string]error {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[string]error, len(m.trouble))
	for part, err := range m.trouble {
		out[part] = err
	}
	return out
}

// Ask makes sure that there is more mail, and returns its number at least.
func (m *Mailbox) Ask() uint64 {
	m.mu.Lock()
	m.seq++
	m.settle = true
	seq := m.seq
	m.mu.Unlock()
	m.wake()
	return seq
}

// Waiting is how many events nobody has taken.
func (m *Mailbox) Waiting() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.pending)
}

// Wake has the sync loop look into the mailbox, though nothing came.
func (m *Mailbox) Wake() { m.wake() }

// Take takes what is due. Nobody who waits for all that came is served by a part of it.
func (m *Mailbox) Take(c Choice) Mail {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := Mail{Events: m.choose(c), Since: m.since, Synced: m.synced, Partly: m.partly, Seq: m.seq}
	if out.Held = len(m.pending) > 0 || m.settle && c == Small; out.Held {
		return out
	}
	m.since = time.Time{}
	out.Settle = m.settle
	m.settle = false
	return out
}
