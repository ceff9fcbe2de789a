package enforcer

import "time"

// backoff says when what failed is tried again. The zero value never failed.
type backoff struct {
	next  time.Time
	pause time.Duration
}

const (
	backoffMin = 250 * time.Millisecond
	backoffMax = time.Minute
)

// failed puts the next try off, each time twice as long.
func (b *backoff) failed(now time.Time) {
	b.pause = min(max(2*b.pause, backoffMin), backoffMax)
	b.next = now.Add(b.pause)
}

func (b *backoff) due(now time.Time) bool { return !now.Before(b.next) }
