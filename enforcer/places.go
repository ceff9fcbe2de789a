package enforcer

import (
	"context"
	"time"

	"k8s.io/klog/v2"
)

// lookAnyway is how long events may put off another look for Pods that were not
// found: without events [look] says when.
const lookAnyway = 2 * time.Second

// look takes in what changed of interfaces and routes. Most events change nothing
// about that, and then nothing is asked or counted.
func (s *syncer) look(ctx context.Context, b batch) error {
	t := s.watch.Take()
	s.recheck = s.recheck || b.settle
	if s.recheck || s.unseen {
		t = touched{all: true}
	}
	if !s.lookDue(t, len(b.events) > 0) {
		return nil
	}
	// Until a look has succeeded the next one is due, and must be at everything: what
	// the kernel told of is told once.
	s.stale, s.unseen = true, true
	err := s.tunnels.Update(ctx, t)
	s.status.setConditions(ctx, "tunnels", s.tunnels.conditions())
	if err == nil {
		err = s.links.Update(t)
	}
	if err == nil {
		s.ipvs.Update(ctx, s.links.ifaces, t.all)
	}
	s.unseen = err != nil
	return err
}

// resolve finds where the Pods are, after a look or where they changed.
func (s *syncer) resolve(ctx context.Context) error {
	if !s.stale {
		return nil
	}
	err := s.links.Resolve(ctx, s.recheck)
	s.places, s.lookedAt = s.links.Result(), s.cfg.Clock.Now()
	s.places.Tunnels, s.places.IPVS = s.tunnels.list, s.ipvs.seen
	s.stale, s.unseen = err != nil, s.unseen || err != nil
	s.status.setConditions(ctx, "seconds", secondConditions(s.links.seconds(s.recheck)))
	s.recheck = s.recheck && err != nil
	s.bridgesAt = time.Time{}
	s.watch.curious.Store(s.links.Waiting())
	unresolved := s.status.setLinks(s.links, s.isolatedHere())
	s.metrics.unresolved.Set(float64(unresolved))
	s.metrics.conflicts.Set(float64(len(s.links.conflicts)))
	return err
}

func (s *syncer) lookDue(t touched, events bool) bool {
	curious := s.watch.curious.Load()
	t.neighbours = t.neighbours && curious
	if s.stale || s.replace || t.any() {
		return true
	}
	return curious && !s.start.peeking && (!events || s.cfg.Clock.Now().Sub(s.lookedAt) >= lookAnyway)
}

// ensureBridges checks what keeps bridged packets in our sight: when the Pods'
// places were looked at, and from time to time, for nobody tells of a change.
func (s *syncer) ensureBridges(ctx context.Context) {
	now := s.cfg.Clock.Now()
	if now.Sub(s.bridgesAt) < s.cfg.AuditInterval {
		return
	}
	s.bridgesAt = now
	switches, err := s.bridges.Ensure(s.links.Bridges())
	s.status.setConditions(ctx, "bridges", switches.conditions())
	if switches.changed {
		klog.FromContext(ctx).Info("Switched on netfilter for the packets of bridges (nf_call_iptables and nf_call_ip6tables)")
	}
	// Without it what can be enforced still is: rules without the switch are
	// better than neither.
	s.status.setBridges(err)
	if err != nil {
		klog.FromContext(ctx).Error(err, "Bridged Pods are out of reach of policies")
	}
}
