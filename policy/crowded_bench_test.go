package policy_test

import (
	"fmt"
	"net/netip"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

// One namespace that has nearly everything: so many Pods, each with a label of its
// own as a StatefulSet gives it, and so many policies that select all of them.
func crowdedPod(i int) *policy.Pod {
	node := "there"
	if i < 500 {
		node = "node-0"
	}
	return &policy.Pod{
		NamespacedName: types.NamespacedName{Namespace: "crowd", Name: fmt.Sprintf("pod-%07d", i)},
		UID:            types.UID(fmt.Sprint(i)), Node: node, Created: 1,
		Labels: map[string]string{"app": fmt.Sprintf("app-%d", i%200), "statefulset.kubernetes.io/pod-name": fmt.Sprintf("pod-%07d", i)},
		Addrs:  []netip.Addr{netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})},
	}
}

func crowdedPolicy(i int) *networkingv1.NetworkPolicy {
	peer := metav1.LabelSelector{MatchLabels: map[string]string{"app": fmt.Sprintf("app-%d", i%200)}}
	return benchPolicy("crowd", fmt.Sprintf("policy-%03d", i), networkingv1.NetworkPolicySpec{
		Ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{PodSelector: &peer}}}},
	})
}

func crowdedIndex(tb testing.TB, pods, policies int) *policy.Index {
	tb.Helper()
	x := policy.NewIndex(policy.Options{Node: "node-0"})
	x.SetNamespace("crowd", nil)
	for i := range pods {
		x.SetPod(crowdedPod(i))
	}
	for i := range policies {
		if err := x.SetPolicy(crowdedPolicy(i)); err != nil {
			tb.Fatal(err)
		}
	}
	x.Changes()
	return x
}

// crowdedEvents each change something and change it back.
func crowdedEvents(tb testing.TB) map[string]func(x *policy.Index) {
	return map[string]func(x *policy.Index){
		"policy": func(x *policy.Index) {
			np := crowdedPolicy(999)
			if err := x.SetPolicy(np); err != nil {
				tb.Fatal(err)
			}
			x.Changes()
			x.DeletePolicy(types.NamespacedName{Namespace: np.Namespace, Name: np.Name})
			x.Changes()
		},
		"remote-pod": func(x *policy.Index) {
			p := crowdedPod(900)
			p.Labels["app"] = "app-7"
			x.SetPod(p)
			x.Changes()
			x.SetPod(crowdedPod(900))
			x.Changes()
		},
		"local-pod": func(x *policy.Index) {
			p := crowdedPod(100)
			p.Labels["app"] = "app-7"
			x.SetPod(p)
			x.Changes()
			x.SetPod(crowdedPod(100))
			x.Changes()
		},
		"namespace": func(x *policy.Index) {
			x.SetNamespace("crowd", map[string]string{"a": "b"})
			x.Changes()
			x.SetNamespace("crowd", nil)
			x.Changes()
		},
	}
}

// BenchmarkCrowdedNamespace is events where hundreds of policies select each of
// 100,000 Pods, 500 of them local.
func BenchmarkCrowdedNamespace(b *testing.B) {
	for _, pods := range []int{1_000, 100_000} {
		x := crowdedIndex(b, pods, 300)
		for name, event := range crowdedEvents(b) {
			b.Run(fmt.Sprintf("%s/%d", name, pods), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					event(x)
				}
			})
		}
	}
}

// TestOnlyLocalPodsCostPolicies: Pods elsewhere in a namespace cost a policy that
// selects all of them nothing but as peers.
func TestOnlyLocalPodsCostPolicies(t *testing.T) {
	looks := func(pods int) map[string]int {
		x, out := crowdedIndex(t, pods, 50), map[string]int{}
		for name, event := range crowdedEvents(t) {
			before := x.Looked()
			event(x)
			out[name] = x.Looked() - before
		}
		return out
	}
	few, many := looks(1_000), looks(10_000)
	for name, n := range many {
		// Ten times as many Pods are peers of the policy that comes and goes.
		if most := few[name] + 2*10_000/200; n > most {
			t.Errorf("%s matches %d selectors in a namespace of 10,000 Pods, %d of 1,000", name, n, few[name])
		}
	}
	t.Log(few, many)
}
