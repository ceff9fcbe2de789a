package enforcer

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-net/sluice/compiler"
)

// leftovers are objects to which nothing refers since a commit. They are deleted
// when nothing waits, or with the next change of structure: no event should
// wait for what makes no difference to packets.
type leftovers struct {
	ops []compiler.Op
	// since is when the last of them came.
	since time.Time
}

// tidyAfter is how long leftovers may wait for company.
const tidyAfter = 100 * time.Millisecond

func (l *leftovers) add(ops []compiler.Op, now time.Time) {
	if len(ops) > 0 {
		l.ops, l.since = append(l.ops, ops...), now
	}
}

func (l *leftovers) forget() { l.ops = nil }

// take hands them over, those of several plans as if they were of one: first what
// refers to others, then chains, so that they need to be cut only once (see [cut]).
func (l *leftovers) take() []compiler.Op {
	ops := l.ops
	l.forget()
	slices.SortStableFunc(ops, func(a, b compiler.Op) int { return cmp.Compare(removalRank(a), removalRank(b)) })
	return ops
}

// removalRank is the order of [compiler.Plan]'s Cleanup.
func removalRank(op compiler.Op) int {
	if op.Verb == compiler.Flush {
		return 0
	}
	switch op.Object.(type) {
	case *compiler.Set:
		return 1
	case *compiler.Chain:
		return 2
	}
	return 3
}

func (l *leftovers) due(now time.Time) bool {
	return len(l.ops) >= pieceOf || len(l.ops) > 0 && now.Sub(l.since) >= tidyAfter
}

// within is how long to wait at most until they are due.
func (l *leftovers) within(d time.Duration, now time.Time) time.Duration {
	if len(l.ops) == 0 {
		return d
	}
	return min(d, max(0, tidyAfter-now.Sub(l.since)))
}

// prepare runs the Prepare of a plan. The compiler takes the leftovers for
// deleted, so they must be: at the latest in the same transaction, or in one of
// their own if a name is to come back, lest nft takes the one for the other, or if
// others may overtake the plan.
func (s *syncer) prepare(ctx context.Context, ops []compiler.Op, u *unfinished) error {
	if len(ops) == 0 {
		return nil
	}
	if u != nil || s.leftovers.comeBack(ops) {
		if err := s.tidy(ctx); err != nil {
			return err
		}
	}
	if u != nil {
		return s.prepareLetting(ctx, u)
	}
	if len(s.leftovers.ops) > 0 {
		ops = append(s.leftovers.take(), ops...)
	}
	return s.runPieces(ctx, slices.Values(ops))
}

// tidy deletes the leftovers.
func (s *syncer) tidy(ctx context.Context) error {
	if err := s.runPieces(ctx, slices.Values(s.leftovers.take())); err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	return nil
}

// comeBack reports whether ops make anew what waits for its deletion.
func (l *leftovers) comeBack(ops []compiler.Op) bool {
	if len(l.ops) == 0 {
		return false
	}
	gone := map[string]bool{}
	for _, op := range l.ops {
		if op.Verb == compiler.Delete {
			gone[compiler.NameOf(op.Object)] = true
		}
	}
	delete(gone, "")
	for _, op := range ops {
		if gone[compiler.NameOf(op.Object)] {
			return true
		}
	}
	return false
}
