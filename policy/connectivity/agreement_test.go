package connectivity_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/spectest"
)

var clustersFlag = flag.Uint64("clusters", 60, "random clusters on which matrix and index must agree")

// Where the addresses of Pods are known, the matrix says what the index and the
// naive evaluator say, of every pair of Pods and of addresses outside.
func TestKnownAddressesAgree(t *testing.T) {
	count := tally{}
	for seed := range *clustersFlag {
		c := random(seed)
		r := spectest.Seeded(seed ^ 1<<40)
		x := indexOf(t, c, podsOf(t, c))
		m := connectivity.New(withRanges(seed, clusterOf(t, c, true), c))
		for src := range m.Ends() {
			for dst := range m.Ends() {
				o := newOpinion(m, src, dst)
				for _, e := range sampled(r) {
					for _, f := range flowsBetween(c, m, src, dst) {
						count.see(t, seed, c, x, o, f, e)
					}
				}
			}
		}
	}
	count.finish(t)
}

// flowsBetween are pairs of addresses that two ends have.
func flowsBetween(c *spectest.Cluster, m *connectivity.Matrix, src, dst int) (out [][2]netip.Addr) {
	s, d := &m.Ends()[src], &m.Ends()[dst]
	if s.Kind == connectivity.Outside && d.Kind == connectivity.Outside {
		return nil
	}
	for _, a := range addrsOf(c, s) {
		for _, b := range addrsOf(c, d) {
			if a.Is4() == b.Is4() && a != b {
				out = append(out, [2]netip.Addr{a, b})
			}
		}
	}
	// Two addresses of one Pod are not two Pods.
	return slices.DeleteFunc(out, func(f [2]netip.Addr) bool {
		return c.Self(spectest.Flow{Src: f[0], Dst: f[1]})
	})
}

