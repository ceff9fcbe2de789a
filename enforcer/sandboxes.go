package enforcer

import (
	"context"
	"errors"
	"fmt"
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

// sandboxes is what the runtime said last, between its goroutines and the sync loop.
type sandboxes struct {
	wake func()

	mu sync.Mutex
	// told are the sandboxes that run, by UID.
	told map[types.UID]toldSandbox
	// connected: the runtime tells of each sandbox before anything runs in it.
	connected bool
	// version counts what was said.
	version uint64
}

type toldSandbox struct {
	Sandbox
	version uint64
}

func newSandboxes(wake func()) *sandboxes {
	return &sandboxes{wake: wake, told: map[types.UID]toldSandbox{}}
}

// say changes what is known under the lock, and wakes the sync loop.
func (b *sandboxes) say(f func(version uint64)) uint64 {
	b.mu.Lock()
	b.version++
	version := b.version
	f(version)
	b.mu.Unlock()
	b.wake()
	return version
}

func (b *sandboxes) set(s Sandbox, version uint64) {
	s.Addrs = plainAddrs(s.Addrs)
	b.told[s.UID] = toldSandbox{s, version}
}

// read returns what was said, if that is more than the reader has seen.
func (b *sandboxes) read(seen uint64) (told map[types.UID]toldSandbox, connected bool, version uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.version == seen {
		return nil, b.connected, seen
	}
	return maps.Clone(b.told), b.connected, b.version
}

// forget drops what was said of a sandbox, if nothing else was said since.
func (b *sandboxes) forget(s toldSandbox) {
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

// ErrSandboxGone is in what [Agent.SandboxStarted] returns for a sandbox that the
// runtime took back.
var ErrSandboxGone = errors.New("the sandbox is gone")

// SandboxStarted says that a sandbox has its network and that nothing runs in it yet.
// It returns when the Pod is enforced with these addresses, or with an error when the
// context ends. Until the Pod's object is known its addresses are closed.
func (a *Agent) SandboxStarted(ctx context.Context, s Sandbox) error {
	version := a.sandboxes.say(func(version uint64) { a.sandboxes.set(s, version) })
	if err := a.status.waitPlaced(ctx, s.UID, version); err != nil {
		return fmt.Errorf("wait until Pod %s is enforced: %w", s.Pod, err)
	}
	return nil
}

// SandboxGone says that a sandbox runs no more.
func (a *Agent) SandboxGone(uid types.UID) {
	a.sandboxes.say(func(uint64) { delete(a.sandboxes.told, uid) })
}

// SetSandboxes says which sandboxes run: all of them, after each connection to the
// runtime. From here on it tells of each new one before anything runs in it.
func (a *Agent) SetSandboxes(all []Sandbox) {
	a.sandboxes.say(func(version uint64) {
		was := a.sandboxes.told
		a.sandboxes.told, a.sandboxes.connected = map[types.UID]toldSandbox{}, true
		for _, s := range all {
			a.sandboxes.set(s, version)
			if old, ok := was[s.UID]; ok && sameSandbox(old.Sandbox, a.sandboxes.told[s.UID].Sandbox) {
				a.sandboxes.told[s.UID] = old
			}
		}
	})
}

func sameSandbox(a, b Sandbox) bool { return a.Pod == b.Pod && slices.Equal(a.Addrs, b.Addrs) }

// SandboxesLost says that the runtime tells nothing more. What it said stays, for the
// sandboxes stay, as long as their interfaces do.
func (a *Agent) SandboxesLost() {
	a.sandboxes.say(func(uint64) { a.sandboxes.connected = false })
}

// placement is which sandboxes are enforced, by the version of what was said of them,
// and what the others wait for.
type placement struct {
	done    map[types.UID]uint64
	waiting map[types.UID]string
	version uint64
}

// setPlaced says what of the runtime's word is in the kernel.
func (b *statusBoard) setPlaced(p placement) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.placed = p
	close(b.changed)
	b.changed = make(chan struct{})
}

// waitPlaced returns when what was said of a sandbox, or something newer, is in the
// kernel.
func (b *statusBoard) waitPlaced(ctx context.Context, uid types.UID, version uint64) error {
	for {
		b.mu.Lock()
		p, changed := b.placed, b.changed
		b.mu.Unlock()
		_, waits := p.waiting[uid]
		done, known := p.done[uid]
		switch {
		case known && done >= version:
			return nil
		case !known && !waits && p.version >= version:
			return ErrSandboxGone
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if why := p.waiting[uid]; why != "" {
				return fmt.Errorf("%w: %s", ctx.Err(), why)
			}
			return ctx.Err()
		}
	}
}

// AskRuntime has the agent tell, as a condition, when the container runtime is silent.
// It is called before Run, if somebody should hear the runtime; silent may be called at
// any time.
func (a *Agent) AskRuntime(silent func() (message, mend string, silent bool)) { a.runtime = silent }

func (a *Agent) tellRuntime(ctx context.Context) {
	if a.runtime == nil {
		return
	}
	var now []Condition
	if message, mend, silent := a.runtime(); silent {
		now = []Condition{{What: "RuntimeSilent", Message: message, Mend: mend}}
	}
	a.status.setConditions(ctx, "runtime", now)
}
