package policy_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/policy"
)

// The clusters of the benchmarks: 50 Pods a namespace in 10 Deployments, 100
// Pods a node, namespaces of 20 teams, 4 policies a namespace: a default deny,
// the team's namespaces, one Deployment to another, and DNS by port name. The
// Pods of a namespace are spread over the nodes.
const (
	podsPerNamespace = 50
	podsPerNode      = 100
	teams            = 20
)

func benchNamespace(i int) (string, map[string]string) {
	name := fmt.Sprintf("ns-%d", i)
	return name, map[string]string{
		"kubernetes.io/metadata.name": name,
		"team":                        fmt.Sprintf("team-%d", i%teams),
	}
}

// benchPod shares no memory with another Pod, as decoding gives them.
func benchPod(n, i int) *policy.Pod {
	namespace, app := i/podsPerNamespace, i%10
	// Five nodes share the Pods of ten namespaces, each Deployment on all.
	const nodes = 5
	node := min(n/podsPerNode, i/(nodes*podsPerNode)*nodes+(i/10+i)%nodes)
	if n <= podsPerNode {
		node = 0
	}
	addr := func(a, b byte, n int) netip.Addr {
		return netip.AddrFrom4([4]byte{a, b + byte(n>>16), byte(n >> 8), byte(n)})
	}
	return &policy.Pod{
		NamespacedName: types.NamespacedName{
			Namespace: fmt.Sprintf("ns-%d", namespace),
			Name:      fmt.Sprintf("app-%d-5d4f8c7b9d-%05d", app, i),
		},
		UID:       types.UID(fmt.Sprintf("0f1e2d3c-4b5a-6978-8796-%012d", i)),
		Node:      fmt.Sprintf("node-%d", node),
		NodeAddrs: []netip.Addr{addr(192, 168, node)},
		Labels: map[string]string{
			strings.Clone("app.kubernetes.io/name"):      fmt.Sprintf("app-%d", app),
			strings.Clone("app.kubernetes.io/component"): fmt.Sprintf("tier-%d", app%3),
			strings.Clone("app.kubernetes.io/part-of"):   strings.Clone("shop"),
			strings.Clone("pod-template-hash"):           fmt.Sprintf("5d4f8c%d-%d", app, namespace),
		},
		Addrs: []netip.Addr{addr(10, 0, i+1)},
		Ports: []policy.NamedPort{{Name: strings.Clone("http"), Protocol: policy.TCP, Number: 8080}},
		// Seconds apart, so that the reuse of an address has a newest Pod.
		Created: 1_700_000_000 + int64(i),
	}
}

func benchPolicy(namespace, name string, spec networkingv1.NetworkPolicySpec) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       spec,
	}
}

func app(i int) metav1.LabelSelector {
	return metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": fmt.Sprintf("app-%d", i)}}
}

func benchPolicies(i int) []*networkingv1.NetworkPolicy {
	name, labels := benchNamespace(i)
	team := &metav1.LabelSelector{MatchLabels: map[string]string{"team": labels["team"]}}
	web, http := app(1), intstr.FromString("http")
	both := []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	return []*networkingv1.NetworkPolicy{
		benchPolicy(name, "default-deny", networkingv1.NetworkPolicySpec{PolicyTypes: both}),
		benchPolicy(name, "team", networkingv1.NetworkPolicySpec{
			Ingress: []networkingv1.NetworkPolicyIngressRule{{
				From: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: team, PodSelector: &web}},
			}},
		}),
		benchPolicy(name, "web", networkingv1.NetworkPolicySpec{
			PodSelector: app(2),
			Ingress: []networkingv1.NetworkPolicyIngressRule{{
				From:  []networkingv1.NetworkPolicyPeer{{PodSelector: &web}},
				Ports: []networkingv1.NetworkPolicyPort{{Port: &http}},
			}},
		}),
		benchPolicy(name, "out", networkingv1.NetworkPolicySpec{
			PolicyTypes: both[1:],
			Egress: []networkingv1.NetworkPolicyEgressRule{{
				To:    []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "ns-0"}}}},
				Ports: []networkingv1.NetworkPolicyPort{{Port: &http}},
			}},
		}),
	}
}

// benchIndex is a cluster of n Pods seen from one of its nodes.
func benchIndex(tb testing.TB, n int) *policy.Index {
	tb.Helper()
	x := benchIndexWithoutPods(tb, n)
	for i := range n {
		x.SetPod(benchPod(n, i))
	}
	x.Changes()
	return x
}

