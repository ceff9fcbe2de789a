package enforcer

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/enforcer/residents"
)

// ErrSandboxGone is in what [Agent.SandboxStarted] returns for a sandbox that the
// runtime took back.
var ErrSandboxGone = errors.New("the sandbox is gone")

// SandboxStarted says that a sandbox has its network and that nothing runs in it yet.
// It returns when the Pod is enforced with these addresses, or with an error when the
// context ends. Until the Pod's object is known its addresses are closed.
func (a *Agent) SandboxStarted(ctx context.Context, s residents.Sandbox) error {
	version := a.sandboxes.Started(s)
	if err := a.status.waitPlaced(ctx, s.UID, version); err != nil {
		return fmt.Errorf("wait until Pod %s is enforced: %w", s.Pod, err)
	}
	return nil
}

// SandboxGone says that a sandbox runs no more.
func (a *Agent) SandboxGone(uid types.UID) { a.sandboxes.Gone(uid) }

// SetSandboxes says which sandboxes run: all of them, after each connection to the
// runtime. From here on it tells of each new one before anything runs in it.
func (a *Agent) SetSandboxes(all []residents.Sandbox) { a.sandboxes.Set(all) }

// SandboxesLost says that the runtime tells nothing more. What it said stays, for the
// sandboxes stay, as long as their interfaces do.
func (a *Agent) SandboxesLost() { a.sandboxes.Lost() }

// setPlaced says what of the runtime's word is in the kernel.
func (b *statusBoard) setPlaced(p residents.Placement) {
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
		placed, gone, why := p.Has(uid, version)
		switch {
		case placed:
			return nil
		case gone:
			return ErrSandboxGone
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if why != "" {
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
