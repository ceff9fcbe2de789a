// Package ledger knows which version of which object is in a node's kernel: the agent's
// loop writes what it takes in and what a transaction has brought, and whoever waits for
// an object, or asks what is enforced, reads. It touches no kernel itself.
package ledger

import (
	"hash/maphash"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/policy"
)

// Ledger says which version of which object is in the kernel. The sync loop writes it,
// and whoever asks at the door reads it.
//
// What one round takes in has a number, and what is taken between the pieces of a large
// plan one of its own, for it may be in force before the plan is. A number is open until
// all that was taken under it is in the kernel: after the transaction that brings it,
// never before. An object that no Pod here has to do with changes nothing, and is in
// force with the rest of its round.
//
// Of policies and the node's own Pods it knows the versions; of all other Pods and of
// Namespaces, of which there may be a hundred times as many, hashes of them. Two objects,
// or two versions, are taken for one with a probability of 2^-64.
type Ledger struct {
	now  func() time.Time
	seed maphash.Seed

	mu       sync.Mutex
	policies map[types.NamespacedName]policyHeld
	// residents are Pods that should have a place here.
	residents map[types.NamespacedName]*residentHeld
	taken     map[uint64]taken
	passed    passed

	// number is the one that was given last, round that of the round which is under way,
	// and open those that are not in the kernel.
	// current is the one under which things are taken just now.
	number, round, current uint32
	open                   map[uint32]bool
	// fresh are policies and residents that were taken under each open number.
	fresh map[uint32][]*inForce
	// started: there was a round that succeeded.
	started bool
	// generation counts the numbers under which something came into force, the last one
	// since.
	generation uint64
	since      time.Time
	// changed is closed, and replaced, when anything may have come into force.
	changed chan struct{}
}

// taken is the version of an object that was taken last, and its number.
type taken struct {
	version     uint64
	uid, number uint32
}

// inForce is the version of an object that is told to people.
type inForce struct {
	source.Version
	number uint32
	since  time.Time
}

type policyHeld struct {
	*inForce
	invalid string
}

// residentHeld is a Pod of this node.
type residentHeld struct {
	*inForce
	// object is nil where only the index tells of it.
	object *policy.Pod
	// subject is what policies make of it, nil while it has no address, and resolved the
	// number under which that was found.
	subject  *policy.Subject
	resolved uint32
}

// New is a ledger in which nothing is enforced yet.
func New(now func() time.Time) *Ledger {
	return &Ledger{
		now: now, seed: maphash.MakeSeed(), policies: map[types.NamespacedName]policyHeld{},
		residents: map[types.NamespacedName]*residentHeld{}, taken: map[uint64]taken{}, passed: newPassed(),
		open: map[uint32]bool{}, fresh: map[uint32][]*inForce{}, changed: make(chan struct{}),
	}
}

// Begin begins a round. After one that failed, nothing of it is in the kernel until one
// succeeds, so that they share a number.
func (l *Ledger) Begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) == 0 {
		l.round = l.next()
	}
	l.current = l.round
}

// next opens a number. The caller holds the lock.
func (l *Ledger) next() uint32 {
	l.number++
	l.open[l.number] = true
	return l.number
}

// TakeRound takes in what a round begins with.
func (l *Ledger) TakeRound(events map[source.Key]source.Event, o Outlook) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, e := range events {
		l.take(key, e, l.round, o)
	}
}

// TakeBetween takes in what comes while a plan is under way.
func (l *Ledger) TakeBetween(events map[source.Key]source.Event, o Outlook) (number uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current = l.next()
	for key, e := range events {
		l.take(key, e, l.current, o)
	}
	return l.current
}

// Outlook is what of an event only the sync loop knows.
type Outlook struct {
	// Here reports whether a Pod should have a place on the node.
	Here func(*policy.Pod) bool
	// Invalid says what of an object is unusable, "" for nothing.
	Invalid func(source.Key) string
}

// take notes what an event says. What replaces something that is not in the kernel yet,
// is in it no sooner than that: it may say the same, and so change nothing by itself.
func (l *Ledger) take(key source.Key, e source.Event, number uint32, o Outlook) {
	if key.Kind == source.NodeEvent {
		return
	}
	id := l.id(key)
	old, had := l.taken[id]
	if had && !e.Deleted && e.Version.ResourceVersion != "" && old.version == l.versionID(id, e.Version) && l.inKernel(old.number) {
		return // a new list has it again
	}
	gone, wasDeleted := l.passed.number(l.goneID(id))
	if had && l.open[old.number] || !had && wasDeleted && l.open[gone] {
		number = l.round
	}
	for _, v := range e.Earlier {
		l.passed.add(l.versionID(id, v), number)
	}
	if had {
		l.passed.add(old.version, old.number)
	}
	if e.Deleted {
		delete(l.taken, id)
		l.passed.add(l.goneID(id), number)
	} else {
		l.taken[id] = taken{l.versionID(id, e.Version), l.uidID(e.Version.UID), number}
	}
	switch key.Kind {
	case source.PolicyEvent:
		l.takePolicy(key, e, number, o)
	case source.PodEvent:
		l.takePod(key.Name, e, number, o)
	case source.NamespaceEvent, source.NodeEvent:
	}
}

