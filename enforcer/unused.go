package enforcer

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/tables"
)

// unused are objects to which nothing refers since a commit. They are deleted
// when nothing waits, or with the next change of structure: no event should
// wait for what makes no difference to packets.
type unused struct {
	ops []compiler.Op
	// since is when the last of them came.
	since time.Time
}

// tidyAfter is how long unused objects may wait for company.
const tidyAfter = 100 * time.Millisecond

func (u *unused) add(ops []compiler.Op, now time.Time) {
	if len(ops) > 0 {
		u.ops, u.since = append(u.ops, ops...), now
	}
}

func (u *unused) forget() { u.ops = nil }

// take hands them over, those of several plans as if they were of one: first what
// refers to others, then chains, so that they need to be cut only once (see [tables.Pieces]).
func (u *unused) take() []compiler.Op {
	ops := u.ops
	u.forget()
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

func (u *unused) due(now time.Time) bool {
	return len(u.ops) >= tables.PieceOf || len(u.ops) > 0 && now.Sub(u.since) >= tidyAfter
}

// wait is how long until they are due; negative: there are none.
func (u *unused) wait(now time.Time) time.Duration {
	if len(u.ops) == 0 {
		return -1
	}
	return max(0, tidyAfter-now.Sub(u.since))
}

// prepare runs the Prepare of a plan. The compiler takes unused objects for
// deleted, so they must be: at the latest in the same transaction, or in one of
// their own if a name is to come back, lest nft takes the one for the other, or if
// others may overtake the plan.
func (s *syncer) prepare(ctx context.Context, ops []compiler.Op, u *unfinished) error {
	if len(ops) == 0 {
		return nil
	}
	if u != nil || s.unused.comeBack(ops) {
		if err := s.tidy(ctx); err != nil {
			return err
		}
	}
	if u != nil {
		return s.prepareLetting(ctx, u)
	}
	if len(s.unused.ops) > 0 {
		ops = append(s.unused.take(), ops...)
	}
	return s.runPieces(ctx, slices.Values(ops))
}

// tidy deletes what is unused.
func (s *syncer) tidy(ctx context.Context) error {
	if err := s.runPieces(ctx, slices.Values(s.unused.take())); err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	return nil
}

// comeBack reports whether ops make anew what waits for its deletion.
func (u *unused) comeBack(ops []compiler.Op) bool {
	if len(u.ops) == 0 {
		return false
	}
	gone := map[string]bool{}
	for _, op := range u.ops {
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
