package rounds

import "time"

// contest meters how often our tables are repaired after somebody else changed them.
// The rules are open until they are, so it is done at once: only against somebody who
// insists it is slowed down, lest the two keep the node busy.
type contest struct {
	// recent is when the last repairs began, oldest first, at most RepairsAtOnce.
	recent []time.Time
	// contested: somebody insisted when we looked last.
	contested bool
	// running: a repair was begun and has not succeeded yet.
	running bool
}

const (
	// RepairsAtOnce is how many repairs follow each other without a pause, within
	// RepairWindow. From then on there is one every RepairPause.
	RepairsAtOnce = 5
	RepairWindow  = RepairsAtOnce * RepairPause
	RepairPause   = 500 * time.Millisecond
	// ContestCalm is how long nobody may have changed our tables until a contest
	// counts as over.
	ContestCalm = time.Minute
)

// wait is how long the next repair has to wait.
func (c *contest) wait(now time.Time) time.Duration {
	if len(c.recent) < RepairsAtOnce || now.Sub(c.recent[0]) >= RepairWindow {
		return 0
	}
	return max(0, RepairPause-now.Sub(c.recent[len(c.recent)-1]))
}

func (c *contest) begin(now time.Time) {
	c.running = true
	c.contested = c.contested || len(c.recent) == RepairsAtOnce && now.Sub(c.recent[0]) < RepairWindow
	if len(c.recent) == RepairsAtOnce {
		c.recent = c.recent[1:]
	}
	c.recent = append(c.recent, now)
}

// Drift takes in whether others changed our tables since it was last asked, or may
// have. It reports whether this round is the repair: that brings everything.
func (s *State) Drift(changed bool, now time.Time) (repair bool) {
	s.drifted = s.drifted || changed
	if !s.drifted || s.contest.wait(now) > 0 {
		return false
	}
	s.drifted = false
	if s.doubtful {
		return false // it brings everything anyway
	}
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
	c.running = c.running && failed
	if c.contested && now.Sub(c.recent[len(c.recent)-1]) >= ContestCalm {
		c.contested = false
	}
	return Repairs{Contested: c.contested, Failing: c.running}, true
}
