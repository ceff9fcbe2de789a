package enforcer

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// pulseEvery is how often an agent that runs notes that it does.
	pulseEvery = 500 * time.Millisecond
	// longestNap is how long it may do without until it counts as having been asleep.
	longestNap = 5 * time.Second
	// awakening is how long after that it is not ready: what happened meanwhile waits in
	// sockets, and is read and enforced in a fraction of it.
	awakening = time.Second
)

// pulse knows when the process did not run: stopped by a signal or a freezer of cgroups, or
// without a processor. What it says of itself is then what it knew before. Its clock is the
// system's, for it is about the process. Times of [time.Now] do not count while the whole
// machine is suspended, and nothing happens on it then.
type pulse struct {
	mu         sync.Mutex
	last, woke time.Time
	slept      time.Duration
}

// beat notes that the process runs, and reports whether it has been asleep.
func (p *pulse) beat(now time.Time) (woke bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if nap := now.Sub(p.last); !p.last.IsZero() && nap > longestNap {
		p.woke, p.slept, woke = now, nap, true
	}
	p.last = now
	return woke
}

// asleep is for how long the process did not run, if it has just begun to run again; 0
// otherwise, and before the first beat.
func (p *pulse) asleep(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch nap := now.Sub(p.last); {
	case p.last.IsZero():
		return 0
	case nap > longestNap:
		return nap
	case !p.woke.IsZero() && now.Sub(p.woke) < awakening:
		return p.slept
	}
	return 0
}

// feelPulse keeps the pulse. After a sleep nothing is taken for known about interfaces, and
// a round looks.
func (a *Agent) feelPulse(ctx context.Context, s *syncer) {
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	for {
		if a.pulse.beat(time.Now()) {
			s.watch.Lose()
			a.rouse()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sleeping says that the agent has been asleep.
func (s Status) sleeping() []Condition {
	if s.Asleep == 0 {
		return nil
	}
	return []Condition{{
		What:    "Asleep",
		Message: fmt.Sprintf("the agent did not run for %v, and what changed meanwhile may not be in force", s.Asleep.Round(time.Second)),
		Mend:    "the kernel enforces what it did before; see what stops the process or takes its processor away, such as a freezer or a limit of its cgroup",
	}}
}
