package enforcer

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/nftwire"
	"github.com/sluice-net/sluice/enforcer/tables"
)

// replaceAll makes the whole table what it should be, whatever it was: in
// pieces, and if that fails, in one transaction. Either way the old rules hold
// until the new ones do.
//
// Why pieces: a kernel that is not preemptible gives no other task the
// processor while it works on a transaction. With 150,000 elements that is some
// seconds, with [pieceOf] of them a few milliseconds.
//
// What a transaction puts into interval sets shows a moment after its rules do,
// and until then they allow too little. So connections that were judged before
// pass as they are until the table is complete, and are judged anew under a
// second epoch. That value must be the only one that the kernel can have
// written: otherwise some of its connections may have been cut since. A second
// epoch it takes as well where the table was not bare: before the switch and
// after it, too much may have been allowed.
func (s *syncer) replaceAll(ctx context.Context) error {
	epoch, inForce := s.epochs.InForce()
	if !inForce {
		var err error
		if epoch, err = s.freshEpoch(ctx); err != nil {
			return err
		}
	}
	how := s.rounds.Replacement(inForce, s.cfg.Clock.Now())
	s.compiler.SetEpoch(epoch, how.Grace)
	s.committing()
	switched := func() { s.committed(ctx, how, epoch) }
	empty, err := s.replaceInPieces(ctx, switched)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		klog.FromContext(ctx).Info("Our table cannot be replaced in pieces, replacing it in one transaction", "reason", err.Error())
		if err := s.transact(ctx, s.compiler.Replace()); err != nil {
			return fmt.Errorf("replace all: %w", err)
		}
		switched()
	}
	s.metrics.fullReplacements.Inc()
	s.clearOldMask(ctx)
	anew, lookAgain := s.rounds.Switched(inForce, empty)
	if lookAgain {
		s.epochs.Forget()
	}
	if anew {
		if err := s.commit(ctx, generated{Plan: compiler.Plan{Narrows: true}}); err != nil {
			return fmt.Errorf("replace the epoch: %w", err)
		}
	}
	s.inForce()
	s.rounds.Replaced()
	s.ports.Open(ctx, nil)
	// The main table first: guards alone isolate nobody.
	s.guards.Replace(ctx)
	return nil
}

// replaceInPieces makes the table what it should be, whatever was found in it. It reports
// whether it was empty before.
func (s *syncer) replaceInPieces(ctx context.Context, switched func()) (empty bool, err error) {
	socket, err := nftwire.Open(s.ns)
	if err != nil {
		return false, err
	}
	defer socket.Close()
	found, err := socket.Read(unix.NFPROTO_INET).Found()
	if err != nil {
		return false, err
	}
	empty = len(found.Chains)+len(found.Sets)+len(found.Counters) == 0
	repair := s.compiler.Repair(&found)
	if err := s.runPieces(ctx, repair.Prepare()); err != nil {
		return empty, fmt.Errorf("prepare: %w", err)
	}
	if err := repair.Err(); err != nil {
		return empty, err
	}
	if err := s.transact(ctx, repair.Commit()); err != nil {
		return empty, fmt.Errorf("commit: %w", err)
	}
	switched()
	if err := s.runPieces(ctx, slices.Values(repair.Shrink())); err != nil {
		return empty, fmt.Errorf("shrink: %w", err)
	}
	if err := s.runPieces(ctx, slices.Values(repair.Cleanup())); err != nil {
		return empty, fmt.Errorf("clean up: %w", err)
	}
	return empty, nil
}

// runPieces runs what may be cut. A piece that is under way is finished when the
// context ends; what is left out, the next start brings.
func (s *syncer) runPieces(ctx context.Context, ops iter.Seq[compiler.Op]) error {
	for piece := range tables.Pieces(ops) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.transact(ctx, piece); err != nil {
			return err
		}
	}
	return nil
}
