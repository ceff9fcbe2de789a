package enforcer

import (
	"context"
	"fmt"
	"time"

	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/tables"
)

// foreignMarks notices that another program writes our bits of the conntrack mark.
// Whoever writes values at random meets the current epoch sooner or later, and then a
// packet passes unjudged. So while there is one, no epoch counts: every packet is
// judged. That is slower, and exact.
type foreignMarks struct {
	growing
	// total are all that were noticed, seen is when the last was.
	total int
	seen  time.Time
}

// foreignCalm is how long nobody may have written our bits until epochs count again.
const foreignCalm = 10 * time.Minute

func (f *foreignMarks) note(n int, now time.Time) { f.total, f.seen = f.total+n, now }

// distrusted reports whether no epoch counts.
func (f *foreignMarks) distrusted(now time.Time) bool {
	return f.total > 0 && now.Sub(f.seen) < foreignCalm
}

func (f *foreignMarks) conditions(now time.Time, layout compiler.MarkLayout) []Condition {
	if !f.distrusted(now) {
		return nil
	}
	return []Condition{{
		What:    "ForeignMarks",
		Message: fmt.Sprintf("another program writes bits %#x of the conntrack mark: %d packets or connections had epochs that were never issued, and all packets are judged until there were none for %v", layout.Mask, f.total, foreignCalm),
		Mend:    "find it (nft list ruleset and iptables-save for CONNMARK, conntrack -U), or give Sluice other bits with --ct-mark-mask",
	}}
}

// watchForeign reads the counter of denied packets with others' epochs, and looks at
// the connections themselves where these are few.
func (s *syncer) watchForeign(ctx context.Context) {
	now := s.cfg.Clock.Now()
	counted, err := tables.ReadCounter(s.ns, compiler.ForeignCounter)
	if err != nil {
		klog.FromContext(ctx).Error(err, "Failed to look for marks of other programs")
	} else if n := s.foreign.read(counted); n > 0 {
		s.noteForeign(n)
	}
	if err := s.epochs.LookForForeign(ctx); err != nil {
		klog.FromContext(ctx).Error(err, "Failed to look at the marks of connections")
	}
	s.status.setConditions(ctx, "foreign", s.foreign.conditions(now, s.cfg.Compiler.Mark))
}

func (s *syncer) noteForeign(n int) {
	s.foreign.note(n, s.cfg.Clock.Now())
	s.metrics.foreignMarks.Add(float64(n))
}

// trusts reports whether epochs count.
func (s *syncer) trusts() bool { return !s.foreign.distrusted(s.cfg.Clock.Now()) }
