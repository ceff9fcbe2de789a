// Package rounds decides what a round of the agent's sync loop does, and when the next
// one is: what of the mail is taken, whether places are looked at, whether the kernel's
// tables are changed or replaced, under which epoch, and how long to wait after that.
//
// It decides and does nothing. The loop tells a [State] what it has seen and what became
// of what it did, with the time, and gets back what is to be done: no clock, no kernel,
// no goroutine. So every course of things can be written down as a transcript
// (testdata), and read.
package rounds

import (
	"fmt"
	"strings"
	"time"
)

// Config is how fast things go. It is the agent's own.
type Config struct {
	// MinInterval is the least time from one round to the next.
	MinInterval time.Duration
	// RetryMin and RetryMax bound the pause after a round that failed.
	RetryMin, RetryMax time.Duration
	// InspectInterval is how often what has no notices is looked at.
	InspectInterval time.Duration
	// Grace is how long after a first install connections that are met mid-stream are
	// judged as new ones; none if it is not positive.
	Grace time.Duration
}

// Found is what an earlier agent left in the kernel.
type Found struct {
	// Table: our main table exists. All else says something only if it does.
	Table bool
	// Epoch: it is known which value its rules write to connections' marks.
	Epoch bool
	// Grace: its rules let connections go on that conntrack picked up in the middle.
	Grace bool
	// OtherBits: its rules write to bits of the marks that are not ours.
	OtherBits bool
}

// State is how things stand between the source, the kernel and the compiler, as far as
// that decides what is done next. It is no more than its fields: there is nothing in it
// that [State.String] does not say, but for times that are over.
type State struct {
	config Config

	// synced: the source has delivered all there is. Before, nothing is enforced.
	synced bool
	// bare: the kernel had no rules of an earlier agent.
	bare bool

	// doubtful: the kernel's tables are not known to be what the compiler thinks they
	// are, so the next round brings all of them.
	doubtful bool
	// drifted: others changed our tables, and no round has answered it yet.
	drifted bool
	contest contest

	// epoch is what connections are judged under; 0 has every packet judged.
	epoch uint32
	// ambiguous: the rules found write an unknown epoch, so the first replacement needs
	// a second one, chosen when the old rules were gone.
	ambiguous bool
	// graceEnds is zero outside the grace of a first install.
	graceEnds time.Time
	// pickups: the grace is over, and what it let go on is not judged yet.
	pickups bool
	// otherBits: an earlier agent's bits in connections' marks are not cleared yet.
	otherBits bool

	// stale: a look at where Pods are is due. unseen: a look failed, so what it was told
	// of is not known and the next one must be at everything. recheck: the next one
	// looks for conflicts of addresses.
	stale, unseen, recheck bool
	lookedAt               time.Time
	// bridgesAt is when the switches of bridges were last checked.
	bridgesAt time.Time

	// ended is when the last round ended that the kernel asked for or that had something
	// to do.
	ended time.Time
	// retry is the pause after a failure, 0 if the last round did not fail.
	retry time.Duration
	// looks counts rounds while some Pod's place is unknown.
	looks int
	// peeking: the next round is for what may have changed at far ends, and no more.
	peeking             bool
	inspected, detected time.Time
}

// New begins with what an earlier agent left. Nothing is known of the kernel.
func New(c Config, found Found, now time.Time) *State {
	s := &State{config: c, doubtful: true, unseen: true, bare: !found.Table}
	switch {
	case s.bare && c.Grace > 0:
		s.graceEnds = now.Add(c.Grace)
	case found.Table && found.Grace:
		// That agent's grace is not ours, and what it let go on is to be judged.
		s.graceEnds = now
	}
	// Whatever value the rules write, the connections that bear it can only be told
	// once these rules have gone.
	s.ambiguous = found.Table && !found.Epoch
	s.otherBits = found.Table && found.OtherBits
	return s
}

// Synced reports whether the source has delivered all there is.
func (s *State) Synced() bool { return s.synced }

// Doubtful reports whether the next round brings all of the kernel's tables.
func (s *State) Doubtful() bool { return s.doubtful }

// Failing reports whether the last round did not come to its end.
func (s *State) Failing() bool { return s.retry > 0 }

// Epoch is what connections are judged under; 0 has every packet judged.
func (s *State) Epoch() uint32 { return s.epoch }

// String is the state in one line: what holds of it, and nothing of what does not.
func (s *State) String() string {
	var out []string
	for _, f := range []struct {
		is   bool
		name string
	}{
		{!s.synced, "waiting for the source"}, {s.bare, "bare"}, {s.doubtful, "doubtful"}, {s.drifted, "drifted"},
		{s.contest.contested, "contested"}, {s.contest.running, "repairing"}, {s.epoch != 0, fmt.Sprintf("epoch %d", s.epoch)},
		{s.ambiguous, "epoch ambiguous"}, {!s.graceEnds.IsZero(), "grace"}, {s.pickups, "pickups unjudged"},
		{s.otherBits, "others' bits"}, {s.stale, "stale"}, {s.unseen, "unseen"}, {s.recheck, "recheck"},
		{s.peeking, "peeking"}, {s.retry > 0, fmt.Sprintf("retry %v", s.retry)},
	} {
		if f.is {
			out = append(out, f.name)
		}
	}
	if len(out) == 0 {
		return "at rest"
	}
	return strings.Join(out, ", ")
}
