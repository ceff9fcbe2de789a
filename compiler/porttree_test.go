package compiler

import (
	"fmt"
	"math/rand/v2"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/policy"
)

// allows looks the port up in the crowd as packets are.
func (c *crowd) allows(g policy.GroupKey, proto policy.Protocol, port uint16) bool {
	covers := func(s portSpan) bool { return s.protocol == proto && s.first <= port && port <= s.last }
	for _, l := range c.listed {
		for _, s := range l.spans {
			if covers(s) && l.peers.have(g) {
				return true
			}
		}
	}
	found := false
	for i := range c.trees {
		t := &c.trees[i]
		t.eachLeaf(func(leaf *portNode, path []*portNode) {
			if !covers(t.span(leaf)) {
				return
			}
			for _, n := range path {
				found = found || n.peers.have(g)
			}
			for _, p := range leaf.partial {
				found = found || covers(p.span) && p.peers.have(g)
			}
		})
	}
	return found
}

// TestCrowdMeansTheRules compares every port with a walk through the rules, for
// trees of all shapes.
func TestCrowdMeansTheRules(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	listed, treed := 0, 0
	for round := range 2000 {
		var rules []policy.AllowRule
		for range 1 + r.IntN(9) {
			var ports []policy.PortRange
			for range r.IntN(4) {
				first := uint16(r.IntN(24))
				if r.IntN(4) == 0 {
					first += 65535 - 30
				}
				ports = append(ports, policy.PortRange{
					Protocol: []policy.Protocol{policy.TCP, policy.SCTP}[r.IntN(2)],
					First:    first, Last: first + uint16(r.IntN(7)),
				})
			}
			rules = append(rules, allowed([]string{"a", "b", "a c", "d e f", "*", "", "a b c d e"}[r.IntN(7)], ports...))
		}
		l := limits{leaf: 1 + r.IntN(4), leaves: 1 + r.IntN(20)}
		a := allow(rules, endsOf(rules), ipv4, false, &l, newPeerMemo(), nil)
		if a.crowd == nil {
			continue
		}
		listed += len(a.crowd.listed)
		treed += len(a.crowd.trees)
		for _, proto := range []policy.Protocol{policy.TCP, policy.UDP, policy.SCTP} {
			for i := range uint16(70) {
				port := i - 35
				for _, group := range []policy.GroupKey{"a", "b", "c", "d", "e", "f", "other"} {
					got := a.allPorts.have(group) || a.crowd.allows(group, proto, port)
					if want := walk(rules, group, proto, port); got != want {
						t.Fatalf("round %d: %s to %s %d: %t, want %t\n%+v\n%+v", round, group, proto, port, got, want, rules, a.crowd)
					}
				}
			}
		}
	}
	if listed == 0 || treed == 0 {
		t.Errorf("%d grants were listed and %d trees made: one of the forms was not tried", listed, treed)
	}
}

// huge is a policy of n rules, each with peers and ports of its own.
func huge(n int, rule func(i int, r *rand.Rand) networkingv1.NetworkPolicyIngressRule) *networkingv1.NetworkPolicy {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	var rules []networkingv1.NetworkPolicyIngressRule
	for i := range n {
		rules = append(rules, rule(i, r))
	}
	return ingress("huge", "app-0", rules...)
}

func portsBetween(first, last int) networkingv1.NetworkPolicyPort {
	port, end := intstr.FromInt(first), int32(last)
	return networkingv1.NetworkPolicyPort{Port: &port, EndPort: &end}
}

func blockPeer(i int) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: fmt.Sprintf("10.%d.%d.%d/30", i>>14&255, i>>6&255, i<<2&255)}}
}

func appPeer(i int) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": fmt.Sprintf("app-%d", i)}}}
}

func rangeOf(r *rand.Rand, width int) networkingv1.NetworkPolicyPort {
	first := 1 + r.IntN(65000)
	return portsBetween(first, min(65535, first+r.IntN(width)))
}

