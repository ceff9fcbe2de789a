package question

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
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
	// twins are second Pods of workloads over each family, by the name of the first.
	twins map[types.NamespacedName][2]policy.End
	// hosts are the Pods on the host network for whose nodes' addresses others stand in.
	hosts map[netip.Addr]types.NamespacedName
	// where is made when it is first needed.
	where *whereabouts
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
		if unaddressed(p) && !over(p) {
			w.objects.Pods[i] = w.imagine(p.DeepCopy())
		}
	}
	for _, o := range w.idle() {
		w.imagineWorkload(o)
	}
}

// unaddressed reports whether nothing tells the address of a Pod; on the host network it is
// its node's.
func unaddressed(p *corev1.Pod) bool {
	s := &p.Status
	return s.PodIP == "" && len(s.PodIPs) == 0 && (!p.Spec.HostNetwork || s.HostIP == "" && len(s.HostIPs) == 0)
}

func over(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
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
	name := types.NamespacedName{Namespace: p.Namespace, Name: p.Name}
	if w.pods[name] = p; p.Spec.HostNetwork {
		w.made.hosts[v4], w.made.hosts[v6] = name, name
	}
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
		w.made.twins[name] = [2]policy.End{w.Index.EndOfPod(pod, v4), w.Index.EndOfPod(pod, v6)}
	}
	return true
}

// hostOf is the Pod on the host network for whose address that of an end stands in, empty
// for other ends.
func (w *World) hostOf(e policy.End) string {
	if e.Pod != nil || !StandIn(e.Addr) {
		return ""
	}
	return w.made.hosts[e.Addr].String()
}

// endName is EndName, or the Pod on the host network that is meant.
func (w *World) endName(e policy.End) string { return cmp.Or(w.hostOf(e), EndName(e)) }

// family is 0 for IPv4, and 1 for IPv6.
func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}
