package enforcer

import (
	"context"

	"k8s.io/klog/v2"
)

// audit finds out whether our table vanished unnoticed.
func (s *syncer) audit(ctx context.Context) {
	if s.replace {
		return
	}
	s.clearOldMask(ctx)
	s.judgePickups(ctx)
	s.tellRepairs(ctx, nil)
	s.watchForeign(ctx)
	present, err := tablePresent(s.ns)
	switch {
	case err != nil:
		klog.FromContext(ctx).Error(err, "Failed to look for our table")
	case !present:
		s.drifted = true
	}
}

// detect looks for other programs that get in the way. What they do to Pods is known only
// when it is known which interfaces are Pods'.
func (s *syncer) detect(ctx context.Context) {
	s.searchDue = len(s.links.ifaces) == 0
	logger := klog.FromContext(ctx)
	found, err := search{
		ns: s.ns, ifaces: s.links.ifaces, ways: s.links.podWays(), ipvs: &s.ipvs,
		nodeDNS: len(s.cfg.Compiler.NodeDNS) > 0, harmless: s.cfg.HarmlessPrograms,
	}.conditions()
	if err != nil {
		logger.Error(err, "Failed to look for other programs' tables")
	}
	s.status.setConditions(ctx, "detect", found)
}
