package enforcer

import (
	"context"

	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/enforcer/detect"
	"github.com/sluice-net/sluice/enforcer/tables"
)

// audit looks, from time to time, at what nobody tells us of.
func (s *syncer) audit(ctx context.Context) {
	tables, others := s.rounds.Audit(s.cfg.Clock.Now())
	if tables {
		s.auditTables(ctx)
	}
	if others {
		s.searchDue = true
		if !s.rounds.Synced() || s.rounds.Failing() {
			s.detect(ctx) // no sync comes to it
		}
	}
}

// auditTables finds out whether our table vanished unnoticed, and does what is left to
// do of what an earlier agent, or the grace, left.
func (s *syncer) auditTables(ctx context.Context) {
	s.clearOldMask(ctx)
	s.judgePickups(ctx)
	s.tellRepairs(ctx, nil)
	s.watchForeign(ctx)
	s.watchDrops(ctx)
	present, err := tables.MainIsThere(s.ns)
	switch {
	case err != nil:
		klog.FromContext(ctx).Error(err, "Failed to look for our table")
	case !present:
		s.rounds.Vanished()
	}
}

// detect looks for other programs that get in the way. What they do to Pods is known only
// when it is known which interfaces are Pods'.
func (s *syncer) detect(ctx context.Context) {
	s.searchDue = len(s.links.Interfaces()) == 0
	logger := klog.FromContext(ctx)
	found, err := detect.Search{
		NS: s.ns, Interfaces: s.links.Interfaces(), Ways: s.links.PodWays(), IPVS: &s.ipvs,
		NodeDNS: len(s.cfg.Compiler.NodeDNS) > 0, Harmless: s.cfg.HarmlessPrograms,
	}.Findings()
	if err != nil {
		logger.Error(err, "Failed to look for other programs' tables")
	}
	conditions := make([]Condition, 0, len(found))
	for _, f := range found {
		conditions = append(conditions, Condition(f))
	}
	s.status.setConditions(ctx, "detect", conditions)
}
