package enforcer

import (
	"context"

	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/enforcer/rounds"
	"github.com/sluice-net/sluice/enforcer/source"
)

// look takes in what changed of interfaces and routes. Most events change nothing
// about that, and then nothing is asked or counted.
func (s *syncer) look(ctx context.Context, b source.Mail) error {
	t := s.watch.Take()
	sight := rounds.Sight{Touched: t.Any(), Events: len(b.Events) > 0, Curious: s.watch.Curious()}
	switch s.rounds.Look(sight, s.cfg.Clock.Now()) {
	case rounds.LookAtNothing:
		return nil
	case rounds.LookAtEverything:
		t = links.Everything()
	case rounds.LookAtNotices:
	}
	err := s.tunnels.Update(ctx, t)
	s.status.setConditions(ctx, "tunnels", tunnelTroubles(s.tunnels.Open()))
	if err == nil {
		err = s.links.Update(t)
	}
	if err == nil {
		if why := s.ipvs.Update(s.links.Interfaces(), t.All()); why != "" {
			klog.FromContext(ctx).Info("IPVS is in use: what it sends to Pods is judged by hook output", "because", why)
		}
	}
	s.rounds.Looked(err != nil)
	return err
}

// resolve finds where the Pods are, after a look or where they changed.
func (s *syncer) resolve(ctx context.Context) error {
	due, recheck := s.rounds.Resolve()
	if !due {
		return nil
	}
	err := s.links.Resolve(ctx, recheck)
	s.rounds.Resolved(err != nil, s.cfg.Clock.Now())
	s.places = s.links.Result()
	s.places.Tunnels, s.places.IPVS = s.tunnels.List(), s.ipvs.Seen()
	s.status.setConditions(ctx, "seconds", secondConditions(s.links.Seconds(recheck)))
	s.watch.SetCurious(s.links.Waiting())
	report := s.links.Report()
	s.status.setLinks(report, s.isolatedHere())
	s.metrics.unresolved.Set(float64(len(report.Unresolved)))
	s.metrics.conflicts.Set(float64(len(report.Conflicts)))
	return err
}

// ensureBridges checks what keeps bridged packets in our sight.
func (s *syncer) ensureBridges(ctx context.Context) {
	if !s.rounds.Bridges(s.cfg.Clock.Now()) {
		return
	}
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
