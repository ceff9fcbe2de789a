package question

import (
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
)

// policyEnd is an end as connectivity knows it.
type policyEnd struct {
	pod  types.NamespacedName
	addr netip.Addr
}

func endKey(e policy.End) policyEnd {
	if e.Pod != nil && StandIn(e.Addr) {
		return policyEnd{pod: e.Pod.NamespacedName}
	}
	return policyEnd{addr: e.Addr}
}

// opinion is what connectivity says of two ends, of which at least one has an address that
// stands in.
type opinion struct {
	m        *connectivity.Matrix
	src, dst int
	// placed are the flow's ends over each family, with addresses from where theirs are.
	placed [2]*placed
}

// hanging is what becomes of a flow with an address that stands in.
type hanging struct {
	// on is on what the verdict hangs, empty if on nothing.
	on []string
	// placed judges it where on is empty, nil if the addresses that stand in are as good.
	placed *placed
}

// hangs says on what a flow hangs where it hangs on an address that is not known.
func (w *World) hangs(f policy.Flow) hanging {
	if !w.matters(f) {
		return hanging{}
	}
	o := w.opinion(f)
	if o == nil {
		return hanging{}
	}
	_, v4, v6 := o.m.Allows(o.src, o.dst, f.Protocol, f.Port)
	if [2]connectivity.Answer{v4, v6}[family(f.Src.Addr)] != connectivity.Depends {
		return hanging{placed: w.place(o, f)}
	}
	var out []string
	for _, s := range o.m.Connection(o.src, o.dst) {
		if s.Protocol != f.Protocol && (s.Protocol != connectivity.OtherProtocols || f.Protocol.HasPorts()) || f.Port < s.First || f.Port > s.Last {
			continue
		}
		out = once(out, w.conditions(f.Dst, s.Egress.Conditions())...)
		out = once(out, w.conditions(f.Src, s.Ingress.Conditions())...)
	}
	return hanging{on: out}
}

// matters reports whether addresses may decide a flow that has one that stands in: a policy
// has blocks, or the own node of a Pod may be meant.
func (w *World) matters(f policy.Flow) bool {
	if !StandIn(f.Src.Addr) && !StandIn(f.Dst.Addr) {
		return false
	}
	if f.Src.Pod == nil {
		return f.Dst.Pod != nil && (StandIn(f.Src.Addr) || w.isNodes(f.Src.Addr))
	}
	return w.hasBlocks(f.Src.Pod.Namespace, policy.Egress) || f.Dst.Pod != nil && w.hasBlocks(f.Dst.Pod.Namespace, policy.Ingress)
}

// conditions say in words what must hold of an end.
func (w *World) conditions(of policy.End, list []connectivity.Condition) []string {
	var out []string
	for _, c := range list {
		switch {
		case c.Block != nil && StandIn(of.Addr):
			out = append(out, "the address of "+w.endName(of)+" is in "+c.Block.String())
		case c.Block == nil && c.OwnNode:
			out = append(out, "the source is on the destination's own node, which always reaches it")
		}
	}
	return out
}

// onNode says that a verdict hangs on the node of a Pod on the host network, which is
// not known, where a node on the way translates the connection: the Pod's own node always
// reaches it.
func (w *World) onNode(p *Path, v *policy.Verdict) []string {
	if src := p.Ingress.Src; src.Pod == nil && StandIn(src.Addr) && v.Egress.Allowed && v.Ingress.Reason == policy.ReasonNoRule {
		return []string{"the source is on the destination's own node, which always reaches it"}
	}
	return nil
}

func (w *World) hasBlocks(namespace string, d policy.Direction) bool {
	key := blockKey{namespace, d}
	has, known := w.made.blocks[key]
	if known {
		return has
	}
	for _, np := range w.objects.Policies {
		has = has || np.Namespace == namespace && len(blocksOf(np, d)) > 0
	}
	w.made.blocks[key] = has
	return has
}

