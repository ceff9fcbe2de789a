package enforcer

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/policy"
)

// troubles are the fields of a status as conditions, in no order.
func (s Status) troubles() []Condition {
	out := slices.Concat(s.places, s.hanging(), s.sleeping())
	// A repair that failed says so itself.
	if s.SyncError != nil && !slices.ContainsFunc(s.Conditions, func(c Condition) bool { return c.What == notRepaired }) {
		out = append(out, Condition{
			What: "TableFailed", Message: "last sync failed: " + s.SyncError.Error(),
			Mend: "the kernel enforces what it did before, and it is tried again; the log has the whole error",
		})
	}
	out = append(out, bridgeTroubles(s.BridgeError)...)
	for name, err := range s.Unguarded {
		out = append(out, Condition{
			What: "GuardFailed", Object: "interface " + name, Message: "interface " + name + " is not guarded: " + err.Error(),
			Mend: "it is tried again; restart the Pod if it stays",
		})
	}
	for part, err := range s.SourceErrors {
		out = append(out, Condition{
			What: "SourceFailed", Object: part, Message: err.Error(),
			Mend: "what was delivered before stays enforced; mend what the error names",
		})
	}
	return out
}

// bridgeTroubles are one for each bridge, or one for all that stands in the way of all.
func bridgeTroubles(err error) []Condition {
	if err == nil {
		return nil
	}
	var unfiltered unfilteredBridges
	if !errors.As(err, &unfiltered) {
		return []Condition{{What: "BridgeUnfiltered", Message: err.Error(), Mend: loadBridgeFilter}}
	}
	var out []Condition
	for _, b := range unfiltered {
		out = append(out, Condition{What: "BridgeUnfiltered", Object: "bridge " + b.name, Message: b.err.Error(), Mend: b.mend})
	}
	return out
}

// standing are all conditions, those that the other fields mean included.
func (s Status) standing() []Condition {
	out := append(slices.Clone(s.Conditions), s.troubles()...)
	slices.SortFunc(out, compareConditions)
	return slices.Compact(out)
}

// isolation says which local Pods some policy isolates.
type isolation map[types.NamespacedName]bool

// note takes in what became of a Pod, and returns whether that is another isolation.
func (i *isolation) note(pod types.NamespacedName, now *policy.Subject) (changed bool) {
	if *i == nil {
		*i = isolation{}
	}
	was, is := (*i)[pod], now != nil && (now.Ingress != nil || now.Egress != nil)
	delete(*i, pod)
	if is {
		(*i)[pod] = true
	}
	return was != is
}

// placeTroubles say of which Pods the place is not known, or disputed.
func placeTroubles(r links.Report, isolated isolation) []Condition {
	var out []Condition
	for _, p := range r.Unplaced {
		c := Condition{
			What: "PodUnplaced", Object: "Pod " + p.Pod.String(), Message: describeAddrs(p.Why),
			Mend: "see whether the Pod still has its addresses, and whether its interface is of a kind that the README names",
		}
		if isolated[p.Pod] || p.HeldBack {
			c.What = "PodUnresolved"
		}
		out = append(out, c)
	}
	for name, conflicts := range r.Disputed {
		claimed := map[netip.Addr]string{}
		for addr, others := range conflicts {
			claimed[addr] = "also claimed by " + others
		}
		out = append(out, Condition{
			What: "InterfaceConflict", Object: "Pod " + name.String(), Message: describeAddrs(claimed),
			Mend: "the address stays where it was first; look at the Pod behind the other interface",
		})
	}
	return out
}

// tunnelTroubles name the devices that anybody but Pods of this node may send to.
func tunnelTroubles(open []links.OpenTunnel) []Condition {
	var out []Condition
	for _, t := range open {
		out = append(out, Condition{
			What: "TunnelOpen", Object: "interface " + t.Name,
			Message: "the far ends of this " + t.Kind + " device are not known beforehand: it takes packets of any host, in any name; only the Pods of this node are kept from it",
			Mend:    "name its far ends (vxlan with nolearning and a forwarding database, a remote address for others), or let the nodes' network keep others from it",
		})
	}
	return out
}

// isolatedHere are the Pods that should have an interface here and are isolated.
// Without a node's name every Pod counts as local: of one that has none nobody
// knows whether it is another node's.
func (s *syncer) isolatedHere() isolation {
	if s.cfg.Node == "" {
		return nil
	}
	return s.isolated
}

func describeAddrs(what map[netip.Addr]string) string {
	var out []string
	for _, a := range slices.SortedFunc(maps.Keys(what), netip.Addr.Compare) {
		out = append(out, a.String()+": "+what[a])
	}
	return strings.Join(out, ", ")
}

// publish shows how things stand after a round, and logs what came and went of
// the troubles that no part of the agent logs itself.
func (a *Agent) publish(ctx context.Context) {
	a.tellRuntime(ctx)
	a.telling.Lock()
	defer a.telling.Unlock()
	status := a.Status()
	a.metrics.setStatus(status)
	now := status.troubles()
	slices.SortFunc(now, compareConditions)
	logConditions(ctx, a.told, now)
	a.told = now
}
