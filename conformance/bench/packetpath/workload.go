package packetpath

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/policy"
)

// Names and numbers of the workload. Policies mix what the API has: single
// ports, ranges, ports by name, peers by label and by address range with an
// exception.
const (
	namespace = "bench"
	nodeName  = "node"

	// groups is how many selectors the policies' peers take turns with, and
	// members how many Pods elsewhere in the cluster each selects.
	groups, members = 50, 4

	httpPort       = 8080 // named http; for connections
	metricsPort    = 9102 // named metrics
	throughputPort = 5201 // in the range 5200-5209
	packetPort     = 5301 // in the range 5300-5309
)

// portRange is a port or more of a protocol.
type portRange struct {
	protocol  corev1.Protocol
	low, high uint16
	// name is set for a port that the policy names.
	name string
}

// rule is a rule of a policy as every shape can write it: any of the ports, all
// if there are none, from any of the peers.
type rule struct {
	ports []portRange
	// app selects peers by their label, if not empty.
	app string
	// block and except are an address range and a part of it that does not
	// belong.
	block, except netip.Prefix
}

// policySpec is a NetworkPolicy for ingress before it is put in anybody's words.
type policySpec struct {
	name string
	// app is the label of the one Pod it selects.
	app   string
	rules []rule
}

// pod is a Pod of the node or, as a peer, of another.
type pod struct {
	name, app string
	addr      netip.Addr
}

// workload is what a node has to enforce under a load.
type workload struct {
	load Load
	// local are the node's Pods in the order in which the linear shapes ask for
	// them; the server is in the middle, which is what a walk costs on average.
	local    []pod
	policies []policySpec
}

const (
	clientApp   = "client"
	serverApp   = "server"
	strangerApp = "stranger"
	peerApp     = "peer-0"
)

// localPod is the node's nth Pod: client, server, a Pod that nothing allows, one
// that some rules allow, and others.
func localPod(n int) pod {
	apps := []string{clientApp, serverApp, strangerApp, peerApp}
	p := pod{name: fmt.Sprintf("local-%d", n), app: fmt.Sprintf("local-%d", n), addr: netip.AddrFrom4([4]byte{10, 20, byte(n / 250), byte(2 + n%250)})}
	if n < len(apps) {
		p.app = apps[n]
	}
	return p
}

// fillers are the first local Pods that others' policies may select.
const fillers = 4

// remotePods are the Pods elsewhere in the cluster.
func remotePods() []pod {
	var out []pod
	for n := range groups * members {
		out = append(out, pod{
			name: fmt.Sprintf("remote-%d", n), app: fmt.Sprintf("peer-%d", n%groups),
			addr: netip.AddrFrom4([4]byte{10, 21, byte(n / 250), byte(2 + n%250)}),
		})
	}
	return out
}

func newWorkload(l Load) workload {
	w := workload{load: l}
	for n := range l.LocalPods {
		w.local = append(w.local, localPod(n))
	}
	middle := len(w.local) / 2
	w.local[1], w.local[middle] = w.local[middle], w.local[1]
	for n := range l.Policies {
		p := ordinaryPolicy(fmt.Sprintf("server-%05d", n), serverApp, n)
		// The one that allows what is measured is in the middle, too.
		if n == l.Policies/2 {
			p.rules = append(p.rules, rule{app: clientApp, ports: []portRange{
				{protocol: corev1.ProtocolTCP, low: httpPort, high: httpPort, name: "http"},
				{protocol: corev1.ProtocolTCP, low: 5200, high: 5209},
				{protocol: corev1.ProtocolUDP, low: 5300, high: 5309},
			}})
		}
		w.policies = append(w.policies, p)
	}
	for n := range l.Elsewhere {
		target := localPod(fillers + n%(l.LocalPods-fillers))
		w.policies = append(w.policies, ordinaryPolicy(fmt.Sprintf("else-%05d", n), target.app, n))
	}
	return w
}

// ordinaryPolicy is the nth policy: two rules, of which no two policies have
// the same.
func ordinaryPolicy(name, app string, n int) policySpec {
	return policySpec{name: name, app: app, rules: []rule{
		{
			ports: []portRange{
				{protocol: corev1.ProtocolTCP, low: uint16(10000 + n), high: uint16(10000 + n)},
				{protocol: corev1.ProtocolTCP, low: uint16(30000 + 3*n), high: uint16(30009 + 3*n)},
				{protocol: corev1.ProtocolTCP, low: metricsPort, high: metricsPort, name: "metrics"},
				{protocol: corev1.ProtocolUDP, low: uint16(30000 + 2*n), high: uint16(30003 + 2*n)},
			},
			app:    fmt.Sprintf("peer-%d", n%groups),
			block:  netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, byte(n), 0}), 24),
			except: netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, byte(n), 64}), 26),
		},
		{block: netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(n), 0}), 24)},
	}}
}

// server is the Pod that is measured.
func (w workload) server() pod { return localPod(1) }

// members are the addresses of the Pods with a label, the node's and others'.
func (w workload) members(app string) []netip.Addr {
	var out []netip.Addr
	for _, p := range append(remotePods(), w.local...) {
		if p.app == app {
			out = append(out, p.addr)
		}
	}
	return out
}

// objects are the workload in the words of the API, with local Pods guarded or not.
func (w workload) objects(guarded bool) []any {
	out := []any{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: namespace, Labels: map[string]string{corev1.LabelMetadataName: namespace},
	}}}
	for _, p := range w.local {
		o := p.object(nodeName)
		if !guarded {
			o.Annotations = map[string]string{policy.GuardAnnotation: "off"}
		}
		out = append(out, o)
	}
	for _, p := range remotePods() {
		out = append(out, p.object("another"))
	}
	for _, p := range w.policies {
		out = append(out, p.object())
	}
	return out
}

func (p pod) object(node string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: p.name, UID: types.UID(p.name),
			Labels: map[string]string{"app": p.app},
		},
		Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{
			Name: "main",
			Ports: []corev1.ContainerPort{
				{Name: "http", ContainerPort: httpPort, Protocol: corev1.ProtocolTCP},
				{Name: "metrics", ContainerPort: metricsPort, Protocol: corev1.ProtocolTCP},
			},
		}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: p.addr.String(),
			PodIPs: []corev1.PodIP{{IP: p.addr.String()}},
		},
	}
}

func (p policySpec) object() *networkingv1.NetworkPolicy {
	np := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: p.name},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": p.app}},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
		},
	}
	for _, r := range p.rules {
		np.Spec.Ingress = append(np.Spec.Ingress, r.object())
	}
	return np
}

func (r rule) object() networkingv1.NetworkPolicyIngressRule {
	var out networkingv1.NetworkPolicyIngressRule
	for _, p := range r.ports {
		port := networkingv1.NetworkPolicyPort{Protocol: &p.protocol}
		number := intstr.FromInt32(int32(p.low))
		if p.name != "" {
			number = intstr.FromString(p.name)
		}
		port.Port = &number
		if end := int32(p.high); p.high != p.low {
			port.EndPort = &end
		}
		out.Ports = append(out.Ports, port)
	}
	if r.app != "" {
		selector := metav1.LabelSelector{MatchLabels: map[string]string{"app": r.app}}
		out.From = append(out.From, networkingv1.NetworkPolicyPeer{PodSelector: &selector})
	}
	if r.block.IsValid() {
		block := &networkingv1.IPBlock{CIDR: r.block.String()}
		if r.except.IsValid() {
			block.Except = []string{r.except.String()}
		}
		out.From = append(out.From, networkingv1.NetworkPolicyPeer{IPBlock: block})
	}
	return out
}
