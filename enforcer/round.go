package enforcer

import (
	"context"
	"fmt"
	"time"
)

// longRound is when a sync that does not end makes the node not ready: what it
// should bring is not in force, however far it has come. The largest ruleset
// takes a fraction of it.
const longRound = 5 * time.Second

// running is for how long a round of the sync loop has been running, 0 between
// two.
func (a *Agent) running() time.Duration {
	heard := a.heard.Load()
	if !a.busy.Load() {
		return 0
	}
	return a.cfg.Clock.Now().Sub(time.Unix(0, heard))
}

// hanging says that a sync has been running for so long that something must be wrong,
// such as an nft that hangs.
func (s Status) hanging() []Condition {
	if s.Running <= longRound {
		return nil
	}
	return []Condition{{
		What:    "SyncHangs",
		Message: fmt.Sprintf("a sync has been running for %v, and what it should bring is not in force", s.Running.Round(time.Second)),
		Mend:    "the kernel enforces what it did before; see what the node's processors and its nft are busy with",
	}}
}

// watchRounds has a round that does not end logged and counted while it lasts, which the
// loop that hangs in it cannot.
func (a *Agent) watchRounds(ctx context.Context) {
	for holdBack(ctx, a.cfg.Clock, longRound) {
		if a.running() > longRound {
			a.publish(ctx)
		}
	}
}
