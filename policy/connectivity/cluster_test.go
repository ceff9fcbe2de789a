package connectivity_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/spectest"
)

// random draws a cluster that addresses alone do not confuse: nobody has
// finished, lacks an address or shares one.
func random(seed uint64) *spectest.Cluster {
	c := spectest.Random(spectest.Seeded(seed), spectest.Options{
		Plain: true, Invalid: seed%4 == 0, Names: seed%6 == 5, Pods: 2 + int(seed%12),
	})
	c.NodeEgress = seed%5 == 0
	return c
}

// podRanges are where random clusters have the addresses of Pods.
var podRanges = []netip.Prefix{netip.MustParsePrefix("10.64.0.0/13"), netip.MustParsePrefix("fd00:64::/32")}

// withRanges says of every second cluster from where addresses of Pods and of nodes are, as
// its Nodes would.
func withRanges(seed uint64, c *connectivity.Cluster, of *spectest.Cluster) *connectivity.Cluster {
	if seed%2 == 0 {
		return c
	}
	c.PodRanges = podRanges
	for _, p := range of.Pods {
		for _, ip := range p.Status.HostIPs {
			a := netip.MustParseAddr(ip.IP)
			c.NodeRanges = append(c.NodeRanges, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return c
}

// clusterOf is the cluster as a question, with the addresses of Pods or without.
func clusterOf(t *testing.T, c *spectest.Cluster, addrs bool) *connectivity.Cluster {
	t.Helper()
	out := &connectivity.Cluster{Namespaces: c.Namespaces, Policies: c.Policies, NodeEgress: c.NodeEgress}
	for _, p := range c.Pods {
		w, err := connectivity.FromAPI(p)
		if err != nil {
			t.Fatal(err)
		}
		if !addrs {
			w.Addrs = nil
		}
		out.Workloads = append(out.Workloads, w)
	}
	return out
}

// indexOf has the cluster's objects.
func indexOf(t *testing.T, c *spectest.Cluster, pods []*policy.Pod) *policy.Index {
	t.Helper()
	x := policy.NewIndex(policy.Options{NodeEgress: c.NodeEgress})
	for _, ns := range c.Namespaces {
		x.SetNamespace(ns.Name, ns.Labels)
	}
	for _, np := range c.Policies {
		_ = x.SetPolicy(np) // what is invalid allows nothing, here as there
	}
	for _, p := range pods {
		x.SetPod(p)
	}
	return x
}

func podsOf(t *testing.T, c *spectest.Cluster) []*policy.Pod {
	t.Helper()
	var out []*policy.Pod
	for _, p := range c.Pods {
		pod, err := policy.PodFromAPI(p)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, pod)
	}
	return out
}

type endpoint struct {
	protocol policy.Protocol
	port     uint16
}

// sampled are ports at which the random policies begin and end, and others.
func sampled(r *rand.Rand) []endpoint {
	out := []endpoint{{policy.ICMP, 0}}
	numbers := []uint16{1, 2, 53, 54, 79, 80, 81, 82, 443, 8080, 9090, 30000, 65535}
	for _, p := range []policy.Protocol{policy.TCP, policy.UDP, policy.SCTP} {
		for range 2 {
			out = append(out, endpoint{p, numbers[r.IntN(len(numbers))]})
		}
	}
	return out
}

// where is the stretch that has the port.
func where(list []connectivity.Stretch, e endpoint) *connectivity.Stretch {
	for i := range list {
		s := &list[i]
		if s.Protocol == connectivity.OtherProtocols && !e.protocol.HasPorts() ||
			s.Protocol == e.protocol && s.First <= e.port && e.port <= s.Last {
			return s
		}
	}
	return nil
}

// holds reports whether a side lets pass what comes from, or goes to, an
// address: some rule does without conditions, or one whose condition is met.
func holds(s *connectivity.Side, peer netip.Addr, ownNode bool) bool {
	if s.Reason != policy.ReasonRule {
		return true
	}
	return slices.ContainsFunc(s.Grants, func(g connectivity.Grant) bool {
		return g.If == nil || (g.If.Block == nil || g.If.Block.Contains(peer)) && (!g.If.OwnNode || ownNode)
	})
}

// opinion is what a matrix says of two ends, with addresses.
type opinion struct {
	m        *connectivity.Matrix
	src, dst int
	list     []connectivity.Stretch
}

func newOpinion(m *connectivity.Matrix, src, dst int) opinion {
	return opinion{m, src, dst, m.Connection(src, dst)}
}

// disagreement compares with a verdict of the index on a flow between two
// addresses of the ends; it is empty if there is none.
func (o opinion) disagreement(v policy.Verdict, e endpoint) string {
	a, b := v.Flow.Src.Addr, v.Flow.Dst.Addr
	all, v4, v6 := o.m.Allows(o.src, o.dst, e.protocol, e.port)
	over := v6
	if a.Is4() {
		over = v4
	}
	s := where(o.list, e)
	said := func() string {
		return fmt.Sprintf("%s (%s) → %s (%s) %s %d: Evaluate says %v (egress %s, ingress %s), the matrix %s, over the family %s",
			&o.m.Ends()[o.src], a, &o.m.Ends()[o.dst], b, e.protocol, e.port, v.Allowed, v.Egress.Reason, v.Ingress.Reason, all, over)
	}
	conditional := s != nil &&
		holds(&s.Egress, b, v.Egress.Reason == policy.ReasonOwnNode) && holds(&s.Ingress, a, v.Ingress.Reason == policy.ReasonOwnNode)
	switch {
	case over == connectivity.Absent:
		return said() + ": the family is said to be absent"
	case over == connectivity.Allowed && !v.Allowed, over == connectivity.Denied && v.Allowed:
		return said()
	case conditional != v.Allowed:
		return fmt.Sprintf("%s: by the conditions it is %v: %+v", said(), conditional, s)
	}
	return ""
}

// ends are the ends of Pods and of others by number.
func ends(m *connectivity.Matrix, kinds ...connectivity.EndKind) (out []int) {
	for i := range m.Ends() {
		if slices.Contains(kinds, m.Ends()[i].Kind) {
			out = append(out, i)
		}
	}
	return out
}

func named(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// without leaves out what meets a condition.
func without[T any](list []T, drop func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(list), drop)
}

func shuffled(r *rand.Rand, c *connectivity.Cluster) *connectivity.Cluster {
	out := *c
	out.Namespaces, out.Policies, out.Workloads = slices.Clone(c.Namespaces), slices.Clone(c.Policies), slices.Clone(c.Workloads)
	r.Shuffle(len(out.Namespaces), func(i, j int) { swap(out.Namespaces, i, j) })
	r.Shuffle(len(out.Policies), func(i, j int) { swap(out.Policies, i, j) })
	r.Shuffle(len(out.Workloads), func(i, j int) { swap(out.Workloads, i, j) })
	return &out
}

func swap[T any](list []T, i, j int) { list[i], list[j] = list[j], list[i] }
