package compiler

import (
	"fmt"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-net/sluice/policy"
)

var sizes = []int{100, 1_000, 10_000, 100_000}

// localPods is how many of a cluster's Pods are on one node.
const localPods = 100

// populated is a node of a cluster: a tenth of the apps are on it, each with a
// policy for its own callers and one that lets everybody scrape.
func populated(tb testing.TB, pods int) *bench {
	b := newBench(tb, testConfig())
	apps := max(pods/20, 10)
	for i := range pods {
		node := "there"
		if i < localPods {
			node = "here"
		}
		b.x.SetPod(b.pod(fmt.Sprintf("pod-%d", i), node, fmt.Sprintf("app-%d", i%apps),
			fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), fmt.Sprintf("fd00::1:%x:%x", i>>16, i&0xffff)))
	}
	for i := range apps {
		app := fmt.Sprintf("app-%d", i)
		callers := ingress("callers-"+app, app, from(8080, fmt.Sprintf("app-%d", (i+1)%apps), fmt.Sprintf("app-%d", (i+2)%apps)))
		callers.Spec.Ingress = append(callers.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{
			From: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "192.168.0.0/16", Except: []string{"192.168.1.0/24"}}}},
		})
		scrape := ingress("scrape-"+app, app, from(9090))
		scrape.Spec.Ingress[0].From = []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{}}}
		for _, np := range []*networkingv1.NetworkPolicy{callers, scrape} {
			if err := b.x.SetPolicy(np); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return b
}

func overSizes(b *testing.B, run func(b *testing.B, pods int)) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("pods=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			run(b, n)
		})
	}
}

// BenchmarkCompile is a cold start, after the index is filled.
func BenchmarkCompile(b *testing.B) {
	overSizes(b, func(b *testing.B, pods int) {
		p := populated(b, pods)
		ch := p.x.Changes()
		for b.Loop() {
			c, err := New(testConfig())
			if err != nil {
				b.Fatal(err)
			}
			c.Update(p.x, ch, p.links)
		}
	})
}

// BenchmarkUpdateMember is a Pod elsewhere that comes or goes, a peer of some
// local Pods.
func BenchmarkUpdateMember(b *testing.B) {
	overSizes(b, func(b *testing.B, pods int) {
		p := populated(b, pods)
		p.update()
		come := p.bothWays(p.pod("new", "there", "app-2", "10.200.0.1", "fd00:1::1"))
		i := 0
		for b.Loop() {
			if plan := p.c.Update(p.x, come[i%2], p.links); len(plan.Commit) == 0 {
				b.Fatal("nothing to do")
			}
			i++
		}
	})
}

// bothWays is what the index tells when the Pod comes, and when it goes: the
// benchmark is of the compiler alone.
func (b *bench) bothWays(pod *policy.Pod) [2]policy.Changes {
	b.x.SetPod(pod)
	comes := b.x.Changes()
	b.x.DeletePod(pod.NamespacedName)
	return [2]policy.Changes{comes, b.x.Changes()}
}

// BenchmarkUpdatePolicy changes the policies of a few local Pods there and
// back: their chains are made anew.
func BenchmarkUpdatePolicy(b *testing.B) {
	overSizes(b, func(b *testing.B, pods int) {
		p := populated(b, pods)
		p.update()
		i := 0
		for b.Loop() {
			if err := p.x.SetPolicy(ingress("callers-app-1", "app-1", from(8080+i%2, "app-3"))); err != nil {
				b.Fatal(err)
			}
			p.update()
			i++
		}
	})
}

// BenchmarkReplace is the whole ruleset as one transaction.
func BenchmarkReplace(b *testing.B) {
	overSizes(b, func(b *testing.B, pods int) {
		p := populated(b, pods)
		p.update()
		for b.Loop() {
			if len(p.c.Replace()) == 0 {
				b.Fatal("nothing to do")
			}
		}
	})
}

// BenchmarkDiff compares two rulesets that differ in one element of a set.
func BenchmarkDiff(b *testing.B) {
	overSizes(b, func(b *testing.B, pods int) {
		p := populated(b, pods)
		p.update()
		before := p.c.Ruleset()
		p.x.SetPod(p.pod("new", "there", "app-2", "10.200.0.1"))
		p.update()
		after := p.c.Ruleset()
		for b.Loop() {
			if plan := Diff(before, after); len(plan.Commit) == 0 {
				b.Fatal("nothing to do")
			}
		}
	})
}
