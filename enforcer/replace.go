package enforcer

import (
	"context"
	"fmt"

	"github.com/sluice-net/sluice/compiler"
)

// replaceAll brings the whole table in one transaction, so that the old rules
// hold until the new ones do.
//
// What a transaction puts into interval sets shows a moment after its rules do,
// and until then they allow too little. So connections that were judged before
// pass as they are until the table is complete, and are judged anew under a
// second epoch. That value must be the only one that the kernel can have
// written: otherwise some of its connections may have been cut since.
func (s *syncer) replaceAll(ctx context.Context) error {
	epoch, inForce := s.epochs.InForce()
	if !inForce {
		var err error
		if epoch, err = s.epochs.Next(ctx); err != nil {
			return err
		}
	}
	graceOver := s.graceOver()
	s.compiler.SetEpoch(epoch, s.inGrace())
	if err := s.transact(ctx, s.compiler.Replace()); err != nil {
		return fmt.Errorf("replace all: %w", err)
	}
	s.adopted(ctx, epoch, graceOver)
	s.metrics.fullReplacements.Inc()
	if s.twice {
		s.epochs.Forget()
	}
	if inForce || s.twice {
		if err := s.commit(ctx, compiler.Plan{Narrows: true}); err != nil {
			return fmt.Errorf("replace the epoch: %w", err)
		}
		s.twice = false
	}
	s.replace = false
	// The main table first: guards alone isolate nobody.
	s.guards.Replace(ctx)
	return nil
}
