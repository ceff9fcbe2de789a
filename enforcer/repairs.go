package enforcer

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"k8s.io/klog/v2"
)

// repairs meters how often our tables are mended after somebody else changed them.
// The rules are open until they are, so it is done at once: only against somebody who
// insists it is slowed down, lest the two keep the node busy.
type repairs struct {
	// recent is when the last repairs began, oldest first, at most repairsAtOnce.
	recent []time.Time
	// contested: somebody insisted when we looked last.
	contested bool
	// by is who made the last repair necessary, as far as the kernel tells.
	by string
	// running: a repair was begun and has not succeeded yet.
	running bool
}

const (
	// repairsAtOnce is how many repairs follow each other without a pause, within
	// repairWindow. From then on there is one every repairPause.
	repairsAtOnce = 5
	repairWindow  = repairsAtOnce * repairPause
	repairPause   = 500 * time.Millisecond
	// contestCalm is how long nobody may have changed our tables until a contest
	// counts as over.
	contestCalm = time.Minute
)

// notRepaired is what a failed repair is, in place of a table that failed.
const notRepaired = "TableNotRepaired"

// wait is how long the next repair has to wait.
func (r *repairs) wait(now time.Time) time.Duration {
	if len(r.recent) < repairsAtOnce || now.Sub(r.recent[0]) >= repairWindow {
		return 0
	}
	return max(0, repairPause-now.Sub(r.recent[len(r.recent)-1]))
}

func (r *repairs) begin(now time.Time) {
	r.running = true
	r.contested = r.contested || len(r.recent) == repairsAtOnce && now.Sub(r.recent[0]) < repairWindow
	if len(r.recent) == repairsAtOnce {
		r.recent = r.recent[1:]
	}
	r.recent = append(r.recent, now)
}

// conditions say what an operator must know; failed is why the last attempt did not
// succeed.
func (r *repairs) conditions(now time.Time, failed error) []Condition {
	var out []Condition
	if r.contested && now.Sub(r.recent[len(r.recent)-1]) >= contestCalm {
		r.contested = false
	}
	if r.contested {
		out = append(out, Condition{
			What:    "TableContested",
			Message: fmt.Sprintf("another program keeps changing Sluice's nftables: more than %d times in %v; each time they are open for up to %v and the repair; the last time it was %s", repairsAtOnce, repairWindow, repairPause, r.by),
			Mend:    "find it with \"nft monitor\" and keep it from flushing or changing tables named sluice",
		})
	}
	if r.running && failed != nil {
		out = append(out, Condition{
			What:    notRepaired,
			Message: "another program changed Sluice's nftables, and they cannot be repaired: " + failed.Error(),
			Mend:    "see what is wrong with the tables named sluice; to delete them makes the agent bring them anew",
		})
	}
	return out
}

// repair makes this sync replace everything if others changed our tables.
func (s *syncer) repair(ctx context.Context) {
	s.drifted = s.drift.Check() || s.drifted
	now := s.cfg.Clock.Now()
	if !s.drifted || s.repairs.wait(now) > 0 {
		return
	}
	s.drifted = false
	if s.replace {
		return // it does so anyway
	}
	s.repairs.begin(now)
	s.repairs.by = cmp.Or(s.drift.Blamed(), "a process that the kernel's notices do not name")
	klog.FromContext(ctx).Info("Our nftables were changed by someone else, replacing them", "by", s.repairs.by)
	s.metrics.driftRepairs.Inc()
	s.replace = true
}

// tellRepairs says how the repair went, if there was one.
func (s *syncer) tellRepairs(ctx context.Context, failed error) {
	if !s.repairs.running && !s.repairs.contested {
		return
	}
	s.repairs.running = s.repairs.running && failed != nil
	s.status.setConditions(ctx, "repairs", s.repairs.conditions(s.cfg.Clock.Now(), failed))
}