// shapes are those of policies that were out of all proportion: what grows with n is
// the object alone.
var shapes = map[string]func(i int, r *rand.Rand) networkingv1.NetworkPolicyIngressRule{
	"narrow ranges": func(i int, r *rand.Rand) networkingv1.NetworkPolicyIngressRule {
		return networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{blockPeer(i)}, Ports: []networkingv1.NetworkPolicyPort{rangeOf(r, 50)}}
	},
	"wide ranges": func(i int, r *rand.Rand) networkingv1.NetworkPolicyIngressRule {
		return networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{blockPeer(i)}, Ports: []networkingv1.NetworkPolicyPort{rangeOf(r, 65535)}}
	},
	"one inside the other": func(i int, _ *rand.Rand) networkingv1.NetworkPolicyIngressRule {
		return networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{blockPeer(i)}, Ports: []networkingv1.NetworkPolicyPort{portsBetween(1+i, 65535-i)}}
	},
	"single ports": func(i int, _ *rand.Rand) networkingv1.NetworkPolicyIngressRule {
		return networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{blockPeer(i)}, Ports: []networkingv1.NetworkPolicyPort{portsBetween(1+i, 1+i)}}
	},
	"groups": func(i int, r *rand.Rand) networkingv1.NetworkPolicyIngressRule {
		return networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{appPeer(i)}, Ports: []networkingv1.NetworkPolicyPort{rangeOf(r, 65535)}}
	},
	"many peers and ports": func(i int, r *rand.Rand) networkingv1.NetworkPolicyIngressRule {
		var out networkingv1.NetworkPolicyIngressRule
		for j := range 20 {
			out.From = append(out.From, blockPeer(20*i+j))
			out.Ports = append(out.Ports, rangeOf(r, 3000))
		}
		return out
	},
	"a few peers, many ports": func(i int, r *rand.Rand) networkingv1.NetworkPolicyIngressRule {
		var out networkingv1.NetworkPolicyIngressRule
		for j := range 4 {
			out.From = append(out.From, blockPeer(8*i+2*j), appPeer(4*i+j))
		}
		for range 40 {
			out.Ports = append(out.Ports, rangeOf(r, 3000))
		}
		return out
	},
	"exceptions": func(i int, r *rand.Rand) networkingv1.NetworkPolicyIngressRule {
		block := &networkingv1.IPBlock{CIDR: fmt.Sprintf("%d.%d.0.0/16", 11+i>>8, i&255)}
		for j := range 20 {
			block.Except = append(block.Except, fmt.Sprintf("%d.%d.%d.0/24", 11+i>>8, i&255, 10*j))
		}
		return networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{{IPBlock: block}}, Ports: []networkingv1.NetworkPolicyPort{rangeOf(r, 65535)}}
	},
}

// TestRulesetIsInProportionToThePolicy: whatever overlaps in it, what one policy
// takes in the kernel is bounded by how much it says.
func TestRulesetIsInProportionToThePolicy(t *testing.T) {
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{300, 2000} {
				np := huge(n, shape)
				size := 0
				for _, rule := range np.Spec.Ingress {
					size += 1 + len(rule.Ports)
					for _, p := range rule.From {
						size++
						if p.IPBlock != nil {
							size += len(p.IPBlock.Except)
						}
					}
				}
				b := newBench(t, testConfig())
				b.x.SetPod(b.pod("local", "here", "app-0", "10.0.0.2"))
				if err := b.x.SetPolicy(np); err != nil {
					t.Fatal(err)
				}
				chains, rules, sets, elements := 0, 0, 0, 0
				b.update()
				rs := b.c.Ruleset()
				for _, c := range rs.Chains {
					chains++
					rules += len(c.Rules)
				}
				for _, s := range rs.Sets {
					sets++
					elements += len(s.Elements)
				}
				t.Logf("%d rules, %d terms: %d chains, %d rules, %d sets, %d elements", n, size, chains, rules, sets, elements)
				if chains > 2*(usualLimits.classes+50) {
					t.Errorf("%d rules make %d chains", n, chains)
				}
				// The chains of leaves have the rules of their nodes each for itself,
				// which is a constant; and all is there for replies once more.
				if most := 16*size + 25_000; rules > most {
					t.Errorf("%d rules of %d terms make %d rules, more than %d", n, size, rules, most)
				}
				if most := 2*size + 2_500; sets > most {
					t.Errorf("%d rules of %d terms make %d sets, more than %d", n, size, sets, most)
				}
				if most := 32*size + 20_000; elements > most {
					t.Errorf("%d rules of %d terms make %d elements, more than %d", n, size, elements, most)
				}
			}
		})
	}
}

// TestOneRangeChangesFewLeaves: of a policy of thousands of ranges, what does not
// depend on the one that changes stays as it is.
func TestOneRangeChangesFewLeaves(t *testing.T) {
	np := huge(3000, shapes["wide ranges"])
	b := newBench(t, testConfig())
	b.x.SetPod(b.pod("local", "here", "app-0", "10.0.0.2"))
	chains := func() int {
		t.Helper()
		if err := b.x.SetPolicy(np); err != nil {
			t.Fatal(err)
		}
		made := 0
		for _, op := range b.update().Prepare {
			if _, ok := op.Object.(*Chain); ok {
				made++
			}
		}
		return made
	}
	all := chains()
	// Of a range that covered nothing whole to one that does not either.
	np.Spec.Ingress[7].Ports[0] = portsBetween(2000, 2001)
	chains()
	np.Spec.Ingress[7].Ports[0] = portsBetween(2001, 2002)
	if changed := chains(); changed == 0 || changed > 12 {
		t.Errorf("one range changes %d chains of %d", changed, all)
	}
}
