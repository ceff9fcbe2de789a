package enforcer

import (
	"context"
	"net/netip"

	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/enforcer/conntrack"
	"github.com/sluice-net/sluice/policy"
)

// judgePickups judges what the grace let go on, once it is over. Nobody can say who
// opened such a connection, so it stays if policies allow it whoever did; all others
// are forgotten, and then their next packet is reset where an isolated Pod is at an
// end: clients that may, connect anew. It is tried again if it fails.
func (s *syncer) judgePickups(ctx context.Context) {
	if !s.rounds.Pickups() {
		return
	}
	found, err := s.conntrack.Pickups(ctx)
	if err == nil {
		found, err = s.forbiddenPickups(found)
	}
	if err == nil {
		err = s.conntrack.DeletePickups(ctx, found)
	}
	if err != nil {
		klog.FromContext(ctx).Error(err, "Failed to judge the connections of the grace; trying again")
		return
	}
	s.rounds.PickupsJudged()
	if len(found) > 0 {
		klog.FromContext(ctx).Info("Forgot connections from before the first install that policies do not allow both ways", "connections", len(found))
	}
}

func (s *syncer) allowsBothWays(p conntrack.Pickup) bool {
	allows := func(from, to netip.AddrPort) bool {
		return s.index.Evaluate(policy.Flow{Src: policy.End{Addr: from.Addr()}, Dst: policy.End{Addr: to.Addr()}, Protocol: policy.TCP, Port: to.Port()}).Allowed
	}
	return allows(p.From, p.To) && allows(p.To, p.From)
}

// forbiddenPickups are those that policies do not allow whoever opened them. The node's
// own connections are not among them: nobody resets these. Whether an address is the
// node's must be known, or a forbidden connection would be let go for good.
func (s *syncer) forbiddenPickups(list []conntrack.Pickup) (out []conntrack.Pickup, err error) {
	known := map[netip.Addr]bool{}
	forwarded := func(a netip.Addr) bool {
		is, asked := known[a]
		if !asked && err == nil {
			is, err = s.links.Forwards(a)
			known[a] = is
		}
		return is
	}
	for _, p := range list {
		if !s.allowsBothWays(p) && forwarded(p.From.Addr()) && forwarded(p.To.Addr()) {
			out = append(out, p)
		}
	}
	return out, err
}