// addrsOf are some addresses of an end: of the outside those at its borders
// that are no Pod's and no node's.
func addrsOf(c *spectest.Cluster, e *connectivity.End) []netip.Addr {
	if e.Kind != connectivity.Outside {
		return e.Addrs
	}
	var out []netip.Addr
	for _, r := range e.Ranges[:1] {
		out = append(out, r.First, r.Last)
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return without(slices.Compact(out), func(a netip.Addr) bool { return taken(c, a) })
}

func taken(c *spectest.Cluster, a netip.Addr) bool {
	if len(c.Claimants(a)) > 0 {
		return true
	}
	for _, p := range c.Pods {
		if c.OnOwnNode(p, a) {
			return true
		}
		for _, ip := range p.Status.PodIPs {
			if ip.IP == a.String() {
				return true
			}
		}
	}
	return false
}

// tally counts what was compared, so that a test that compares nothing fails.
type tally struct{ allowed, denied, depends, seen int }

func (n *tally) see(t *testing.T, seed uint64, c *spectest.Cluster, x *policy.Index, o opinion, f [2]netip.Addr, e endpoint) {
	t.Helper()
	v := x.Evaluate(policy.Flow{Src: policy.End{Addr: f[0]}, Dst: policy.End{Addr: f[1]}, Protocol: e.protocol, Port: e.port})
	if diff := o.disagreement(v, e); diff != "" {
		t.Fatalf("seed %d: %s\n%s", seed, diff, c.YAML())
	}
	all, v4, v6 := o.m.Allows(o.src, o.dst, e.protocol, e.port)
	over := v6
	if f[0].Is4() {
		over = v4
	}
	switch {
	case over == connectivity.Depends:
		n.depends++
	case all == connectivity.Denied:
		n.denied++
	default:
		n.allowed++
	}
	if n.seen++; n.seen%8 != 0 {
		return // the naive evaluator takes its time
	}
	egress, ingress := c.Allowed(spectest.Flow{Src: f[0], Dst: f[1], Protocol: uint8(e.protocol), Port: e.port})
	if v.Allowed != (egress && ingress) {
		t.Fatalf("seed %d: %v %v: the naive evaluator says %v, %v", seed, f, e, egress, ingress)
	}
}

func (n *tally) finish(t *testing.T) {
	t.Helper()
	t.Logf("%d allowed, %d denied, %d depend", n.allowed, n.denied, n.depends)
	if n.allowed == 0 || n.denied == 0 || n.depends == 0 {
		t.Error("this tests nothing")
	}
}

// Where they are not known, the matrix is right whatever addresses the Pods
// get, and its conditions say with which of them something passes.
func TestUnknownAddressesAgreeWithAny(t *testing.T) {
	count := tally{}
	for seed := range *clustersFlag {
		c := random(seed)
		r := spectest.Seeded(seed ^ 2<<40)
		m := connectivity.New(withRanges(seed, clusterOf(t, c, false), c))
		free := candidates(c, m)
		if seed%2 == 1 {
			free = within(c, podRanges)
		}
		for range 3 {
			assigned := assign(r, c, free)
			pods := podsOf(t, assigned)
			x := indexOf(t, assigned, pods)
			for _, src := range pods {
				for _, dst := range pods {
					if src == dst {
						continue
					}
					o := newOpinion(m, endOf(t, m, src), endOf(t, m, dst))
					for _, f := range addrPairs(src, dst) {
						for _, e := range sampled(r) {
							count.see(t, seed, assigned, x, o, f, e)
						}
					}
				}
			}
		}
	}
	count.finish(t)
}

func addrPairs(src, dst *policy.Pod) (out [][2]netip.Addr) {
	for _, a := range src.Addrs {
		for _, b := range dst.Addrs {
			if a.Is4() == b.Is4() && a != b {
				out = append(out, [2]netip.Addr{a, b})
			}
		}
	}
	return out
}

func endOf(t *testing.T, m *connectivity.Matrix, p *policy.Pod) int {
	t.Helper()
	for i := range m.Ends() {
		if slices.Contains(m.Ends()[i].Workloads, connectivity.Name{Kind: "Pod", Namespace: p.Namespace, Name: p.Name}) {
			return i
		}
	}
	t.Fatalf("no end has %s", p.NamespacedName)
	return -1
}

// assign gives the Pods other addresses: those at the borders of what the
// policies tell apart.
func assign(r *rand.Rand, c *spectest.Cluster, free []netip.Addr) *spectest.Cluster {
	out := *c
	out.Pods = nil
	free = slices.Clone(free)
	r.Shuffle(len(free), func(i, j int) { swap(free, i, j) })
	for _, p := range c.Pods {
		p = p.DeepCopy()
		if !p.Spec.HostNetwork && r.IntN(4) > 0 {
			for i := range p.Status.PodIPs {
				v4 := netip.MustParseAddr(p.Status.PodIPs[i].IP).Is4()
				at := slices.IndexFunc(free, func(a netip.Addr) bool { return a.Is4() == v4 })
				if at >= 0 {
					p.Status.PodIPs[i].IP = free[at].String()
					free = slices.Delete(free, at, at+1)
				}
			}
			p.Status.PodIP = p.Status.PodIPs[0].IP
		}
		out.Pods = append(out.Pods, p)
	}
	return &out
}

// within are addresses that Pods may have in ranges: at the borders of these, and of the
// blocks of policies.
func within(c *spectest.Cluster, ranges []netip.Prefix) []netip.Addr {
	out := []netip.Addr{netip.MustParseAddr("10.64.200.1"), netip.MustParseAddr("10.71.255.254"), netip.MustParseAddr("fd00:64::ffff"), netip.MustParseAddr("fd00:64:ffff::1")}
	for _, np := range c.Policies {
		for _, b := range blocksOf(np) {
			for _, s := range append(b.Except, b.CIDR) {
				if p, err := policy.ParseCIDR(s); err == nil {
					out = append(out, p.Masked().Addr(), p.Masked().Addr().Prev(), p.Masked().Addr().Next())
				}
			}
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return without(slices.Compact(out), func(a netip.Addr) bool {
		return !slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(a) }) || taken(c, a)
	})
}

// blocksOf are the ipBlocks of a policy.
func blocksOf(np *networkingv1.NetworkPolicy) (out []*networkingv1.IPBlock) {
	var peers []networkingv1.NetworkPolicyPeer
	for i := range np.Spec.Ingress {
		peers = append(peers, np.Spec.Ingress[i].From...)
	}
	for i := range np.Spec.Egress {
		peers = append(peers, np.Spec.Egress[i].To...)
	}
	for i := range peers {
		if peers[i].IPBlock != nil {
			out = append(out, peers[i].IPBlock)
		}
	}
	return out
}

// candidates are addresses that a Pod may have, at the borders of ranges.
func candidates(c *spectest.Cluster, m *connectivity.Matrix) []netip.Addr {
	var out []netip.Addr
	for _, i := range ends(m, connectivity.Outside) {
		for _, rg := range m.Ends()[i].Ranges {
			out = append(out, rg.First, rg.First.Next(), rg.Last)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return without(slices.Compact(out), func(a netip.Addr) bool {
		return !a.IsValid() || a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) ||
			taken(c, a)
	})
}

// What depends has addresses with which it passes and others with which it
// does not: both are found by trying.
func TestDependsOnlyWhereAddressesDecide(t *testing.T) {
	found := 0
	for seed := range *clustersFlag {
		c := random(seed)
		r := spectest.Seeded(seed ^ 3<<40)
		m := connectivity.New(clusterOf(t, c, false))
		w := trial{t: t, m: m, c: c, free: everywhere(m)}
		tried := 0
		for src := range m.Ends() {
			for dst := range m.Ends() {
				for _, e := range sampled(r) {
					all, _, _ := m.Allows(src, dst, e.protocol, e.port)
					if all != connectivity.Depends || tried == 30 || r.IntN(4) > 0 {
						continue
					}
					tried++
					if passed, dropped := w.try(src, dst, e); !passed || !dropped {
						t.Fatalf("seed %d: %s → %s %s %d depends, but passes %v, does not pass %v:\n%+v\n%s", seed,
							&m.Ends()[src], &m.Ends()[dst], e.protocol, e.port, passed, dropped, where(m.Connection(src, dst), e), c.YAML())
					}
					found++
				}
			}
		}
	}
	t.Logf("%d answers that depend", found)
	if found == 0 {
		t.Error("this tests nothing")
	}
}

// everywhere is two addresses of each end outside, if it has two.
func everywhere(m *connectivity.Matrix) (out []netip.Addr) {
	for _, i := range ends(m, connectivity.Outside) {
		ranges := m.Ends()[i].Ranges
		first, last := ranges[0].First, ranges[len(ranges)-1].Last
		out = append(out, first)
		if first != last {
			out = append(out, last)
		}
	}
	return out
}

// trial tries addresses on two Pods that are alone in the cluster.
type trial struct {
	t    *testing.T
	m    *connectivity.Matrix
	c    *spectest.Cluster
	free []netip.Addr
}

func (w *trial) try(src, dst int, e endpoint) (passed, dropped bool) {
	x := indexOf(w.t, w.c, nil)
	s, d := &w.m.Ends()[src], &w.m.Ends()[dst]
	for _, a := range w.of(s) {
		for _, b := range w.of(d) {
			if a.Is4() != b.Is4() || a == b {
				continue
			}
			for _, own := range []bool{false, true} {
				// A node's address is its Pods' own or it is not.
				if own && s.Kind != connectivity.HostNetwork && d.Kind != connectivity.HostNetwork {
					continue
				}
				place(x, "src", s, a, own, b)
				place(x, "dst", d, b, own, a)
				v := x.Evaluate(policy.Flow{Src: policy.End{Addr: a}, Dst: policy.End{Addr: b}, Protocol: e.protocol, Port: e.port})
				passed, dropped = passed || v.Allowed, dropped || !v.Allowed
				if passed && dropped {
					return passed, dropped
				}
			}
		}
	}
	return passed, dropped
}

func (w *trial) of(e *connectivity.End) []netip.Addr {
	if e.Kind == connectivity.Outside {
		return []netip.Addr{e.Ranges[0].First}
	}
	return w.free
}

// place makes a Pod of the end, which has the address; own has it on a node
// that has the other one.
func place(x *policy.Index, name string, e *connectivity.End, a netip.Addr, own bool, other netip.Addr) {
	if e.Kind != connectivity.Pods {
		return
	}
	p := &policy.Pod{NamespacedName: named(e.Namespace, name), Labels: e.Labels, Ports: e.Ports, Addrs: []netip.Addr{a}}
	if own {
		p.NodeAddrs = []netip.Addr{other}
	}
	x.SetPod(p)
}

// The order of the objects says nothing.
func TestOrderDoesNotMatter(t *testing.T) {
	for seed := range *clustersFlag / 4 {
		given := clusterOf(t, random(seed), seed%2 == 0)
		after := clusterOf(t, random(seed+1000), false)
		want := all(given, after)
		for i := range uint64(3) {
			r := spectest.Seeded(seed<<8 | i)
			if got := all(shuffled(r, given), shuffled(r, after)); got != want {
				t.Fatalf("seed %d: in another order it is\n%s\nand not\n%s", seed, got, want)
			}
		}
	}
}

// all is all answers about two clusters, as text.
func all(before, after *connectivity.Cluster) string {
	m := connectivity.New(before)
	return fmt.Sprintf("%s\n%s\n%s", dump(m.List(connectivity.ListOptions{Why: true})), dump(connectivity.NewExposure(before)), dump(connectivity.Diff(before, after)))
}
