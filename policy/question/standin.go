package question

import (
	"encoding/binary"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/manifest"
)

// Pods that have no address yet, and those that a workload would make, are in the
// index with addresses that stand in for theirs: from 0.0.0.0/8 and 100::/64, which
// nobody can have (RFC 1122 section 3.2.1.3, RFC 6666). Where a verdict may hang on
// the address, package connectivity says so.

// StandIn reports whether an address stands for one that is not known.
func StandIn(a netip.Addr) bool {
	return netip.PrefixFrom(netip.IPv4Unspecified(), 8).Contains(a) || netip.MustParsePrefix("100::/64").Contains(a)
}

// standIns are the made-up Pods of a world.
type standIns struct {
	next uint32
	// twins are second Pods of workloads, by the name of the first.
	twins map[types.NamespacedName]policy.End
	// answers are what connectivity said of two ends.
	answers map[[2]policyEnd]*opinion
	// blocks are the namespaces that have an ipBlock in a direction.
	blocks map[blockKey]bool
}

type blockKey struct {
	namespace string
	direction policy.Direction
}

func (s *standIns) addrs() (v4, v6 netip.Addr) {
	s.next++
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], s.next&0xffffff)
	b := [16]byte{0: 1}
	binary.BigEndian.PutUint32(b[12:], s.next)
	return netip.AddrFrom4(a), netip.AddrFrom16(b)
}

// imagineAll gives every Pod without an address one, and every workload of which no
// Pod runs a Pod.
func (w *World) imagineAll() {
	w.objects.Pods = slices.Clone(w.objects.Pods)
	for i, p := range w.objects.Pods {
		if p.Status.PodIP == "" && len(p.Status.PodIPs) == 0 && !p.Spec.HostNetwork && !over(p) {
			w.objects.Pods[i] = w.imagine(p.DeepCopy())
		}
	}
	for i := range w.objects.Workloads {
		o := &w.objects.Workloads[i]
		if !w.madeByAnother(o) && !w.runs(o) {
			w.imagineWorkload(o)
		}
	}
}

