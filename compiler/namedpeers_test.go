package compiler

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/policy"
)

// TestNamedPeersMeanTheRules compares what lookups make of a member with a walk
// through the rules.
func TestNamedPeersMeanTheRules(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	protocols := []policy.Protocol{policy.TCP, policy.UDP}
	some := func(n int) []policy.GroupKey {
		var out []policy.GroupKey
		for range r.IntN(n) {
			out = append(out, policy.GroupKey(rune('a'+r.IntN(6))))
		}
		return out
	}
	merged := 0
	for range 3000 {
		var rules []policy.AllowRule
		for range 1 + r.IntN(5) {
			rule := policy.AllowRule{NamedGroups: some(5)}
			for range r.IntN(6) {
				rule.NamedPorts = append(rule.NamedPorts, policy.NamedPortRef{Protocol: protocols[r.IntN(2)], Name: fmt.Sprint(r.IntN(5))})
			}
			rules = append(rules, rule)
		}
		all := peers{groups: some(2)}.united()
		a := allowance{allPorts: all}
		list := a.lookups(rules)
		if len(list) < len(rules) {
			merged++
		}
		n := newNamedPeers(list)
		var ports []policy.NamedPort
		for range r.IntN(7) {
			ports = append(ports, policy.NamedPort{Protocol: protocols[r.IntN(2)], Name: fmt.Sprint(r.IntN(6)), Number: uint16(r.IntN(4))})
		}
		for _, g := range some(9) {
			want := map[policy.NamedPort]int{}
			for _, rule := range rules {
				for _, p := range ports {
					if slices.Contains(rule.NamedGroups, g) && !slices.Contains(all.groups, g) &&
						slices.Contains(rule.NamedPorts, policy.NamedPortRef{Protocol: p.Protocol, Name: p.Name}) {
						want[policy.NamedPort{Protocol: p.Protocol, Number: p.Number}] = 1
					}
				}
			}
			got := map[policy.NamedPort]int{}
			for p := range n.ports(g, ports) {
				got[p]++
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("group %s with %v (-rules +lookups):\n%s%+v", g, ports, diff, rules)
			}
		}
	}
	if merged == 0 {
		t.Error("no rules were merged")
	}
}

// namedPolicy gives egress to so many peers at so many named ports in each of its
// rules.
func namedPolicy(rules int, peers, ports func(rule int) (from, to int)) *networkingv1.NetworkPolicy {
	np := ingress("huge", "app-0")
	np.Spec.PolicyTypes, np.Spec.Ingress = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}, nil
	for i := range rules {
		var out networkingv1.NetworkPolicyEgressRule
		for from, to := peers(i); from < to; from++ {
			out.To = append(out.To, networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": fmt.Sprintf("app-%d", from)}}})
		}
		for from, to := ports(i); from < to; from++ {
			name := intstr.FromString(fmt.Sprintf("port-%d", from))
			out.Ports = append(out.Ports, networkingv1.NetworkPolicyPort{Port: &name})
		}
		np.Spec.Egress = append(np.Spec.Egress, out)
	}
	return np
}

// TestNamedPortsAreInProportion: named ports and peers of a rule are never written
// as their product. What is in the kernel is bounded by the Pods' own ports, and what
// is kept by the length of the lists.
func TestNamedPortsAreInProportion(t *testing.T) {
	window := func(width, step int) func(int) (int, int) {
		return func(rule int) (int, int) { return rule * step, rule*step + width }
	}
	for _, c := range []struct {
		name  string
		rules int
		peers func(int) (int, int)
		ports func(int) (int, int)
	}{
		{"one rule", 1, window(5000, 0), window(1200, 0)},
		{"rules that overlap", 60, window(400, 80), window(200, 40)},
		{"the same peers, other ports", 200, window(100, 0), window(50, 50)},
		{"the same ports, other peers", 200, window(100, 25), window(50, 0)},
	} {
		t.Run(c.name, func(t *testing.T) {
			np, size := namedPolicy(c.rules, c.peers, c.ports), 0
			for _, rule := range np.Spec.Egress {
				size += len(rule.To) + len(rule.Ports)
			}
			b := newBench(t, testConfig())
			b.x.SetPod(b.pod("local", "here", "app-0", "10.0.0.2"))
			own := 0
			for i := range 5000 {
				p := b.pod(fmt.Sprintf("peer-%d", i), "there", fmt.Sprintf("app-%d", i), fmt.Sprintf("10.1.%d.%d", i>>8, i&255))
				for j := range 3 {
					p.Ports = append(p.Ports, policy.NamedPort{Name: fmt.Sprintf("port-%d", (i+j)%1200), Protocol: policy.TCP, Number: uint16(1 + (i+j)%1200)})
				}
				own += len(p.Ports)
				b.x.SetPod(p)
			}
			if err := b.x.SetPolicy(np); err != nil {
				t.Fatal(err)
			}
			plan := b.update()
			objects, kept := 0, 0
			for _, o := range b.c.objects {
				objects++
				if o.members == nil || o.members.named == nil {
					continue
				}
				if n := len(o.members.counts); n > own {
					t.Errorf("%s has %d elements, of Pods that have %d ports together", o.name, n, own)
				}
				for _, l := range o.members.named.lookups {
					kept += len(l.groups) + len(l.names)
				}
			}
			if objects > 10 {
				t.Errorf("%d objects", objects)
			}
			if kept > size {
				t.Errorf("the set keeps %d terms of a policy that has %d", kept, size)
			}
			if most := 2*own + 100; len(plan.Prepare) > most {
				t.Errorf("%d operations, more than %d", len(plan.Prepare), most)
			}
			// One Pod more is an element for each of its ports.
			p := b.pod("more", "there", "app-90", "10.2.0.1")
			p.Ports = []policy.NamedPort{{Name: "port-90", Protocol: policy.TCP, Number: 1}, {Name: "port-90", Protocol: policy.UDP, Number: 2}}
			b.x.SetPod(p)
			if ops := b.update().Commit; len(ops) > 1 {
				t.Errorf("one Pod more takes %d operations", len(ops))
			}
		})
	}
}
