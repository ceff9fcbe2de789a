package enforcer

import (
	"context"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/sluice-net/sluice/enforcer/rounds"
)

// loop syncs whenever something wakes it, and by the clock. When, and what a round is
// for, s.rounds decides.
func (a *Agent) loop(ctx context.Context, s *syncer) {
	for s.sleep(ctx, a.wake) {
		a.busy.Store(true)
		a.heard.Store(a.cfg.Clock.Now().UnixNano())
		s.explain()
		s.lookAtFlows()
		s.inspect(ctx)
		s.round(ctx)
		a.busy.Store(false)
		a.publish(ctx)
	}
}

// sleep returns when a round is due; false when the context ends.
func (s *syncer) sleep(ctx context.Context, wake <-chan struct{}) bool {
	now := s.cfg.Clock.Now()
	pause, deaf := s.rounds.Pause(rounds.Dues{
		Tidy: s.unused.wait(now), Connections: s.departures.Wait(now),
		Guards: s.guards.Wait(), Ports: s.ports.Wait(), Peek: s.start.wait(now),
	}, s.watch.Curious(), now)
	timer := s.cfg.Clock.NewTimer(pause)
	defer timer.Stop()
	if deaf {
		wake = nil
	}
	for asleep := true; asleep; {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C():
			asleep = false
		case <-wake:
			s.rounds.Woken()
			asleep = false
		case <-s.toExplain():
			// A round explains, too, and what wakes us comes first.
			if len(wake) == 0 {
				s.explain()
			}
		case <-s.flowsWait():
			if len(wake) == 0 {
				s.lookAtFlows()
			}
		}
	}
	return holdBack(ctx, s.cfg.Clock, s.rounds.HoldBack(s.cfg.Clock.Now()))
}

func holdBack(ctx context.Context, c clock.Clock, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := c.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
		return true
	}
}

// round syncs once.
func (s *syncer) round(ctx context.Context) {
	s.rounds.Begin(s.watch.Curious())
	noticed := s.watch.Due()
	worked, err := s.sync(ctx)
	retry := s.rounds.Ended(rounds.Outcome{Failed: err != nil, Worked: worked, Noticed: noticed}, s.cfg.Clock.Now())
	if err == nil {
		return
	}
	s.metrics.syncFailures.Inc()
	s.status.setSyncError(err)
	klog.FromContext(ctx).Error(err, "Failed to sync; the kernel enforces what it did before", "retryAfterSeconds", retry.Seconds())
}
