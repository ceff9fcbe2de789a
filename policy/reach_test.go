package policy_test

import (
	"fmt"
	"testing"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/spectest"
)

// TestReachIsEvaluateForEachPair: all pairs at once, and one by one, in random
// clusters, with policies that are invalid, Pods without address and with the
// address of another.
func TestReachIsEvaluateForEachPair(t *testing.T) {
	ports := []struct {
		protocol policy.Protocol
		port     uint16
	}{{policy.TCP, 80}, {policy.TCP, 8080}, {policy.UDP, 53}, {policy.SCTP, 7000}, {policy.ICMP, 0}}
	pairs, allowed, different := 0, 0, map[string]bool{}
	for seed := range uint64(300) {
		s := newScenario(seed, spectest.Seeded(seed))
		x := s.index(t, s.cluster.Final())
		for _, p := range ports {
			r := x.Reach(p.protocol, p.port)
			count := 0
			for i, src := range r.Addrs {
				for j, dst := range r.Addrs {
					v := x.Evaluate(policy.Flow{Src: policy.End{Addr: src}, Dst: policy.End{Addr: dst}, Protocol: p.protocol, Port: p.port})
					if r.Allowed(i, j) != v.Allowed {
						t.Fatalf("seed %d, %s → %s %s/%d: Reach says %v, Evaluate %v (egress %s, ingress %s)",
							seed, src, dst, p.protocol, p.port, r.Allowed(i, j), v.Allowed, v.Egress.Reason, v.Ingress.Reason)
					}
					different[fmt.Sprint(v.Egress.Reason, v.Ingress.Reason)] = true
					if pairs++; v.Allowed {
						count++
					}
				}
			}
			if allowed += count; r.Count() != count {
				t.Fatalf("seed %d: Count is %d, want %d", seed, r.Count(), count)
			}
		}
	}
	t.Logf("%d pairs, %d allowed, for the reasons %v", pairs, allowed, different)
	if allowed == 0 || allowed == pairs {
		t.Errorf("%d of %d pairs are allowed: this tests nothing", allowed, pairs)
	}
}

func TestReachNamesTheOwners(t *testing.T) {
	x := benchIndex(t, 100)
	r := x.Reach(policy.TCP, 8080)
	if len(r.Addrs) != 100 || len(r.Pods) != 100 {
		t.Fatalf("%d addresses of %d Pods, want 100", len(r.Addrs), len(r.Pods))
	}
	for i, a := range r.Addrs {
		if end := x.EndOfAddr(a); end.Pod == nil || end.Pod.NamespacedName != r.Pods[i] {
			t.Errorf("%s belongs to %v, not to %s", a, end.Pod, r.Pods[i])
		}
	}
}

func BenchmarkReach(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		x := policy.NewIndex(policy.Options{})
		for i := range (n + podsPerNamespace - 1) / podsPerNamespace {
			x.SetNamespace(benchNamespace(i))
			for _, np := range benchPolicies(i) {
				if err := x.SetPolicy(np); err != nil {
					b.Fatal(err)
				}
			}
		}
		for i := range n {
			x.SetPod(benchPod(n, i))
		}
		x.Reach(policy.TCP, 8080)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				x.Reach(policy.TCP, 8080)
			}
		})
	}
}

// TestReachFromTheOwnNode: an address of the node lets in, whoever has it.
func TestReachFromTheOwnNode(t *testing.T) {
	for _, nodeEgress := range []bool{false, true} {
		x := policy.NewIndex(policy.Options{NodeEgress: nodeEgress})
		deny := benchPolicies(0)[0] // both directions
		x.SetNamespace(benchNamespace(0))
		if err := x.SetPolicy(deny); err != nil {
			t.Fatal(err)
		}
		first, second := benchPod(100, 0), benchPod(100, 1)
		second.NodeAddrs = first.Addrs
		first.Namespace = "open"
		x.SetPod(first)
		x.SetPod(second)
		r := x.Reach(policy.TCP, 80)
		for i, src := range r.Addrs {
			for j, dst := range r.Addrs {
				want := x.Evaluate(policy.Flow{Src: policy.End{Addr: src}, Dst: policy.End{Addr: dst}, Protocol: policy.TCP, Port: 80}).Allowed
				if r.Allowed(i, j) != want {
					t.Errorf("node egress %v: %s → %s is %v, want %v", nodeEgress, src, dst, r.Allowed(i, j), want)
				}
			}
		}
		if want := 3; !nodeEgress && r.Count() != want { // each itself, and the node's address in
			t.Errorf("%d pairs reach each other, want %d", r.Count(), want)
		}
	}
}
