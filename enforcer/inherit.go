package enforcer

import (
	"context"
	"fmt"

	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/enforcer/rounds"
	"github.com/sluice-net/sluice/enforcer/tables"
)

// inherit takes up what an earlier agent left.
func (s *syncer) inherit(ctx context.Context, left tables.Predecessor) {
	found := rounds.Found{Table: left.Main, Grace: left.Grace}
	if left.Main {
		found.Epoch, found.OtherBits = s.inheritMarks(ctx, left)
	}
	s.rounds = rounds.New(rounds.Config{
		MinInterval: s.cfg.MinInterval, RetryMin: s.cfg.RetryMin, RetryMax: s.cfg.RetryMax,
		InspectInterval: s.cfg.InspectInterval, Grace: s.cfg.Grace,
	}, found, s.cfg.Clock.Now())
}

// inheritMarks says whether it is known which value the rules found write, and whether
// they write bits that are not ours.
func (s *syncer) inheritMarks(ctx context.Context, left tables.Predecessor) (known, otherBits bool) {
	layout := s.cfg.Compiler.Mark
	epoch := layout.Decode(left.Mark)
	klog.FromContext(ctx).Info("Found the rules of an earlier agent: they stay in force until replaced", "epoch", epoch)
	if left.Mask != 0 && left.Mask != layout.Mask {
		klog.FromContext(ctx).Info("The rules found mark connections with other bits, which are cleared once the rules are replaced",
			"mask", fmt.Sprintf("%#x", left.Mask), "now", fmt.Sprintf("%#x", layout.Mask))
		s.oldMask = left.Mask
		return false, true
	}
	if epoch != 0 {
		s.epochs.Inherit(epoch)
	}
	return epoch != 0, false
}

// clearOldMask takes from all connections the bits that an earlier agent with
// another mask left in their marks, once nothing writes them any more: nobody would
// ever do it later. A connection that has some loses ours as well, for of two fields
// that share bits neither can be cleared alone: what is left of the other might be an
// epoch. It is judged anew with its next packet.
func (s *syncer) clearOldMask(ctx context.Context) {
	if !s.rounds.OtherBits() {
		return
	}
	old := s.oldMask
	n, err := s.conntrack.Clear(ctx, old|s.cfg.Compiler.Mark.Mask, func(mark uint32) bool { return mark&old != 0 })
	if err != nil {
		klog.FromContext(ctx).Error(err, "Failed to clear an earlier agent's bits from conntrack marks; trying again", "mask", fmt.Sprintf("%#x", old))
		return
	}
	s.rounds.OtherBitsCleared()
	klog.FromContext(ctx).Info("Cleared an earlier agent's bits from conntrack marks", "mask", fmt.Sprintf("%#x", old), "connections", n)
}
