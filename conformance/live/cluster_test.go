// Package live holds the engine to what it promises connections: that a change
// of policy cuts those that it forbids, at once and whoever talks, and that it
// does nothing to the others. All of it with real packets.
package live

import (
	"flag"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/conformance/enforced"
	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/enforcer"
)

var (
	changesFlag = flag.Int("sluice.changes", 100, "policy changes through which allowed flows must lose nothing")
	roundsFlag  = flag.Int("sluice.rounds", 4, "changes that forbid flows at full rate, each held against the marks of conntrack")
	seedFlag    = flag.Uint64("sluice.seed", 1, "seed of the random changes")
)

var topologies = []lab.Topology{lab.Bridge, lab.PTP}

// seeded is a generator for a test's random changes.
func seeded(salt uint64) *rand.Rand { return rand.New(rand.NewPCG(*seedFlag, salt)) }

// quick has each delivered change enforced by itself.
func quick(c *enforcer.Config) { c.MinInterval = time.Millisecond }

// pod is a dual-stack Pod on a node.
func pod(namespace, name, node, addr4, addr6 string) *corev1.Pod {
	p := enforced.Pod(namespace, name, addr4, addr6)
	p.Spec.NodeName = node
	return p
}

func nameOf(p *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: p.Namespace, Name: p.Name}
}

// addrs are a Pod's two addresses.
func addrs(p *corev1.Pod) []netip.Addr {
	var list []netip.Addr
	for _, ip := range p.Status.PodIPs {
		list = append(list, netip.MustParseAddr(ip.IP))
	}
	return list
}

func ingress(peers []networkingv1.NetworkPolicyPeer, ports ...networkingv1.NetworkPolicyPort) networkingv1.NetworkPolicyIngressRule {
	return networkingv1.NetworkPolicyIngressRule{From: peers, Ports: ports}
}

func egress(peers []networkingv1.NetworkPolicyPeer, ports ...networkingv1.NetworkPolicyPort) networkingv1.NetworkPolicyEgressRule {
	return networkingv1.NetworkPolicyEgressRule{To: peers, Ports: ports}
}

// tcpUDP are the ports from first to last of both protocols.
func tcpUDP(first, last int32) []networkingv1.NetworkPolicyPort {
	return append(ports(corev1.ProtocolTCP, first, last), ports(corev1.ProtocolUDP, first, last)...)
}

func ports(protocol corev1.Protocol, first, last int32) []networkingv1.NetworkPolicyPort {
	port := intstr.FromInt32(first)
	p := networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: &port}
	if last != first {
		p.EndPort = &last
	}
	return []networkingv1.NetworkPolicyPort{p}
}

func blocks(prefixes ...string) (peers []networkingv1.NetworkPolicyPeer) {
	for _, p := range prefixes {
		peers = append(peers, networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: p}})
	}
	return peers
}

// podsIn are the Pods app=APP in namespaces with the label.
func podsIn(key, value, app string) []networkingv1.NetworkPolicyPeer {
	pods := enforced.App(app)
	return []networkingv1.NetworkPolicyPeer{{
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{key: value}},
		PodSelector:       &pods,
	}}
}

func labelledNamespace(name, key, value string) *corev1.Namespace {
	n := enforced.Namespace(name)
	n.Labels[key] = value
	return n
}

// relabelled is a copy of the Pod with another app label.
func relabelled(p *corev1.Pod, app string) *corev1.Pod {
	p = p.DeepCopy()
	p.Labels["app"] = app
	return p
}

// unexpected fails the test for each flow that does not do as it should.
func unexpected(t *testing.T, c *enforced.Cluster, what string, want bool, flows ...lab.Flow) {
	t.Helper()
	got, err := c.Probe(t.Context(), flows)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range flows {
		if got[i] != want {
			t.Errorf("%s: %s: reached %t, want %t", what, f, got[i], want)
		}
	}
}
