package rounds

// Mail is what came out of the mailbox.
type Mail struct {
	// Synced: the source has delivered all there is; Partly: all that it could read.
	Synced, Partly bool
	// Settle: somebody waits for this mail and wants nothing to be assumed of interfaces.
	Settle bool
}

// TakesAll reports whether the next round takes all mail, because it brings everything
// anyway; otherwise large policies wait for their turn.
func (s *State) TakesAll() bool { return !s.synced || s.doubtful }

// Hear takes mail in. It reports whether by this everything was delivered that there
// is, for the first time: from now on it is enforced. What could be read only in part
// is enforced on a node that would be open otherwise; rules of an earlier agent know
// better and stay.
func (s *State) Hear(m Mail) (complete bool) {
	s.recheck = s.recheck || m.Settle
	complete = !s.synced && (m.Synced || m.Partly && s.bare)
	s.synced = s.synced || complete
	return complete
}
