package enforcer

import (
	"context"
	"time"

	"k8s.io/klog/v2"
)

// audit finds out whether our table vanished unnoticed.
func (s *syncer) audit(ctx context.Context) {
	if s.replace {
		return
	}
	s.clearOldMask(ctx)
	s.judgePickups(ctx)
	present, err := tablePresent(s.ns)
	switch {
	case err != nil:
		klog.FromContext(ctx).Error(err, "Failed to look for our table")
	case !present:
		s.drifted = true
	}
}

// repairPause is the least time between two repairs: should another program
// insist, the two must not keep the node busy.
const repairPause = 500 * time.Millisecond

// repair makes this sync replace everything if others changed our tables.
func (s *syncer) repair(ctx context.Context) {
	s.drifted = s.drift.Check() || s.drifted
	now := s.cfg.Clock.Now()
	if !s.drifted || now.Sub(s.repaired) < repairPause {
		return
	}
	s.drifted, s.repaired = false, now
	if s.replace {
		return // it does so anyway
	}
	klog.FromContext(ctx).Info("Our nftables were changed by someone else, replacing them")
	s.metrics.driftRepairs.Inc()
	s.replace = true
}

// detect looks for other programs that get in the way.
func (s *syncer) detect(ctx context.Context) {
	logger := klog.FromContext(ctx)
	found, err := detect(s.ns, s.links.ifaces, len(s.cfg.Compiler.NodeDNS) > 0)
	if err != nil {
		logger.Error(err, "Failed to look for other programs' tables")
	}
	s.status.setConditions(ctx, "detect", found)
}