func benchIndexWithoutPods(tb testing.TB, n int) *policy.Index {
	tb.Helper()
	x := policy.NewIndex(policy.Options{Node: "node-0"})
	for i := range (n + podsPerNamespace - 1) / podsPerNamespace {
		x.SetNamespace(benchNamespace(i))
		for _, np := range benchPolicies(i) {
			if err := x.SetPolicy(np); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return x
}

// benchEvents each change the cluster and change it back. What they touch does
// not depend on the size of the cluster.
func benchEvents(tb testing.TB, n int) map[string]func(x *policy.Index, ask func()) {
	extra := func() *policy.Pod {
		p := benchPod(n, 1) // app-1 of a namespace with local Pods: in several groups
		p.Name, p.UID, p.Node = "extra", "extra", "elsewhere"
		p.Addrs = []netip.Addr{netip.MustParseAddr("10.200.0.1")}
		return p
	}
	web := app(1)
	addAndDelete := func(np *networkingv1.NetworkPolicy) func(x *policy.Index, ask func()) {
		return func(x *policy.Index, ask func()) {
			if err := x.SetPolicy(np); err != nil {
				tb.Fatal(err)
			}
			ask()
			x.DeletePolicy(types.NamespacedName{Namespace: np.Namespace, Name: np.Name})
			ask()
		}
	}
	return map[string]func(x *policy.Index, ask func()){
		"pod-add-delete": func(x *policy.Index, ask func()) {
			p := extra()
			x.SetPod(p)
			ask()
			x.DeletePod(p.NamespacedName)
			ask()
		},
		"pod-relabel": func(x *policy.Index, ask func()) {
			p := benchPod(n, 1)
			p.Labels["app.kubernetes.io/name"] = "app-2"
			x.SetPod(p)
			ask()
			x.SetPod(benchPod(n, 1))
			ask()
		},
		"pod-resync": func(x *policy.Index, ask func()) {
			x.SetPod(benchPod(n, 1))
			ask()
		},
		"namespace-relabel": func(x *policy.Index, ask func()) {
			name, labels := benchNamespace(0)
			labels["team"] = "nobody"
			x.SetNamespace(name, labels)
			ask()
			x.SetNamespace(benchNamespace(0))
			ask()
		},
		"policy-add-delete-remote": addAndDelete(benchPolicy("nowhere", "extra", networkingv1.NetworkPolicySpec{
			Ingress: []networkingv1.NetworkPolicyIngressRule{{
				From: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{}}},
			}},
		})),
		"policy-add-delete-local": addAndDelete(benchPolicy("ns-0", "extra", networkingv1.NetworkPolicySpec{
			PodSelector: app(2),
			Ingress: []networkingv1.NetworkPolicyIngressRule{{
				From: []networkingv1.NetworkPolicyPeer{{
					PodSelector:       &web,
					NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "ns-0"}},
				}},
			}},
		})),
	}
}

func BenchmarkEvents(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000, 100_000} {
		x := benchIndex(b, n)
		for name, event := range benchEvents(b, n) {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					event(x, func() { x.Changes() })
				}
			})
		}
	}
}

// TestEventCostIsFlat counts selectors matched, not time.
func TestEventCostIsFlat(t *testing.T) {
	const small, large = 1_000, 20_000
	looks := func(n int) map[string]int {
		x, out := benchIndex(t, n), map[string]int{}
		for name, event := range benchEvents(t, n) {
			before := x.Looked()
			event(x, func() { x.Changes() })
			out[name] = x.Looked() - before
		}
		return out
	}
	few, many := looks(small), looks(large)
	for name, n := range many {
		// The first node's Pods are other ones in a larger cluster, but as many.
		if n > 2*few[name]+10 {
			t.Errorf("%s matches %d selectors with %d Pods, %d with %d", name, n, large, few[name], small)
		}
	}
	t.Log(few, many)
}

// TestBytesPerPod guards the memory that a Pod of another node costs.
func TestBytesPerPod(t *testing.T) {
	const pods, most = 40_000, 700
	heap := func() int {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	x := benchIndexWithoutPods(t, pods)
	before := heap()
	for i := range pods {
		x.SetPod(benchPod(pods, i))
	}
	x.Changes()
	per := (heap() - before) / pods
	t.Logf("%d bytes a Pod", per)
	if per > most {
		t.Errorf("a Pod costs %d bytes, more than %d", per, most)
	}
	runtime.KeepAlive(x)
}

func BenchmarkEvaluate(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000, 100_000} {
		x := benchIndex(b, n)
		flows := make([]policy.Flow, 1024)
		for i := range flows {
			flows[i] = policy.Flow{
				Src:      policy.End{Addr: benchPod(n, i*7919%n).Addrs[0]},
				Dst:      policy.End{Addr: benchPod(n, i*104729%n).Addrs[0]},
				Protocol: policy.TCP, Port: 8080,
			}
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				x.Evaluate(flows[i%len(flows)])
				i++
			}
		})
	}
}

// BenchmarkColdStart is an agent's start in a cluster.
func BenchmarkColdStart(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				benchIndex(b, n)
			}
		})
	}
}
