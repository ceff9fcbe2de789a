package compiler

import (
	"fmt"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/policy"
)

// crowdOfClaims is a node on which so many Pods of so many apps claim the same
// addresses: which of them has one, nobody knows yet. All are under policies with
// named ports, and some of other Pods name them as peers.
type crowdOfClaims struct {
	*bench
	pods, apps int
	addrs      []string
}

func newCrowdOfClaims(tb testing.TB, pods, apps, addrs int) *crowdOfClaims {
	c := &crowdOfClaims{bench: newBench(tb, testConfig()), pods: pods, apps: apps}
	for i := range addrs {
		c.addrs = append(c.addrs, fmt.Sprintf("10.1.%d.%d", i>>8, i&255))
	}
	for i := range 200 {
		p := c.pod(fmt.Sprintf("other-%d", i), "here", fmt.Sprintf("app-%d", i%apps), fmt.Sprintf("10.2.0.%d", i))
		p.Ports = []policy.NamedPort{{Name: "http", Protocol: policy.TCP, Number: 8080}}
		c.x.SetPod(p)
	}
	http := intstr.FromString("http")
	everybody := []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{}}}
	all := ingress("all", "", networkingv1.NetworkPolicyIngressRule{
		From: everybody, Ports: []networkingv1.NetworkPolicyPort{{Port: &http}},
	})
	all.Spec.PodSelector = metav1.LabelSelector{}
	all.Spec.PolicyTypes = append(all.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
	all.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{To: everybody, Ports: []networkingv1.NetworkPolicyPort{{Port: &http}}}}
	c.set(all)
	for i := range apps {
		app := fmt.Sprintf("app-%d", i)
		c.set(ingress("callers-"+app, app, from(9090, fmt.Sprintf("app-%d", (i+1)%apps), "monitor")))
	}
	c.update()
	return c
}

func (c *crowdOfClaims) set(np *networkingv1.NetworkPolicy) {
	if err := c.x.SetPolicy(np); err != nil {
		c.t.Fatal(err)
	}
}

// claim has the i-th Pod claim the first n of the addresses.
func (c *crowdOfClaims) claim(i, n int) {
	p := c.pod(fmt.Sprintf("pending-%d", i), "here", fmt.Sprintf("app-%d", i%c.apps), c.addrs[:n]...)
	p.Ports = []policy.NamedPort{{Name: "http", Protocol: policy.TCP, Number: 8080}}
	p.Created = int64(i)
	c.x.SetPod(p)
}

// BenchmarkClaims is what a node does about Pods that all claim the same addresses.
func BenchmarkClaims(b *testing.B) {
	for _, of := range []struct{ pods, apps, addrs int }{{50, 1, 100}, {50, 5, 100}, {50, 50, 100}, {110, 110, 220}, {500, 1, 100}, {500, 100, 100}} {
		name := fmt.Sprintf("pods=%d/apps=%d/addrs=%d/", of.pods, of.apps, of.addrs)
		n := of.addrs
		b.Run(name+"all", func(b *testing.B) {
			c := newCrowdOfClaims(b, of.pods, of.apps, of.addrs)
			b.ReportAllocs()
			for b.Loop() {
				for i := range c.pods {
					c.claim(i, n)
				}
				c.update()
				for i := range c.pods {
					c.x.DeletePod(shopName(fmt.Sprintf("pending-%d", i)))
				}
				c.update()
			}
		})
		b.Run(name+"one-address", func(b *testing.B) {
			c := newCrowdOfClaims(b, of.pods, of.apps, of.addrs)
			b.ReportAllocs()
			for b.Loop() {
				for _, n := range []int{n, n - 1} {
					for i := range c.pods {
						c.claim(i, n)
					}
					c.update()
				}
			}
		})
		b.Run(name+"one-pod", func(b *testing.B) {
			c := newCrowdOfClaims(b, of.pods, of.apps, of.addrs)
			for i := range c.pods {
				c.claim(i, n)
			}
			c.update()
			b.ReportAllocs()
			for b.Loop() {
				c.x.DeletePod(shopName("pending-0"))
				c.update()
				c.claim(0, n)
				c.update()
			}
		})
	}
}
