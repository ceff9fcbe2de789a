package enforcer

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/nftwire"
	"github.com/sluice-net/sluice/enforcer/rounds"
)

// predecessor is what an earlier agent left in the kernel.
type predecessor struct {
	// table: our main table exists.
	table bool
	// mask and mark are what its rules write to conntrack marks. They are 0 where
	// somebody took the rule away that does.
	mask, mark uint32
	// grace: its rules let connections go on that conntrack picked up in the middle.
	grace bool
	// guardTable: the guards' table exists.
	guardTable bool
}

// readPredecessor looks for our tables. What cannot be read is an error, for it would
// otherwise pass for what is not there.
func readPredecessor(ns netns.Namespace) (out predecessor, err error) {
	err = askNft(ns, func(socket *nftwire.Socket) error {
		families, err := socket.Tables()
		if err != nil {
			return err
		}
		for _, family := range families {
			out.table = out.table || family == unix.NFPROTO_INET
			out.guardTable = out.guardTable || family != unix.NFPROTO_INET
		}
		if !out.table {
			return nil
		}
		return out.read(socket.Read(unix.NFPROTO_INET))
	})
	if err != nil {
		return predecessor{}, err
	}
	return out, nil
}

// read reads the chains that say something: what else is in the table may be anything.
func (p *predecessor) read(table nftwire.Reader) error {
	chains, err := table.Chains()
	if err != nil {
		return err
	}
	lenient := slices.ContainsFunc(chains, func(c compiler.Chain) bool { return c.Name == compiler.MidstreamChain })
	return table.Marks(func() { p.mask, p.mark, p.grace = 0, 0, lenient }, func(chain string, mark *compiler.MarkConnection) {
		switch {
		case chain == compiler.MidstreamChain:
			p.grace = false
		case chain == compiler.JudgedChain && mark != nil:
			p.mask, p.mark = ^mark.Keep, mark.Set
		}
	})
}

// inherit takes up what an earlier agent left.
func (s *syncer) inherit(ctx context.Context, left predecessor) {
	found := rounds.Found{Table: left.table, Grace: left.grace}
	if left.table {
		found.Epoch, found.OtherBits = s.inheritMarks(ctx, left)
	}
	s.rounds = rounds.New(rounds.Config{
		MinInterval: s.cfg.MinInterval, RetryMin: s.cfg.RetryMin, RetryMax: s.cfg.RetryMax,
		AuditInterval: s.cfg.AuditInterval, Grace: s.cfg.Grace,
	}, found, s.cfg.Clock.Now())
}

// inheritMarks says whether it is known which value the rules found write, and whether
// they write bits that are not ours.
func (s *syncer) inheritMarks(ctx context.Context, left predecessor) (known, otherBits bool) {
	layout := s.cfg.Compiler.Mark
	epoch := layout.Decode(left.mark)
	klog.FromContext(ctx).Info("Found the rules of an earlier agent: they stay in force until replaced", "epoch", epoch)
	if left.mask != 0 && left.mask != layout.Mask {
		klog.FromContext(ctx).Info("The rules found mark connections with other bits, which are cleared once the rules are replaced",
			"mask", fmt.Sprintf("%#x", left.mask), "now", fmt.Sprintf("%#x", layout.Mask))
		s.oldMask = left.mask
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
