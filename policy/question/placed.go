package question

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity/inventory"
	"github.com/sluice-net/sluice/policy/manifest"
)

// An address that stands in is in no block that Nodes say Pods, or nodes, are from. Where
// they say it, and all their addresses give one verdict, a flow is judged with one of these.

// whereabouts are the ranges that addresses of Pods and of nodes are from, empty where
// nothing tells.
type whereabouts struct{ pods, nodes []netip.Prefix }

// whereabouts are as a list has them. Addresses that stand in say nothing of them.
func (w *World) whereabouts() (*whereabouts, error) {
	if w.made.where != nil {
		return w.made.where, nil
	}
	found, err := w.find(Need{Kind: KindNode})
	if errors.Is(err, errMissing) {
		return nil, err
	}
	// Whoever cannot see the Nodes is told of more on what it depends.
	set := manifest.Set{Nodes: found.Nodes}
	for _, o := range w.objects.Pods {
		if a, err := netip.ParseAddr(o.Status.PodIP); err != nil || !StandIn(a) {
			set.Pods = append(set.Pods, o)
		}
	}
	w.made.where = &whereabouts{}
	w.made.where.pods, w.made.where.nodes = inventory.Ranges(&set)
	return w.made.where, nil
}

// of are the ranges of Pods, or of nodes for one on the host network.
func (w *whereabouts) of(host bool) []netip.Prefix {
	if host {
		return w.nodes
	}
	return w.pods
}

// possible leaves out addresses that stand in for those of a family that nobody has.
func (w *World) possible(host bool, standIns []netip.Addr) ([]netip.Addr, error) {
	where, err := w.whereabouts()
	if err != nil {
		return nil, err
	}
	ranges := where.of(host)
	if len(ranges) == 0 {
		return standIns, nil
	}
	return slices.DeleteFunc(slices.Clone(standIns), func(a netip.Addr) bool {
		return !slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Addr().Is4() == a.Is4() })
	}), nil
}

// placed is a flow with addresses from where those are that are not known, and an index
// in which its Pods have them.
type placed struct {
	index *policy.Index
	// instead are these addresses, by those that stand in for them.
	instead map[netip.Addr]netip.Addr
}

// place finds addresses for the ends of a flow, nil where it is not known from where.
func (w *World) place(o *opinion, f policy.Flow) *placed {
	if known := o.placed[family(f.Src.Addr)]; known != nil {
		return known
	}
	where, err := w.whereabouts()
	if err != nil {
		return nil
	}
	p := &placed{instead: map[netip.Addr]netip.Addr{}}
	taken := []netip.Addr{f.Src.Addr, f.Dst.Addr}
	for _, e := range []policy.End{f.Src, f.Dst} {
		ranges := where.of(e.Pod == nil)
		if !StandIn(e.Addr) || len(ranges) == 0 {
			continue
		}
		a, ok := addrIn(ranges, e.Addr.Is4(), taken)
		if !ok {
			return nil
		}
		p.instead[e.Addr] = a
		taken = append(taken, a)
	}
	if len(p.instead) == 0 {
		return nil
	}
	p.index = w.smallIndex(p.flow(f))
	o.placed[family(f.Src.Addr)] = p
	return p
}

// addrIn is the first address of a family in ranges that is not taken.
func addrIn(ranges []netip.Prefix, v4 bool, taken []netip.Addr) (netip.Addr, bool) {
	for _, r := range ranges {
		if r.Addr().Is4() != v4 {
			continue
		}
		for a := r.Addr(); r.Contains(a); a = a.Next() {
			if !slices.Contains(taken, a) {
				return a, true
			}
		}
	}
	return netip.Addr{}, false
}

// flow has the addresses instead of those that stand in.
func (p *placed) flow(f policy.Flow) policy.Flow {
	for _, e := range []*policy.End{&f.Src, &f.Dst} {
		if a, is := p.instead[e.Addr]; is {
			e.Addr = a
		}
	}
	return f
}

// smallIndex has what decides a flow, with its addresses.
func (w *World) smallIndex(f policy.Flow) *policy.Index {
	x := policy.NewIndex(policy.Options{})
	for _, ns := range w.objects.Namespaces {
		x.SetNamespace(ns.Name, ns.Labels)
	}
	for _, np := range w.policiesOf(f) {
		_ = x.SetPolicy(np) // what is invalid its reader has said
	}
	for _, e := range []policy.End{f.Src, f.Dst} {
		if e.Pod != nil {
			x.SetPod(&policy.Pod{NamespacedName: e.Pod.NamespacedName, Labels: e.Pod.Labels, Ports: e.Pod.Ports, Addrs: []netip.Addr{e.Addr}})
		}
	}
	return x
}