// blocksOf are the ipBlocks of a policy in a direction.
func blocksOf(np *networkingv1.NetworkPolicy, d policy.Direction) []*networkingv1.IPBlock {
	var peers []networkingv1.NetworkPolicyPeer
	for i := range np.Spec.Ingress {
		if d == policy.Ingress {
			peers = append(peers, np.Spec.Ingress[i].From...)
		}
	}
	for i := range np.Spec.Egress {
		if d == policy.Egress {
			peers = append(peers, np.Spec.Egress[i].To...)
		}
	}
	var out []*networkingv1.IPBlock
	for i := range peers {
		if peers[i].IPBlock != nil {
			out = append(out, peers[i].IPBlock)
		}
	}
	return out
}

// opinion asks connectivity about two ends, of which the world is small: their
// namespaces' policies.
func (w *World) opinion(f policy.Flow) *opinion {
	key := [2]policyEnd{endKey(f.Src), endKey(f.Dst)}
	if o, known := w.made.answers[key]; known {
		return o
	}
	where, err := w.whereabouts()
	if err != nil {
		return nil // it is asked again when they are there
	}
	c := &connectivity.Cluster{
		Namespaces: w.objects.Namespaces, Policies: w.policiesOf(f), PodRanges: where.pods, NodeRanges: where.nodes,
	}
	ends := [2]policy.End{f.Src, f.Dst}
	for i, e := range ends {
		if work, is := w.workloadOf(e); is {
			work.Kind = sides[i]
			c.Workloads = append(c.Workloads, work)
		}
	}
	o := &opinion{m: connectivity.New(c)}
	var found [2]bool
	o.src, found[0] = endIn(o.m, 0, ends[0])
	o.dst, found[1] = endIn(o.m, 1, ends[1])
	if !found[0] || !found[1] {
		o = nil
	}
	w.made.answers[key] = o
	return o
}

// sides are the kinds of the two workloads that an opinion is about.
var sides = [2]string{"src", "dst"}

// workloadOf is an end as connectivity is asked about it; false for an address that is
// nobody's.
func (w *World) workloadOf(e policy.End) (connectivity.Workload, bool) {
	switch {
	case e.Pod == nil && StandIn(e.Addr):
		return connectivity.Workload{NamespacedName: w.made.hosts[e.Addr], HostNetwork: true}, true
	case e.Pod == nil && w.isNodes(e.Addr):
		return connectivity.Workload{HostNetwork: true, Addrs: []netip.Addr{e.Addr}}, true
	case e.Pod == nil:
		return connectivity.Workload{}, false
	}
	work := connectivity.Workload{NamespacedName: e.Pod.NamespacedName, Labels: e.Pod.Labels, Ports: e.Pod.Ports}
	if !StandIn(e.Addr) {
		work.Addrs = []netip.Addr{e.Addr} // the other families have paths of their own
	}
	return work, true
}

// isNodes reports whether an address is a node's.
func (w *World) isNodes(a netip.Addr) bool {
	nodes, err := w.nodeTable()
	return err == nil && nodes.byAddr[a] != ""
}

// endIn finds the source or the destination of an opinion.
func endIn(m *connectivity.Matrix, side int, e policy.End) (at int, ok bool) {
	at = slices.IndexFunc(m.Ends(), func(end connectivity.End) bool {
		return slices.ContainsFunc(end.Workloads, func(x connectivity.Name) bool { return x.Kind == sides[side] })
	})
	if at < 0 && e.Pod == nil {
		over := m.Overlapping(netip.PrefixFrom(e.Addr, e.Addr.BitLen()))
		if len(over) == 0 {
			return 0, false
		}
		return over[0], true
	}
	return at, at >= 0
}

// policiesOf are those of the namespaces of a flow's Pods.
func (w *World) policiesOf(f policy.Flow) []*networkingv1.NetworkPolicy {
	var out []*networkingv1.NetworkPolicy
	for _, np := range w.objects.Policies {
		if f.Src.Pod != nil && np.Namespace == f.Src.Pod.Namespace || f.Dst.Pod != nil && np.Namespace == f.Dst.Pod.Namespace {
			out = append(out, np)
		}
	}
	return out
}
