package enforcer

import (
	"context"
	"maps"
	"net/netip"
	"time"

	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/enforcer/conntrack"
	"github.com/sluice-net/sluice/enforcer/residents"
	"github.com/sluice-net/sluice/enforcer/source"
)

// currentSource is a source that can say whether it has told all that there is: that
// a Pod which it has not named is not on this node. What a directory holds says
// nothing of when a Pod starts.
type currentSource interface {
	// Current is why what it told of a kind may be old, nil if it is not.
	Current(kind source.EventKind, now time.Time) error
}

// presumedFor is how long a presumption goes unquestioned where nothing happens: the
// source may have fallen silent.
const presumedFor = time.Second

// podStart is how the first packets of a Pod are dealt with on this node.
type podStart struct {
	// tenants are the Pods that may have each presumed address.
	tenants map[netip.Addr]map[conntrack.Tenant]bool
	// peekAt is when a far end is looked at again; zero: at none.
	peekAt time.Time
	// text says which rung holds, once the kernel has what follows from it.
	text string
	// told is what was logged.
	told string
}

// assign says which addresses the Pods of this node have, as far as can be known now.
func (s *syncer) assign(ctx context.Context) error {
	now := s.cfg.Clock.Now()
	s.where.Hear(s.sandboxes)
	s.where.ForgetLost(s.sandboxes)
	s.where.Mourn()
	before := s.links.Presumed()
	found, peekAt, err := s.where.Infer(now, before, s.current)
	s.start.peekAt = peekAt
	if err != nil {
		return err
	}
	s.where.Presume(found)
	if !maps.Equal(before, found.Addrs) {
		s.rounds.Moved()
	}
	s.start.tenants = tenantsOf(found)
	s.tellStart(ctx, found, before)
	return nil
}

// tenantsOf are the Pods that may have each address.
func tenantsOf(p residents.Presumption) map[netip.Addr]map[conntrack.Tenant]bool {
	if len(p.Addrs) == 0 {
		return nil
	}
	all := map[conntrack.Tenant]bool{}
	for _, c := range p.Candidates {
		all[conntrack.Tenant{Pod: c.NamespacedName, UID: c.UID}] = true
	}
	out := map[netip.Addr]map[conntrack.Tenant]bool{}
	for a := range p.Addrs {
		out[a] = all
	}
	return out
}

// tellStart shows which rung holds.
func (s *syncer) tellStart(ctx context.Context, p residents.Presumption, before map[netip.Addr]int) {
	known := map[int]bool{}
	for _, index := range before {
		known[index] = true
	}
	for _, index := range p.Addrs {
		if !known[index] {
			known[index] = true
			s.metrics.inferred.Inc()
		}
	}
	text := "inference"
	switch {
	case s.where.Connected():
		text, p.Closed = "runtime (NRI)", ""
	case p.Closed != "":
		text = "closed: " + p.Closed
	}
	s.start.text = text
	if (p.Closed == "") != (s.start.told == "") {
		klog.FromContext(ctx).V(2).Info("How the first packets of Pods are dealt with has changed", "podStart", text)
	}
	s.start.told = p.Closed
}

// countUnknown shows how many sandboxes are nobody's, when Pods were looked for.
func (s *syncer) countUnknown() {
	s.metrics.unknown.Set(float64(len(s.links.StrangersOf(s.links.YoungVeths()))))
}

// wait is how long until something is due; negative: nothing is.
func (p *podStart) wait(now time.Time) time.Duration {
	out := time.Duration(-1)
	if len(p.tenants) > 0 {
		out = presumedFor
	}
	if at := max(0, p.peekAt.Sub(now)); !p.peekAt.IsZero() && (out < 0 || at < out) {
		out = at
	}
	return out
}
