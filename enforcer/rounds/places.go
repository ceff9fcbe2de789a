package rounds

import "time"

const (
	// LookInterval is how soon interfaces are looked at again while one is missing: the
	// far end of a veth may get its address without a word to our namespace.
	LookInterval = 250 * time.Millisecond
	// lookAnyway is how long events may put off another look for Pods that were not
	// found: without events LookInterval says when.
	lookAnyway = 2 * time.Second
)

// Look is how much of the node's interfaces and routes is looked at.
type Look uint8

const (
	// LookAtNothing, as most events change nothing about where Pods are.
	LookAtNothing Look = iota
	// LookAtNotices is for what the kernel told of.
	LookAtNotices
	// LookAtEverything is for when that is not known.
	LookAtEverything
)

// Sight is what speaks for a look.
type Sight struct {
	// Touched: the kernel told of changes.
	Touched bool
	// Events: there is mail to be enforced.
	Events bool
	// Curious: the place of some Pod is not known.
	Curious bool
}

// Look decides about the look of this round. Until [State.Looked] says that it
// succeeded the next one is due, and must be at everything: what the kernel tells of is
// told once.
func (s *State) Look(x Sight, now time.Time) Look {
	everything := s.recheck || s.unseen
	again := x.Curious && !s.peeking && (!x.Events || now.Sub(s.lookedAt) >= lookAnyway)
	if !everything && !x.Touched && !s.stale && !s.doubtful && !again {
		return LookAtNothing
	}
	s.stale, s.unseen = true, true
	if everything {
		return LookAtEverything
	}
	return LookAtNotices
}

// Looked says what became of a look.
func (s *State) Looked(failed bool) { s.unseen = failed }

// Moved says that Pods of the node, or their addresses, changed.
func (s *State) Moved() { s.stale = true }

// Resolve decides whether Pods are looked for, and whether conflicts of addresses are.
func (s *State) Resolve() (due, recheck bool) { return s.stale, s.stale && s.recheck }

// Resolved says what became of that.
func (s *State) Resolved(failed bool, now time.Time) {
	s.lookedAt = now
	s.stale, s.unseen = failed, s.unseen || failed
	s.recheck = s.recheck && failed
	s.bridgesAt = time.Time{}
}

// LookDue reports whether Pods that were not found are to be looked for again while a
// long round is under way.
func (s *State) LookDue(curious bool, now time.Time) bool {
	return curious && now.Sub(s.lookedAt) >= LookInterval
}

// Bridges decides whether the switches of bridges are checked: when places were looked
// at, and from time to time, for nobody tells of a change.
func (s *State) Bridges(now time.Time) bool {
	if now.Sub(s.bridgesAt) < s.config.InspectInterval {
		return false
	}
	s.bridgesAt = now
	return true
}
