package enforcer

import (
	"cmp"
	"context"
	"fmt"

	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/enforcer/rounds"
)

// notRepaired is what a failed repair is, in place of a table that failed.
const notRepaired = "TableNotRepaired"

// repair makes this sync replace everything if others changed our tables.
func (s *syncer) repair(ctx context.Context) {
	if !s.rounds.Drift(s.drift.Check(), s.cfg.Clock.Now()) {
		return
	}
	s.changedBy = cmp.Or(s.drift.Blamed(), "a process that the kernel's notices do not name")
	klog.FromContext(ctx).Info("Our nftables were changed by someone else, replacing them", "by", s.changedBy)
	s.metrics.driftRepairs.Inc()
}

// tellRepairs says how the repair went, if there was one.
func (s *syncer) tellRepairs(ctx context.Context, failed error) {
	if r, tell := s.rounds.Repairs(failed != nil, s.cfg.Clock.Now()); tell {
		s.status.setConditions(ctx, "repairs", repairConditions(r, s.changedBy, failed))
	}
}

// repairConditions say what an operator must know; failed is why the last attempt did
// not succeed.
func repairConditions(r rounds.Repairs, by string, failed error) []Condition {
	var out []Condition
	if r.Contested {
		out = append(out, Condition{
			What:    "TableContested",
			Message: fmt.Sprintf("another program keeps changing Sluice's nftables: more than %d times, with less than %v between the repairs in all; each time they are open for up to %v and the repair; the last time it was %s", rounds.RepairsAtOnce, rounds.RepairWindow, rounds.RepairPause, by),
			Mend:    "find it with \"nft monitor\" and keep it from flushing or changing tables named sluice",
		})
	}
	if r.Failing && failed != nil {
		out = append(out, Condition{
			What:    notRepaired,
			Message: "another program changed Sluice's nftables, and they cannot be repaired: " + failed.Error(),
			Mend:    "see what is wrong with the tables named sluice; to delete them makes the agent bring them anew",
		})
	}
	return out
}
