package spectest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// A generator that allows nearly all or nearly nothing proves nothing: of the
// ends that policies isolate, many let the flow through and many do not.
func TestFlowsAreAHealthyMix(t *testing.T) {
	for _, tc := range []struct {
		name    string
		options Options
	}{
		{"any", Options{}},
		{"invalid policies too", Options{Invalid: true}},
		{"plain", Options{Plain: true}},
		{"IPv4", Options{Families: IPv4Only}},
		{"IPv6", Options{Families: IPv6Only}},
		{"dual", Options{Families: DualStack, Namespaces: 5, Nodes: 3, Pods: 40, Policies: 20}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out, in mix
			flows := 0
			for seed := range uint64(60) {
				r := Seeded(seed)
				c := Random(r, tc.options)
				for range 100 {
					f := c.RandomFlow(r)
					flows++
					egress, ingress := c.Allowed(f)
					out.count(c, c.Owner(f.Src), networkingv1.PolicyTypeEgress, egress)
					in.count(c, c.Owner(f.Dst), networkingv1.PolicyTypeIngress, ingress)
				}
			}
			t.Logf("of %d flows: egress %+v, ingress %+v", flows, out, in)
			for direction, m := range map[string]mix{"egress": out, "ingress": in} {
				isolated := m.allowed + m.denied
				if isolated < flows/5 || m.allowed*4 < isolated || m.denied*4 < isolated {
					t.Errorf("%s: of %d flows %d met an isolated end: %d allowed, %d denied", direction, flows, isolated, m.allowed, m.denied)
				}
			}
		})
	}
}

type mix struct{ allowed, denied int }

func (m *mix) count(c *Cluster, pod *corev1.Pod, direction networkingv1.PolicyType, allowed bool) {
	switch {
	case pod == nil || !c.Isolated(pod, direction):
	case allowed:
		m.allowed++
	default:
		m.denied++
	}
}

// A seed names a case for ever.
func TestSeedDecidesAll(t *testing.T) {
	for seed := range uint64(20) {
		draw := func() (*Cluster, []Flow, []string) {
			r := Seeded(seed)
			c := Random(r, Options{Invalid: true})
			var flows []Flow
			for range 20 {
				flows = append(flows, c.RandomFlow(r))
			}
			var events []string
			for _, e := range c.Events(r) {
				events = append(events, e.String())
			}
			return c, flows, events
		}
		c1, f1, e1 := draw()
		c2, f2, e2 := draw()
		if diff := cmp.Diff(c1.YAML(), c2.YAML()); diff != "" {
			t.Fatalf("seed %d, cluster: %s", seed, diff)
		}
		if diff := cmp.Diff(f1, f2, cmpopts.EquateComparable(Flow{})); diff != "" {
			t.Fatalf("seed %d, flows: %s", seed, diff)
		}
		if diff := cmp.Diff(e1, e2); diff != "" {
			t.Fatalf("seed %d, events: %s", seed, diff)
		}
	}
}

// However the history is told, it ends in the cluster.
func TestEventsEndInTheCluster(t *testing.T) {
	for seed := range uint64(50) {
		r := Seeded(seed)
		c := Random(r, Options{})
		events := c.Events(r)
		if len(events) <= len(c.Final()) {
			t.Errorf("seed %d: %d events and no detour", seed, len(events))
		}
		for name, told := range map[string][]Event{
			"as drawn":   events,
			"reversed":   Reversed(events),
			"squashed":   Squashed(events),
			"duplicated": Duplicated(r, events),
		} {
			if diff := cmp.Diff(objects(c), objects(Replay(told))); diff != "" {
				t.Fatalf("seed %d, %s: the end is not the cluster: %s", seed, name, diff)
			}
		}
	}
}

func objects(c *Cluster) map[string]any {
	out := map[string]any{}
	for _, e := range c.Final() {
		switch {
		case e.Pod != nil:
			out[e.String()] = e.Pod
		case e.Policy != nil:
			out[e.String()] = e.Policy
		default:
			out[e.String()] = e.Namespace
		}
	}
	return out
}

// A lab cluster has only what a lab can build.
func TestPlainClusters(t *testing.T) {
	for seed := range uint64(50) {
		c := Random(Seeded(seed), Options{Plain: true})
		seen := map[string]bool{}
		for _, pod := range c.Pods {
			if finished(pod) || len(pod.Status.PodIPs) == 0 {
				t.Errorf("seed %d: Pod %s/%s: phase %s, addresses %v", seed, pod.Namespace, pod.Name, pod.Status.Phase, pod.Status.PodIPs)
			}
			for _, ip := range pod.Status.PodIPs {
				if seen[ip.IP] && !pod.Spec.HostNetwork {
					t.Errorf("seed %d: %s twice", seed, ip.IP)
				}
				seen[ip.IP] = true
			}
		}
	}
}

// What is shrunk still fails, and has nothing that could go.
func TestShrink(t *testing.T) {
	for seed := range uint64(10) {
		r := Seeded(seed)
		c := Random(r, Options{Pods: 15, Policies: 8})
		for range 30 {
			f := c.RandomFlow(r)
			denied := func(c *Cluster) bool {
				egress, ingress := c.Allowed(f)
				return !egress || !ingress
			}
			if !denied(c) {
				continue
			}
			small := c.Shrink(denied)
			if !denied(small) || len(small.Policies) != 1 || len(small.Pods) > 3 || len(small.Namespaces) != 0 {
				t.Errorf("seed %d, flow %v: not small:\n%s", seed, f, small.YAML())
			}
			break
		}
	}
}
