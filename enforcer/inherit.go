package enforcer

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
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

const (
	// judgedChain is where the compiler's one rule stands that marks connections.
	judgedChain = "judged"
	// midstreamChain has no rules in the grace of a first install.
	midstreamChain = "midstream"
)

// readPredecessor looks for our tables. What cannot be read is an error, for it would
// otherwise pass for what is not there.
func readPredecessor(ns netns.Namespace) (predecessor, error) {
	socket, err := nlsocket.Open(ns, unix.NETLINK_NETFILTER)
	if err != nil {
		return predecessor{}, err
	}
	defer socket.Close()
	read := readback{socket, unix.NFPROTO_INET}
	var out predecessor
	err = nlsocket.DumpWhole(func() error {
		out = predecessor{}
		return read.tables(func(family byte) {
			out.table = out.table || family == unix.NFPROTO_INET
			out.guardTable = out.guardTable || family != unix.NFPROTO_INET
		})
	})
	if err != nil || !out.table {
		return out, err
	}
	// Only the chains: what else is in the table may be anything.
	chains, err := read.chains()
	if err != nil {
		return predecessor{}, err
	}
	out.grace = slices.ContainsFunc(chains, func(c compiler.Chain) bool { return c.Name == midstreamChain })
	err = read.rules(func() { out.mask, out.mark = 0, 0 }, func(chain string, expressions []byte) {
		switch chain {
		case midstreamChain:
			out.grace = false
		case judgedChain:
			out.readMark(expressions)
		}
	})
	return out, err
}

// readMark finds "ct mark set ct mark & ~MASK | EPOCH" among a rule's expressions.
func (o *predecessor) readMark(expressions []byte) {
	var names []string
	var data [][]byte
	for e := range nlsocket.Attrs(expressions) {
		a := nlsocket.AttrMap(e.Value)
		names = append(names, nlsocket.ZeroEnded(a[unix.NFTA_EXPR_NAME]))
		data = append(data, a[unix.NFTA_EXPR_DATA])
	}
	for i := 1; i+1 < len(names); i++ {
		if names[i] != "bitwise" || !isMark(names[i-1], data[i-1], unix.NFTA_CT_DREG) || !isMark(names[i+1], data[i+1], unix.NFTA_CT_SREG) {
			continue
		}
		mask := nlsocket.Nested(nlsocket.Nested(data[i], unix.NFTA_BITWISE_MASK), unix.NFTA_DATA_VALUE)
		xor := nlsocket.Nested(nlsocket.Nested(data[i], unix.NFTA_BITWISE_XOR), unix.NFTA_DATA_VALUE)
		if len(mask) == 4 && len(xor) == 4 {
			o.mask, o.mark = ^binary.NativeEndian.Uint32(mask), binary.NativeEndian.Uint32(xor)
		}
	}
}

// isMark reports whether an expression loads the conntrack mark to a register, or
// sets it from one.
func isMark(name string, data []byte, register uint16) bool {
	a := nlsocket.AttrMap(data)
	return name == "ct" && nlsocket.Number(a[unix.NFTA_CT_KEY]) == unix.NFT_CT_MARK && a[register] != nil
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
