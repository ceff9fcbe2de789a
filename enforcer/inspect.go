package enforcer

import (
	"context"
	"slices"

	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/enforcer/detect"
	"github.com/sluice-net/sluice/enforcer/tables"
)

// inspect looks, from time to time, at what nobody tells us of.
func (s *syncer) inspect(ctx context.Context) {
	tables, others := s.rounds.Inspect(s.cfg.Clock.Now())
	if tables {
		s.inspectTables(ctx)
	}
	if others {
		s.searchDue = true
		if !s.rounds.Synced() || s.rounds.Failing() {
			s.detect(ctx) // no sync comes to it
		}
	}
}

// inspectTables finds out whether our table vanished unnoticed, and does what is left to
// do of what an earlier agent, or the grace, left.
func (s *syncer) inspectTables(ctx context.Context) {
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
	conditions := make([]Condition, 0, len(found))
	for _, f := range found {
		conditions = append(conditions, Condition(f))
	}
	if err != nil {
		logger.Error(err, "Failed to look for other programs' tables")
		conditions = unseen(s.lastSearch, conditions, err)
	}
	s.lastSearch = conditions
	s.status.setConditions(ctx, "detect", conditions)
}

// unseen is what a look comes to that failed in part: what was there before may be there
// still, and what else there is nobody knows.
func unseen(before, found []Condition, err error) []Condition {
	out := slices.Clone(found)
	for _, c := range before {
		same := func(o Condition) bool { return o.What == c.What && o.Object == c.Object }
		if c.What != searchFailed && !slices.ContainsFunc(found, same) {
			out = append(out, c)
		}
	}
	return append(out, Condition{
		What: searchFailed, Message: "looking for other programs that get in the way failed in part, so some may not be told of, and others that are gone: " + err.Error(),
		Mend: "it is tried again after a while; if it goes on, report it with sluice doctor --bundle",
	})
}

// searchFailed is a look for other programs that failed.
const searchFailed = "SearchFailed"
