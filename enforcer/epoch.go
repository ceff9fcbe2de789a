package enforcer

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/enforcer/conntrack"
	"github.com/sluice-net/sluice/enforcer/tables"
)

// nextEpoch is what connections are judged under next: 0 has every packet judged.
func (s *syncer) nextEpoch(ctx context.Context) (uint32, error) {
	if !s.trusts() {
		return 0, nil
	}
	return s.freshEpoch(ctx)
}

// freshEpoch issues a value. A commit that fails leaves it open whether the kernel writes
// its value, so a kernel that refuses for long enough uses them all up; then it is asked
// which one its rules write.
func (s *syncer) freshEpoch(ctx context.Context) (uint32, error) {
	epoch, err := s.epochs.Next(ctx)
	if !errors.Is(err, conntrack.ErrNoneFree) {
		return epoch, err
	}
	found, unread := tables.ReadPredecessor(s.ns)
	if unread != nil {
		return 0, errors.Join(err, fmt.Errorf("read which epoch is in force: %w", unread))
	}
	written := uint32(0)
	if layout := s.cfg.Compiler.Mark; found.Main && found.Mask == layout.Mask {
		written = layout.Decode(found.Mark)
	}
	klog.FromContext(ctx).Info("All epochs were used up by commits that failed; those that the rules do not write are free again", "written", written)
	s.epochs.Written(written)
	return s.epochs.Next(ctx)
}
