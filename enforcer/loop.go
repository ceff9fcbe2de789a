package enforcer

import (
	"context"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

// look is how soon the interfaces are looked at again while one is missing: the
// far end of a veth may get its address without a word to our namespace.
const look = 250 * time.Millisecond

// loop syncs whenever something wakes it, and by the clock.
func (a *Agent) loop(ctx context.Context, s *syncer) {
	r := rhythm{cfg: &a.cfg}
	for {
		if !r.sleep(ctx, a.wake, s) {
			return
		}
		a.busy.Store(true)
		a.heard.Store(a.cfg.Clock.Now().UnixNano())
		r.audit(ctx, s)
		r.round(ctx, s)
		a.busy.Store(false)
		a.publish(ctx)
	}
}

// rhythm decides when the next round is.
type rhythm struct {
	cfg   *Config
	last  time.Time // when the last round ended that the kernel asked for or that had something to do
	retry time.Duration
	looks int
	// peeks: the next round is for what may have changed at far ends, and no more.
	peeks    bool
	audited  time.Time
	detected time.Time
}

// sleep returns at the next wake-up, but no sooner than MinInterval after the
// last round; false when the context ends.
func (r *rhythm) sleep(ctx context.Context, wake <-chan struct{}, s *syncer) bool {
	timer := r.cfg.Clock.NewTimer(r.pause(s))
	defer timer.Stop()
	if r.retry > 0 {
		// While the kernel refuses, events do not make it try sooner.
		wake = nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
	case <-wake:
		r.peeks = false
	}
	return holdBack(ctx, r.cfg.Clock, r.cfg.MinInterval-r.cfg.Clock.Now().Sub(r.last))
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

// pause is how long to sleep if nothing wakes us.
func (r *rhythm) pause(s *syncer) time.Duration {
	if r.retry > 0 {
		return r.retry
	}
	d := r.cfg.AuditInterval
	if !s.graceEnds.IsZero() {
		d = min(d, max(0, s.graceEnds.Sub(r.cfg.Clock.Now())))
	}
	if s.drifted {
		d = min(d, s.repairs.wait(r.cfg.Clock.Now()))
	}
	d = s.leftovers.within(d, r.cfg.Clock.Now())
	d = s.departures.within(d, r.cfg.Clock.Now())
	r.peeks = false
	if s.synced && s.watch.curious.Load() {
		d = min(d, look<<min(r.looks, 6))
	}
	for _, w := range []time.Duration{s.guards.Wait(), s.ports.Wait()} {
		if s.synced && w >= 0 {
			d = min(d, w)
		}
	}
	if w := s.start.within(d, r.cfg.Clock.Now()); s.synced && w < d {
		r.peeks = true
		return w
	}
	return d
}

// round syncs once.
func (r *rhythm) round(ctx context.Context, s *syncer) {
	s.start.peeking = r.peeks
	if !r.peeks {
		r.looks++
	}
	if !s.watch.curious.Load() {
		r.looks = 0
	}
	noticed := s.watch.Due()
	err := s.sync(ctx)
	// What the kernel tells of counts, also if nothing came of it: a Pod that toggles
	// its interface must not set the pace.
	if s.worked || noticed {
		r.last = r.cfg.Clock.Now()
	}
	if err == nil {
		r.retry = 0
		return
	}
	r.retry = min(max(2*r.retry, r.cfg.RetryMin), r.cfg.RetryMax)
	s.status.setSyncError(err)
	klog.FromContext(ctx).Error(err, "Failed to sync; the kernel enforces what it did before", "retryAfterSeconds", r.retry.Seconds())
}

// audit looks, from time to time, at what nobody tells us of.
func (r *rhythm) audit(ctx context.Context, s *syncer) {
	now := r.cfg.Clock.Now()
	if now.Sub(r.audited) < r.cfg.AuditInterval {
		return
	}
	first := r.audited.IsZero()
	r.audited = now
	if !first {
		s.audit(ctx)
	}
	if now.Sub(r.detected) >= 6*r.cfg.AuditInterval {
		r.detected = now
		s.recheck, s.searchDue = true, true
		if !s.synced || r.retry > 0 {
			s.detect(ctx) // no sync comes to it
		}
	}
}

// pause waits a moment before a failed receive is tried again.
func pause(ctx context.Context) bool {
	return holdBack(ctx, clock.RealClock{}, 100*time.Millisecond)
}
