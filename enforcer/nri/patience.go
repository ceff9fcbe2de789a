package nri

import (
	"context"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

const (
	// MaxWait is the longest that a runtime waits for an answer.
	MaxWait = time.Second
	// minWait is what it waits when waiting was in vain before: enough for an
	// agent that is well to show it.
	minWait = 50 * time.Millisecond
	// fullCredit may be waited in vain at a time, and a creditShare'th of all
	// the time after that.
	fullCredit  = 3 * time.Second
	creditShare = 10
)

// patience bounds the sum of waits that were in vain. A runtime has one lock for
// the events of all Pods: while the agent cannot keep up, be it that the API
// server is away, each Pod's second would be a second for all that start after
// it. A wait that ended well costs nothing and restores all credit.
type patience struct {
	clock clock.PassiveClock

	mu     sync.Mutex
	credit time.Duration
	at     time.Time
}

func newPatience(c clock.PassiveClock) *patience {
	return &patience{clock: c, credit: fullCredit, at: c.Now()}
}

// next is how long the next answer may take. Of the time that the caller has
// left it takes half.
func (p *patience) next(ctx context.Context) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refill()
	wait := min(max(p.credit, minWait), MaxWait)
	if end, limited := ctx.Deadline(); limited {
		wait = min(wait, time.Until(end)/2)
	}
	return wait
}

// spent says what became of a wait.
func (p *patience) spent(waited time.Duration, inVain bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refill()
	if inVain {
		p.credit = max(p.credit-waited, 0)
	} else {
		p.credit = fullCredit
	}
}

func (p *patience) refill() {
	now := p.clock.Now()
	p.credit = min(p.credit+max(now.Sub(p.at), 0)/creditShare, fullCredit)
	p.at = now
}