func over(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

func (w *World) madeByAnother(o *manifest.Workload) bool {
	return slices.ContainsFunc(w.objects.Workloads, func(other manifest.Workload) bool {
		return other.Namespace == o.Namespace && slices.ContainsFunc(o.Owners, func(r metav1.OwnerReference) bool { return made(&r, &other) })
	})
}

func (w *World) runs(o *manifest.Workload) bool {
	var between []manifest.Workload
	if kind := makers[Kind(o.Kind)]; kind != "" {
		for _, other := range w.objects.Workloads {
			if other.Kind == string(kind) && other.Namespace == o.Namespace {
				between = append(between, other)
			}
		}
	}
	return slices.ContainsFunc(w.objects.Pods, func(p *corev1.Pod) bool {
		return p.Namespace == o.Namespace && !over(p) && belongs(p, o, between)
	})
}

// imagine gives a Pod addresses that stand in for its own.
func (w *World) imagine(p *corev1.Pod) *corev1.Pod {
	v4, v6 := w.made.addrs()
	p.Status.Phase = corev1.PodRunning
	p.Status.PodIP, p.Status.PodIPs = v4.String(), []corev1.PodIP{{IP: v4.String()}, {IP: v6.String()}}
	// What is wrong with the Pod its reader has said.
	if pod, _ := policy.PodFromAPI(p); pod != nil {
		w.Index.SetPod(pod)
	}
	w.pods[types.NamespacedName{Namespace: p.Namespace, Name: p.Name}] = p
	return p
}

// imagineWorkload makes the Pod that a workload would make, and another one of it: a
// workload that asks for itself asks for another Pod. It is false if there is no
// template.
func (w *World) imagineWorkload(o *manifest.Workload) bool {
	if o.Pod == nil || o.Done {
		return false
	}
	p := o.Pod.DeepCopy()
	name := types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
	if w.pods[name] != nil {
		name.Name += " (" + o.Kind + ")"
	}
	p.Namespace, p.Name = name.Namespace, name.Name
	controller := true
	p.OwnerReferences = []metav1.OwnerReference{{Kind: o.Kind, Name: o.Name, UID: o.UID, Controller: &controller}}
	w.objects.Pods = append(w.objects.Pods, w.imagine(p))
	if p.Spec.HostNetwork {
		return true
	}
	twin := p.DeepCopy()
	twin.Name += " (another Pod of it)"
	v4, v6 := w.made.addrs()
	twin.Status.PodIP, twin.Status.PodIPs = v4.String(), []corev1.PodIP{{IP: v4.String()}, {IP: v6.String()}}
	if pod, _ := policy.PodFromAPI(twin); pod != nil {
		w.Index.SetPod(pod)
		w.made.twins[name] = w.Index.EndOfPod(pod, v4)
	}
	return true
}

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

// opinion is what connectivity says of two ends.
type opinion struct {
	m        *connectivity.Matrix
	src, dst int
}

// hangsOn says on what a flow hangs where it hangs on an address that is not known,
// nil where it does not.
func (w *World) hangsOn(f policy.Flow) []string {
	from, to := f.Src.Pod != nil && StandIn(f.Src.Addr), f.Dst.Pod != nil && StandIn(f.Dst.Addr)
	matters := to && f.Src.Pod != nil && w.hasBlocks(f.Src.Pod.Namespace, policy.Egress) ||
		from && f.Dst.Pod != nil && w.hasBlocks(f.Dst.Pod.Namespace, policy.Ingress)
	if !matters {
		return nil
	}
	o := w.opinion(f)
	if o == nil {
		return nil
	}
	all, v4, v6 := o.m.Allows(o.src, o.dst, f.Protocol, f.Port)
	switch {
	case from && to:
	case f.Src.Addr.Is4():
		all = v4
	default:
		all = v6
	}
	if all != connectivity.Depends {
		return nil
	}
	var out []string
	for _, s := range o.m.Connection(o.src, o.dst) {
		if s.Protocol != f.Protocol && (s.Protocol != connectivity.OtherProtocols || f.Protocol.HasPorts()) || f.Port < s.First || f.Port > s.Last {
			continue
		}
		for _, c := range s.Egress.Conditions() {
			out = once(out, "the address of "+EndName(f.Dst)+" "+where(c))
		}
		for _, c := range s.Ingress.Conditions() {
			out = once(out, "the address of "+EndName(f.Src)+" "+where(c))
		}
		if len(out) == 0 {
			out = append(out, "it is IPv4 or IPv6: IPv4 is "+s.IPv4.String()+", IPv6 "+s.IPv6.String())
		}
	}
	return out
}

// onNode says that a verdict hangs on the node of a Pod on the host network, which is
// not known: a Pod's own node always reaches it, and blocks may hold a node's address.
func (w *World) onNode(p *Path, v *policy.Verdict) []string {
	src, dst := p.Ingress.Src, p.Egress.Dst
	switch {
	case src.Pod == nil && StandIn(src.Addr) && v.Egress.Allowed && v.Ingress.Reason == policy.ReasonNoRule:
		return []string{"the source is on the destination's own node, which always reaches it"}
	case dst.Pod == nil && StandIn(dst.Addr) && p.Egress.Src.Pod != nil && w.hasBlocks(p.Egress.Src.Pod.Namespace, policy.Egress) &&
		(v.Egress.Reason == policy.ReasonNoRule || v.Egress.Reason == policy.ReasonRule):
		return []string{"an ipBlock holds the address of the destination's node"}
	}
	return nil
}

func where(c connectivity.Condition) string {
	if c.Block != nil {
		return "is in " + c.Block.String()
	}
	return c.String()
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
	c := &connectivity.Cluster{Namespaces: w.objects.Namespaces}
	at := [2]int{-1, -1}
	var in []string
	for i, e := range []policy.End{f.Src, f.Dst} {
		if e.Pod == nil {
			continue
		}
		work := connectivity.Workload{
			Kind: []string{"src", "dst"}[i], NamespacedName: e.Pod.NamespacedName, Labels: e.Pod.Labels, Ports: e.Pod.Ports,
		}
		if !StandIn(e.Addr) {
			work.Addrs = e.Pod.Addrs
		}
		in = append(in, e.Pod.Namespace)
		c.Workloads = append(c.Workloads, work)
	}
	for _, np := range w.objects.Policies {
		if slices.Contains(in, np.Namespace) {
			c.Policies = append(c.Policies, np)
		}
	}
	m := connectivity.New(c)
	for i, e := range []policy.End{f.Src, f.Dst} {
		if e.Pod == nil {
			if over := m.Overlapping(netip.PrefixFrom(e.Addr, e.Addr.BitLen())); len(over) > 0 {
				at[i] = over[0]
			}
			continue
		}
		for n := range m.Ends() {
			if slices.ContainsFunc(m.Ends()[n].Workloads, func(x connectivity.Name) bool { return x.Kind == []string{"src", "dst"}[i] }) {
				at[i] = n
			}
		}
	}
	var o *opinion
	if at[0] >= 0 && at[1] >= 0 {
		o = &opinion{m, at[0], at[1]}
	}
	w.made.answers[key] = o
	return o
}