func (l *Ledger) takePolicy(key source.Key, e source.Event, number uint32, o Outlook) {
	if e.Deleted {
		delete(l.policies, key.Name)
		return
	}
	l.policies[key.Name] = policyHeld{l.note(e.Version, number), shorten(o.Invalid(key), maxInvalid)}
}

func (l *Ledger) takePod(name types.NamespacedName, e source.Event, number uint32, o Outlook) {
	r := l.residents[name]
	if e.Deleted || e.Pod == nil || !o.Here(e.Pod) {
		if r != nil {
			r.object = nil
			l.forget(name, r)
		}
		return
	}
	if r == nil {
		r = &residentHeld{}
		l.residents[name] = r
	}
	r.object, r.inForce = e.Pod, l.note(e.Version, number)
}

func (l *Ledger) note(v source.Version, number uint32) *inForce {
	f := &inForce{Version: v, number: number}
	l.fresh[number] = append(l.fresh[number], f)
	return f
}

// forget drops a resident of which nobody says anything any more.
func (l *Ledger) forget(name types.NamespacedName, r *residentHeld) {
	if r.object == nil && r.subject == nil {
		delete(l.residents, name)
	}
}

// Resolved notes what policies make of Pods, in the round that is under way.
func (l *Ledger) Resolved(changes []policy.SubjectChange) {
	if len(changes) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range changes {
		r := l.residents[c.Pod]
		if r == nil {
			if c.Now == nil {
				continue
			}
			r = &residentHeld{inForce: l.note(source.Version{UID: c.Now.UID}, l.current)}
			l.residents[c.Pod] = r
		}
		r.subject, r.resolved = c.Now, l.current
		l.forget(c.Pod, r)
	}
}

// Overtook says that what was taken under a number is in the kernel, though the plan that
// is under way is not.
func (l *Ledger) Overtook(number uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.close(number, l.now())
	l.generation++
	l.signal()
}

// Enforced says that all that was taken is in the kernel. worked: that was something.
func (l *Ledger) Enforced(worked bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for number := range maps.Clone(l.open) {
		l.close(number, now)
	}
	if worked || !l.started {
		l.generation++
		l.since = now
	}
	l.started = true
	l.signal()
}

// close says that what was taken under a number is in the kernel. The caller holds the
// lock.
func (l *Ledger) close(number uint32, now time.Time) {
	for _, f := range l.fresh[number] {
		f.since = now
	}
	if len(l.fresh[number]) > 0 {
		l.since = now
	}
	delete(l.fresh, number)
	delete(l.open, number)
}

func (l *Ledger) signal() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// News is closed when anything may have come into force.
func (l *Ledger) News() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// inKernel reports whether what was taken under a number is. The caller holds the lock.
func (l *Ledger) inKernel(number uint32) bool { return l.started && !l.open[number] }

// id names an object.
func (l *Ledger) id(key source.Key) uint64 {
	var h maphash.Hash
	h.SetSeed(l.seed)
	_ = h.WriteByte(byte(key.Kind))
	write(&h, key.Name.Namespace)
	write(&h, key.Name.Name)
	return h.Sum64()
}

// versionID names a version of an object.
func (l *Ledger) versionID(id uint64, v source.Version) uint64 {
	var h maphash.Hash
	h.SetSeed(l.seed)
	maphash.WriteComparable(&h, id)
	write(&h, string(v.UID))
	write(&h, v.ResourceVersion)
	return h.Sum64()
}

// goneID names the deletion of an object.
func (l *Ledger) goneID(id uint64) uint64 { return maphash.Comparable(l.seed, [2]uint64{id, 1}) }

// uidID tells an object from one of the same name before it.
func (l *Ledger) uidID(uid types.UID) uint32 { return uint32(maphash.String(l.seed, string(uid))) }

// write writes a string so that no two of them run together.
func write(h *maphash.Hash, s string) {
	_, _ = h.WriteString(s)
	_ = h.WriteByte(0)
}

// mostPassed bounds the versions that are remembered though there are later ones.
const mostPassed = 8192

// passed are versions that were replaced, and deletions, with the numbers under which
// they were taken: the latest mostPassed of them.
type passed struct {
	numbers map[uint64]uint32
	ring    []uint64
	at      int
}

func newPassed() passed { return passed{numbers: map[uint64]uint32{}} }

func (p *passed) add(id uint64, number uint32) {
	if _, known := p.numbers[id]; known {
		p.numbers[id] = number
		return
	}
	p.numbers[id] = number
	if len(p.ring) < mostPassed {
		p.ring = append(p.ring, id)
		return
	}
	delete(p.numbers, p.ring[p.at])
	p.ring[p.at] = id
	p.at = (p.at + 1) % mostPassed
}

func (p *passed) number(id uint64) (number uint32, known bool) {
	number, known = p.numbers[id]
	return number, known
}

// maxInvalid bounds what is remembered of what is wrong with an object.
const maxInvalid = 300

// shorten keeps the beginning of a text.
func shorten(s string, most int) string {
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// addrTexts are addresses for people.
func addrTexts(list []netip.Addr) []string {
	var out []string
	for _, a := range list {
		out = append(out, a.String())
	}
	return out
}
