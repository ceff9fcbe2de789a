package enforcer

import (
	"context"

	"k8s.io/klog/v2"
)

// audit makes the next sync look at the interfaces' conflicts, and finds out
// whether the table vanished unnoticed.
func (s *syncer) audit(ctx context.Context) {
	s.recheck = true
	if s.replace {
		return
	}
	present, err := tablePresent(s.ns)
	switch {
	case err != nil:
		klog.FromContext(ctx).Error(err, "Failed to look for our table")
	case !present:
		klog.FromContext(ctx).Info("Our nftables table is gone, replacing it")
		s.metrics.driftRepairs.Inc()
		s.replace = true
	}
}

// detect looks for other programs that get in the way.
func (s *syncer) detect(ctx context.Context) {
	logger := klog.FromContext(ctx)
	if err := s.links.Update(s.watch.Take()); err != nil {
		logger.Error(err, "Failed to list interfaces")
	}
	found, err := detect(s.ns, s.links.ifaces, len(s.cfg.Compiler.NodeDNS) > 0)
	if err != nil {
		logger.Error(err, "Failed to look for other programs' tables")
	}
	for _, w := range s.status.setWarnings(found) {
		logger.Info("Warning: "+w.Message, "what", w.What)
	}
}
