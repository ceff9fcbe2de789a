package connectivity_test

import (
	"net/netip"
	"slices"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/spectest"
)

// everyEndpoint has each port at which something begins that a policy allows.
func everyEndpoint(c *spectest.Cluster) []endpoint {
	numbers := map[uint16]bool{0: true}
	add := func(ports []networkingv1.NetworkPolicyPort) {
		for _, p := range ports {
			if p.Port != nil {
				numbers[uint16(p.Port.IntVal)] = true
			}
		}
	}
	for _, p := range c.Policies {
		for _, r := range p.Spec.Ingress {
			add(r.Ports)
		}
		for _, r := range p.Spec.Egress {
			add(r.Ports)
		}
	}
	for _, p := range c.Pods {
		for _, o := range slices.Concat(p.Spec.Containers, p.Spec.InitContainers) {
			for _, port := range o.Ports {
				numbers[uint16(port.ContainerPort)] = true
			}
		}
	}
	out := []endpoint{{policy.ICMP, 0}}
	for n := range numbers {
		for _, p := range []policy.Protocol{policy.TCP, policy.UDP, policy.SCTP} {
			out = append(out, endpoint{p, n})
		}
	}
	return out
}

// What an end is said to deny by itself, the index denies in that direction, on every
// port and for every address of the other end.
func TestDeniesIsWhatADirectionSays(t *testing.T) {
	seen := map[[2]bool]int{}
	for seed := range uint64(24) {
		c := random(seed)
		every := everyEndpoint(c)
		x := indexOf(t, c, podsOf(t, c))
		m := connectivity.New(clusterOf(t, c, true))
		for src := range m.Ends() {
			for dst := range m.Ends() {
				flows := flowsBetween(c, m, src, dst)
				if len(flows) == 0 {
					continue
				}
				egress, ingress := m.Denies(src, dst)
				passes := len(m.Connection(src, dst)) > 0
				if passes && (egress || ingress) {
					t.Errorf("seed %d: %s → %s: %v %v, and something passes", seed, &m.Ends()[src], &m.Ends()[dst], egress, ingress)
				}
				seen[[2]bool{egress, ingress}]++
				out, in := directions(x, flows, every)
				if egress && out || ingress && in {
					t.Errorf("seed %d: %s → %s: denied by egress %v and ingress %v, allowed by the index %v and %v\n%s",
						seed, &m.Ends()[src], &m.Ends()[dst], egress, ingress, out, in, c.YAML())
				}
			}
		}
	}
	if len(seen) != 4 {
		t.Errorf("not all was seen: %v", seen)
	}
}

// directions reports whether the index allows any port in each direction.
func directions(x *policy.Index, flows [][2]netip.Addr, every []endpoint) (out, in bool) {
	for _, f := range flows {
		for _, e := range every {
			v := x.Evaluate(policy.Flow{Src: policy.End{Addr: f[0]}, Dst: policy.End{Addr: f[1]}, Protocol: e.protocol, Port: e.port})
			out, in = out || v.Egress.Allowed, in || v.Ingress.Allowed
		}
	}
	return out, in
}
