package enforcer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/enforcer/residents"
	"github.com/sluice-net/sluice/policy"
)

// Status is what an agent can say of itself.
type Status struct {
	// Synced: the source has delivered all that was there at the start.
	Synced bool
	// Enforcing: the kernel enforces what the source delivered, apart from what
	// the other fields name.
	Enforcing bool
	// Epoch is the policy generation that connections are judged under.
	Epoch uint32
	// LastSync is when the kernel was last changed or found to need no change.
	LastSync time.Time
	// SyncError is why the last sync failed, nil if it did not.
	SyncError error
	// Running is for how long a sync has been running, 0 between two.
	Running time.Duration
	// Asleep is for how long the agent did not run, if it has just begun to again.
	Asleep time.Duration
	// BridgeError is why traffic between Pods of a bridge is out of reach.
	BridgeError error
	// SourceErrors are troubles with parts of the source.
	SourceErrors map[string]error
	// Unresolved are addresses of local Pods whose interface, or the port of
	// whose bridge, is not known, with the reason.
	Unresolved map[netip.Addr]string
	// Conflicts are addresses of local Pods with the interfaces that claim
	// them, too.
	Conflicts map[netip.Addr]string
	// Unguarded are interfaces of local Pods whose guard is not what it should
	// be, with the reason. Some veths vanish while they are guarded: those are
	// not among them.
	Unguarded map[string]error
	// PodStart is how the first packets of new Pods are dealt with: by the runtime's
	// word, by inference, or not at all, with the reason.
	PodStart string
	// Objects are how many the agent knows.
	Objects policy.Counts
	// Conditions are all that stand, sorted: those that the fields above mean,
	// too, with the Pod's name.
	Conditions []Condition

	// places are the conditions behind Unresolved and Conflicts.
	places []Condition
}

// ErrNotSynced is in what Ready returns before the source has delivered all.
var ErrNotSynced = errors.New("waiting for all objects to be delivered")

// Ready is nil if all that the source says is enforced here, and otherwise says
// what is not: the table of the README says which conditions count.
func (s Status) Ready() error {
	var errs []error
	if err := s.waiting(); err != nil {
		errs = append(errs, err)
	}
	for _, c := range s.standing() {
		if c.NotReady() {
			errs = append(errs, conditionError{c, s.cause(c)})
		}
	}
	return errors.Join(errs...)
}

// conditionError is a condition as an error, with the one behind it if there is one.
type conditionError struct {
	Condition
	cause error
}

func (e conditionError) Error() string { return e.String() }

func (e conditionError) Unwrap() error { return e.cause }

// cause is the error that a condition was made of, nil if it is none's.
func (s Status) cause(c Condition) error {
	if c.What == "TableFailed" || c.What == notRepaired {
		return s.SyncError
	}
	return nil
}

// waiting says what has not come to pass yet.
func (s Status) waiting() error {
	switch {
	case !s.Synced:
		return ErrNotSynced
	case !s.Enforcing && s.SyncError == nil:
		return errors.New("the first sync is under way")
	}
	return nil
}

// Details are the conditions that leave the node ready, a line each.
func (s Status) Details() []string {
	var out []string
	for _, c := range s.standing() {
		if !c.NotReady() {
			out = append(out, c.String())
		}
	}
	return out
}

// start says how a Pod's start goes, once that is known.
func (s Status) start() []string {
	if s.PodStart == "" {
		return nil
	}
	return []string{"pod start: " + s.PodStart}
}

// Kinds say what stands in the way by kind and number, without a name: so much
// is for anybody.
func (s Status) Kinds() []string {
	var out []string
	if err := s.waiting(); err != nil {
		out = append(out, err.Error())
	}
	count := map[string]int{}
	for _, c := range s.standing() {
		count[c.What]++
	}
	for _, what := range slices.Sorted(maps.Keys(count)) {
		out = append(out, fmt.Sprintf("%s %d", what, count[what]))
	}
	return out
}

// statusBoard is where the sync loop writes and everybody reads.
type statusBoard struct {
	mu     sync.Mutex
	status Status
	// conditions are by the part that has them to say.
	conditions map[string][]Condition
	// doneSeq is the number of the last mail that is in the kernel.
	doneSeq uint64
	// placed is what the runtime said and is in the kernel.
	placed residents.Placement
	// changed is closed, and replaced, when doneSeq grows or placed changes.
	changed chan struct{}
}

func newStatusBoard() *statusBoard {
	return &statusBoard{conditions: map[string][]Condition{}, changed: make(chan struct{})}
}

func (b *statusBoard) write(f func(*Status)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(&b.status)
}

func (b *statusBoard) read() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.status
	out.Conditions = b.allConditions()
	return out
}

func (b *statusBoard) setSynced() { b.write(func(s *Status) { s.Synced = true }) }

func (b *statusBoard) setEnforcing(epoch uint32, at time.Time) {
	b.write(func(s *Status) { s.Enforcing, s.Epoch, s.LastSync, s.SyncError = true, epoch, at, nil })
}

func (b *statusBoard) setSyncError(err error) { b.write(func(s *Status) { s.SyncError = err }) }

func (b *statusBoard) setBridges(err error) { b.write(func(s *Status) { s.BridgeError = err }) }

func (b *statusBoard) setUnguarded(failed map[string]error) {
	b.write(func(s *Status) { s.Unguarded = failed })
}

func (b *statusBoard) setLinks(r links.Report, isolated isolation) {
	places := placeTroubles(r, isolated)
	b.write(func(s *Status) { s.Unresolved, s.Conflicts, s.places = r.Unresolved, r.Conflicts, places })
}

func (b *statusBoard) done(seq uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.doneSeq = seq
	close(b.changed)
	b.changed = make(chan struct{})
}

// wait returns when the mail seq is in the kernel.
func (b *statusBoard) wait(ctx context.Context, seq uint64) error {
	for {
		b.mu.Lock()
		done, changed, status := b.doneSeq, b.changed, b.status
		b.mu.Unlock()
		if done >= seq {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			err := status.SyncError
			if !status.Synced {
				err = ErrNotSynced
			}
			return fmt.Errorf("settle: %w", errors.Join(ctx.Err(), err))
		}
	}
}
