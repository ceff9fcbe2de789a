package connectivity_test

import (
	"fmt"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
)

// The clusters of the benchmarks: 50 workloads a namespace, each with a label of
// its own and one of three tiers; namespaces of five teams; a policy for every
// four workloads. Of a namespace's: a default deny, DNS, the team's namespaces,
// ranges outside, and one workload or tier to another on a port of its own.
const workloadsPerNamespace = 50

func benchCluster(n int) *connectivity.Cluster {
	c := &connectivity.Cluster{}
	for i := range n {
		space := i / workloadsPerNamespace
		c.Workloads = append(c.Workloads, connectivity.Workload{
			Kind: "Deployment", NamespacedName: named(fmt.Sprintf("ns-%02d", space), fmt.Sprintf("app-%04d", i)),
			Labels: map[string]string{"app": fmt.Sprintf("app-%04d", i), "tier": fmt.Sprintf("tier-%d", i%3)},
			Ports:  []policy.NamedPort{{Name: "http", Protocol: policy.TCP, Number: uint16(8080 + i%4)}},
		})
		if i%workloadsPerNamespace == 0 {
			name := fmt.Sprintf("ns-%02d", space)
			c.Namespaces = append(c.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
				Name: name, Labels: map[string]string{corev1.LabelMetadataName: name, "team": fmt.Sprintf("team-%d", space%5)},
			}})
		}
	}
	for i := range n / 4 {
		c.Policies = append(c.Policies, benchPolicy(i%len(c.Namespaces), i/len(c.Namespaces)))
	}
	return c
}

func label(key, value string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
}

func tcp(number int) []networkingv1.NetworkPolicyPort {
	port := intstr.FromInt32(int32(number))
	return []networkingv1.NetworkPolicyPort{{Port: &port}}
}

// benchPolicy is the n-th policy of a namespace.
func benchPolicy(space, n int) *networkingv1.NetworkPolicy {
	p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: fmt.Sprintf("ns-%02d", space), Name: fmt.Sprintf("policy-%02d", n)}}
	both := []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	team := label("team", fmt.Sprintf("team-%d", space%5))
	http, udp, dns := intstr.FromString("http"), corev1.ProtocolUDP, intstr.FromInt32(53)
	peer := func(p networkingv1.NetworkPolicyPeer) []networkingv1.NetworkPolicyPeer {
		return []networkingv1.NetworkPolicyPeer{p}
	}
	switch n {
	case 0:
		p.Spec = networkingv1.NetworkPolicySpec{PolicyTypes: both}
	case 1:
		p.Spec = networkingv1.NetworkPolicySpec{PolicyTypes: both[1:], Egress: []networkingv1.NetworkPolicyEgressRule{
			{To: peer(networkingv1.NetworkPolicyPeer{NamespaceSelector: label(corev1.LabelMetadataName, "ns-00")}), Ports: []networkingv1.NetworkPolicyPort{{Protocol: &udp, Port: &dns}}},
			{To: peer(networkingv1.NetworkPolicyPeer{NamespaceSelector: team}), Ports: []networkingv1.NetworkPolicyPort{{Port: &http}}},
			{To: peer(networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{}})},
		}}
	case 2:
		p.Spec = networkingv1.NetworkPolicySpec{PodSelector: *label("tier", "tier-0"), Ingress: []networkingv1.NetworkPolicyIngressRule{{
			From: peer(networkingv1.NetworkPolicyPeer{NamespaceSelector: team, PodSelector: label("tier", "tier-1")}), Ports: []networkingv1.NetworkPolicyPort{{Port: &http}},
		}}}
	case 3:
		p.Spec = networkingv1.NetworkPolicySpec{PodSelector: *label("tier", "tier-1"), Ingress: []networkingv1.NetworkPolicyIngressRule{{
			From: peer(networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: "0.0.0.0/0", Except: []string{"10.0.0.0/8"}}}), Ports: tcp(443),
		}}}
	case 4:
		p.Spec = networkingv1.NetworkPolicySpec{PolicyTypes: both[1:], PodSelector: *label("tier", "tier-2"), Egress: []networkingv1.NetworkPolicyEgressRule{{
			To: peer(networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: fmt.Sprintf("203.0.%d.0/24", space)}}), Ports: tcp(443),
		}}}
	default:
		at := space*workloadsPerNamespace + n
		p.Spec = networkingv1.NetworkPolicySpec{PodSelector: *label("app", fmt.Sprintf("app-%04d", at)), Ingress: []networkingv1.NetworkPolicyIngressRule{{
			From: []networkingv1.NetworkPolicyPeer{{PodSelector: label("app", fmt.Sprintf("app-%04d", at+1))}, {PodSelector: label("tier", "tier-2")}}, Ports: tcp(5000 + n),
		}}}
	}
	return p
}

var sizes = []int{100, 300, 2000}

// BenchmarkList is all pairs on all ports with their rules, grouped.
func BenchmarkList(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := benchCluster(n)
			lines := 0
			for b.Loop() {
				lines = len(connectivity.New(c).List(connectivity.ListOptions{Why: true}).Lines)
			}
			b.ReportMetric(float64(lines), "lines")
			b.ReportMetric(float64(len(c.Policies)), "policies")
		})
	}
}

// BenchmarkListOpen is the same where most workloads are isolated by no policy,
// so that nearly all pairs pass, and each of the others has ports of its own.
func BenchmarkListOpen(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := benchCluster(n)
			for i, p := range c.Policies {
				p.Spec = networkingv1.NetworkPolicySpec{
					PodSelector: *label("app", fmt.Sprintf("app-%04d", i%len(c.Namespaces)*workloadsPerNamespace+i/len(c.Namespaces))),
					Ingress: []networkingv1.NetworkPolicyIngressRule{
						{From: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: label("team", fmt.Sprintf("team-%d", i%5))}}, Ports: tcp(1000 + i)},
						{From: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: fmt.Sprintf("203.%d.%d.0/24", i/250, i%250)}}}},
					},
				}
			}
			lines := 0
			for b.Loop() {
				lines = len(connectivity.New(c).List(connectivity.ListOptions{Why: true}).Lines)
			}
			b.ReportMetric(float64(lines), "lines")
		})
	}
}

// BenchmarkEveryPair takes the rules of each pair one by one.
func BenchmarkEveryPair(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := benchCluster(n)
			rules := 0
			for b.Loop() {
				m := connectivity.New(c)
				rules = 0
				for src := range m.Ends() {
					for dst := range m.Ends() {
						for _, s := range m.Connection(src, dst) {
							rules += len(s.Egress.Grants) + len(s.Ingress.Grants)
						}
					}
				}
			}
			b.ReportMetric(float64(rules), "rules")
		})
	}
}

func BenchmarkDiff(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			before, after := benchCluster(n), benchCluster(n)
			after.Policies = after.Policies[:len(after.Policies)-1]
			after.Policies[2] = benchPolicy(2, 3)
			changes := 0
			for b.Loop() {
				changes = len(connectivity.Diff(before, after).Changes)
			}
			b.ReportMetric(float64(changes), "changes")
		})
	}
}

func BenchmarkExposure(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := benchCluster(n)
			c.PodRanges = []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}
			groups := 0
			for b.Loop() {
				groups = len(connectivity.NewExposure(c).Groups)
			}
			b.ReportMetric(float64(groups), "groups")
		})
	}
}
