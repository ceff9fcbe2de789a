package residents

import (
	"maps"
	"net/netip"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// Sandbox is what the container runtime says of a Pod of this node.
type Sandbox struct {
	UID types.UID
	Pod types.NamespacedName
	// Addrs are all addresses of the sandbox; empty where the runtime does not say.
	Addrs []netip.Addr
	// Netns is the path of its network namespace in the runtime's own view.
	Netns string
}

// Told is what the runtime said last, between its goroutines and the sync loop.
type Told struct {
	wake func()

	mu sync.Mutex
	// told are the sandboxes that run, by UID.
	told map[types.UID]said
	// connected: the runtime tells of each sandbox before anything runs in it.
	connected bool
	// version counts what was said.
	version uint64
}

type said struct {
	Sandbox
	version uint64
}

// NewTold has heard of no sandbox yet; wake is called when it has.
func NewTold(wake func()) *Told {
	return &Told{wake: wake, told: map[types.UID]said{}}
}

// say changes what is known under the lock, and wakes the sync loop.
func (b *Told) say(f func(version uint64)) uint64 {
	b.mu.Lock()
	b.version++
	version := b.version
	f(version)
	b.mu.Unlock()
	b.wake()
	return version
}

func (b *Told) set(s Sandbox, version uint64) {
	s.Addrs = plainAddrs(s.Addrs)
	b.told[s.UID] = said{s, version}
}

// read returns what was said, if that is more than the reader has seen.
func (b *Told) read(seen uint64) (told map[types.UID]said, connected bool, version uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.version == seen {
		return nil, b.connected, seen
	}
	return maps.Clone(b.told), b.connected, b.version
}

// forget drops what was said of a sandbox, if nothing else was said since.
func (b *Told) forget(s said) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.told[s.UID].version == s.version {
		delete(b.told, s.UID)
	}
}

// plainAddrs are addresses as the rest of the agent has them, each once.
func plainAddrs(list []netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, a := range list {
		a = a.Unmap().WithZone("")
		if a.IsValid() && !a.IsLinkLocalUnicast() && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// Started says that a sandbox has its network and that nothing runs in it yet. The version
// is that of what was said.
func (b *Told) Started(s Sandbox) (version uint64) {
	return b.say(func(version uint64) { b.set(s, version) })
}

// Gone says that a sandbox runs no more.
func (b *Told) Gone(uid types.UID) { b.say(func(uint64) { delete(b.told, uid) }) }

// Set says which sandboxes run: all of them.
func (b *Told) Set(all []Sandbox) {
	b.say(func(version uint64) {
		was := b.told
		b.told, b.connected = map[types.UID]said{}, true
		for _, s := range all {
			b.set(s, version)
			if old, ok := was[s.UID]; ok && sameSandbox(old.Sandbox, b.told[s.UID].Sandbox) {
				b.told[s.UID] = old
			}
		}
	})
}

func sameSandbox(a, b Sandbox) bool { return a.Pod == b.Pod && slices.Equal(a.Addrs, b.Addrs) }

// Lost says that the runtime tells nothing more. What it said stays.
func (b *Told) Lost() { b.say(func(uint64) { b.connected = false }) }

// Number is how many sandboxes run, as far as it was said.
func (b *Told) Number() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.told)
}

// Silent reports whether the runtime tells nothing any more, though it did.
func (b *Told) Silent() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.version > 0 && !b.connected
}

// Placement is which sandboxes are enforced, by the version of what was said of them,
// and what the others wait for.
type Placement struct {
	done    map[types.UID]uint64
	waiting map[types.UID]string
	version uint64
}

// Has answers whether what was said of a sandbox, or something newer, is in the kernel:
// yes, never, or not yet and why.
func (p Placement) Has(uid types.UID, version uint64) (placed, gone bool, waits string) {
	waits, waiting := p.waiting[uid]
	done, known := p.done[uid]
	return known && done >= version, !known && !waiting && p.version >= version, waits
}
