package compiler

import (
	"fmt"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
)

// BenchmarkManySelectors is one policy with so many different selectors: in one rule,
// or one in each rule with a port of its own.
func BenchmarkManySelectors(b *testing.B) {
	const selectors = 17_000
	var one networkingv1.NetworkPolicyIngressRule
	var each []networkingv1.NetworkPolicyIngressRule
	for i := range selectors {
		one.From = append(one.From, appPeer(i))
		each = append(each, networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{appPeer(i)}, Ports: []networkingv1.NetworkPolicyPort{portsBetween(1+i, 1+i)}})
	}
	for _, c := range []struct {
		name  string
		rules []networkingv1.NetworkPolicyIngressRule
	}{{"one-rule", []networkingv1.NetworkPolicyIngressRule{one}}, {"each-a-rule", each}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				n := newBench(b, testConfig())
				for i := range 1000 {
					n.x.SetPod(n.pod(fmt.Sprintf("pod-%d", i), "here", fmt.Sprintf("app-%d", i%200), fmt.Sprintf("10.0.%d.%d", i>>8, i&255)))
				}
				n.update()
				if err := n.x.SetPolicy(ingress("huge", "app-0", c.rules...)); err != nil {
					b.Fatal(err)
				}
				n.update()
				n.x.DeletePolicy(shopName("huge"))
				n.update()
			}
		})
	}
}
