package rounds

import "time"

// Change is what a commit is about.
type Change struct {
	// Narrows: something that was allowed no longer is.
	Narrows bool
	// Trusted: nobody else writes our bits of the marks, so epochs count.
	Trusted bool
}

// Commit is under which epoch a commit puts connections.
type Commit struct {
	// Fresh: a value that no connection bears, or 0 where epochs do not count.
	// Otherwise it is the one in force.
	Fresh bool
	// Rewrite: the rules that name the epoch are written anew.
	Rewrite bool
	// Grace is what they say of connections that conntrack picks up in the middle.
	Grace bool
	// EndsGrace: by this commit the grace of a first install is over.
	EndsGrace bool
}

// Commit decides under which epoch the next commit puts connections.
func (s *State) Commit(c Change, now time.Time) Commit {
	over := s.graceOver(now)
	out := Commit{Fresh: c.Narrows || c.Trusted == (s.epoch == 0), EndsGrace: over}
	if out.Fresh || over {
		out.Rewrite, out.Grace = true, s.inGrace(now)
	}
	return out
}

// Replacement decides the same for the whole of the main table. inForce says that the
// kernel is known to write one value and no other, which goes on for now.
func (s *State) Replacement(inForce bool, now time.Time) Commit {
	return Commit{Fresh: !inForce, Rewrite: true, Grace: s.inGrace(now), EndsGrace: s.graceOver(now)}
}

// Committed says that a commit is in force, and under which value.
func (s *State) Committed(c Commit, epoch uint32) {
	s.epoch = epoch
	if c.EndsGrace {
		s.graceEnds, s.pickups = time.Time{}, true
	}
}

// Switched says that the new table is in force, all of it. It returns whether
// connections must be judged anew under a second epoch: where they bear the value that
// was in force before, or where too much may have been allowed before the switch, as in
// a table that held something. Where it was not known which value the old rules wrote,
// that one is to be chosen now, by a new look at the connections.
func (s *State) Switched(inForce, empty bool) (anew, lookAgain bool) {
	return inForce || s.ambiguous || !empty, s.ambiguous
}

// Replaced says that the kernel's main table is what the compiler thinks it is.
func (s *State) Replaced() { s.ambiguous, s.doubtful = false, false }

// inGrace reports whether connections that are met mid-stream are judged as new ones.
func (s *State) inGrace(now time.Time) bool { return !s.graceEnds.IsZero() && now.Before(s.graceEnds) }

// graceOver: the grace ended and the kernel does not know it yet.
func (s *State) graceOver(now time.Time) bool { return !s.graceEnds.IsZero() && !s.inGrace(now) }

// Pickups reports whether connections that the grace let go on are to be judged now.
func (s *State) Pickups() bool { return s.pickups }

// PickupsJudged says that they were.
func (s *State) PickupsJudged() { s.pickups = false }

// OtherBits reports whether an earlier agent's bits in marks are to be cleared.
func (s *State) OtherBits() bool { return s.otherBits }

// OtherBitsCleared says that they were.
func (s *State) OtherBitsCleared() { s.otherBits = false }
