package rounds

import "time"

// detectEvery is how many inspections come to one look at other programs.
const detectEvery = 6

// Dues are what is due when, from now on, of what others keep account of. Negative:
// nothing is.
type Dues struct {
	// Tidy are objects that nobody refers to, Connections those of addresses without a
	// Pod.
	Tidy, Connections time.Duration
	// Guards and Ports are guards that could not be written.
	Guards, Ports time.Duration
	// Peek is a look at the far ends of interfaces that nobody knows.
	Peek time.Duration
}

// Pause is how long to sleep if nothing wakes us. Deaf: while the kernel refuses, events
// do not make it try sooner.
func (s *State) Pause(d Dues, curious bool, now time.Time) (pause time.Duration, deaf bool) {
	s.peeking = false
	if s.retry > 0 {
		return s.retry, true
	}
	pause = s.config.InspectInterval
	sooner := func(d time.Duration) {
		if d >= 0 {
			pause = min(pause, d)
		}
	}
	if !s.graceEnds.IsZero() {
		sooner(max(0, s.graceEnds.Sub(now)))
	}
	if s.drifted {
		sooner(s.contest.wait(now))
	}
	sooner(d.Tidy)
	sooner(d.Connections)
	if !s.synced {
		return pause, false
	}
	if curious {
		sooner(LookInterval << min(s.looks, 6))
	}
	sooner(d.Guards)
	sooner(d.Ports)
	if d.Peek >= 0 && d.Peek < pause {
		s.peeking = true
		return d.Peek, false
	}
	return pause, false
}

// Woken says that the sleep was cut short: the round is for more than far ends.
func (s *State) Woken() { s.peeking = false }

// HoldBack is how long the next round has to wait all the same.
func (s *State) HoldBack(now time.Time) time.Duration {
	return max(0, s.config.MinInterval-now.Sub(s.ended))
}

// Begin begins a round. It reports whether it is only for far ends.
func (s *State) Begin(curious bool) (peek bool) {
	if !s.peeking {
		s.looks++
	}
	if !curious {
		s.looks = 0
	}
	return s.peeking
}

// Inspect decides whether what nobody tells of is looked at before this round: our tables,
// and other programs.
func (s *State) Inspect(now time.Time) (tables, others bool) {
	if now.Sub(s.inspected) < s.config.InspectInterval {
		return false, false
	}
	tables = !s.inspected.IsZero() && !s.doubtful
	s.inspected = now
	if others = now.Sub(s.detected) >= detectEvery*s.config.InspectInterval; others {
		s.detected, s.recheck = now, true
	}
	return tables, others
}

// Outcome is what became of a round.
type Outcome struct {
	// Failed: it did not come to its end, and the kernel enforces what it did before.
	Failed bool
	// Worked: it changed the kernel, or tried.
	Worked bool
	// Noticed: the kernel had told of something. That counts, also if nothing came of
	// it: a Pod that toggles its interface must not set the pace.
	Noticed bool
}

// Ended ends a round. It returns the pause until the next attempt, if it failed.
func (s *State) Ended(o Outcome, now time.Time) (retry time.Duration) {
	if o.Worked || o.Noticed {
		s.ended = now
	}
	if !o.Failed {
		s.retry = 0
		return 0
	}
	s.doubtful = true
	s.retry = min(max(2*s.retry, s.config.RetryMin), s.config.RetryMax)
	return s.retry
}
