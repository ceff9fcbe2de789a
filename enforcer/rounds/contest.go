package rounds

import "time"

// contest meters how often our tables are repaired after somebody else changed them.
// The rules are open until they are, so it is done at once: only against somebody who
// insists it is slowed down, lest the two keep the node busy. How soon somebody comes
// again is counted from the end of a repair: on a slow node one takes longer than a pause.
type contest struct {
	// calms are how long our tables were left alone between the last repairs, oldest
	// first, at most one fewer than RepairsAtOnce.
	calms []time.Duration
	// ended is when the last repair had brought all.
	ended time.Time
	// contested: somebody insisted when we looked last.
	contested bool
	// running: a repair was begun and has not succeeded yet.
	running bool
}

const (
	// RepairsAtOnce is how many repairs follow each other without a pause, if our tables
	// were left alone for less than RepairWindow between them, all in all. From then on
	// there is a pause of RepairPause after each.
	RepairsAtOnce = 5
	RepairWindow  = RepairsAtOnce * RepairPause
	RepairPause   = 500 * time.Millisecond
	// ContestCalm is how long nobody may have changed our tables until a contest
	// counts as over.
	ContestCalm = time.Minute
)

// calm is how long our tables have been left alone.
func (c *contest) calm(now time.Time) time.Duration {
	if c.running {
		return 0
	}
	return now.Sub(c.ended)
}

// insists reports whether a repair that begins now is one too many.
func (c *contest) insists(now time.Time) bool {
	sum := c.calm(now)
	for _, d := range c.calms {
		sum += d
	}
	return len(c.calms) == RepairsAtOnce-1 && sum < RepairWindow
}

// wait is how long the next repair has to wait.
func (c *contest) wait(now time.Time) time.Duration {
	if !c.insists(now) {
		return 0
	}
	return max(0, RepairPause-c.calm(now))
}

func (c *contest) begin(now time.Time) {
	c.contested = c.contested || c.insists(now)
	if c.running || !c.ended.IsZero() {
		c.calms = append(c.calms, c.calm(now))
		c.calms = c.calms[max(0, len(c.calms)-RepairsAtOnce+1):]
	}
	c.running = true
}

// end takes in that all was brought.
func (c *contest) end(now time.Time) {
	if c.running {
		c.ended, c.running = now, false
	}
}

// Drift takes in whether others changed our tables since it was last asked, or may
// have. It reports whether this round is the repair: that brings everything.
func (s *State) Drift(changed bool, now time.Time) (repair bool) {
	s.drifted = s.drifted || changed
	if s.doubtful {
		s.drifted = false // this round brings everything anyway
	}
	if !s.drifted || s.contest.wait(now) > 0 {
		return false
	}
	s.drifted = false
	s.contest.begin(now)
	s.doubtful = true
	return true
}

// Vanished says that our main table is not there any more.
func (s *State) Vanished() { s.drifted = true }

// Repairs is how it stands with repairs.
type Repairs struct {
	// Contested: another program insists on changing our tables.
	Contested bool
	// Failing: a repair was begun, and the last attempt did not succeed.
	Failing bool
}

// Repairs takes in whether the last attempt to bring anything failed. It says false of
// tell where there is nothing to tell, and was nothing before.
func (s *State) Repairs(failed bool, now time.Time) (r Repairs, tell bool) {
	c := &s.contest
	if !c.running && !c.contested {
		return r, false
	}
	if !failed {
		c.end(now)
	}
	if c.contested && c.calm(now) >= ContestCalm {
		c.contested = false
	}
	return Repairs{Contested: c.contested, Failing: c.running}, true
}
