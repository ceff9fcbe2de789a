package compiler_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/compiler/rulesim"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/spectest"
)

// follower is one that compiles what it is told, and a kernel that follows it.
type follower struct {
	t        *testing.T
	index    *policy.Index
	compiler *compiler.Compiler
	kernel   *rulesim.Kernel
	links    compiler.Links
	guards   map[string]compiler.GuardPlan
	// shape has compilers take allow sets for larger than they are; nil: it does not.
	shape func(*compiler.Compiler)
}

func newFollower(t *testing.T, o policy.Options, cfg compiler.Config) *follower {
	t.Helper()
	c, err := compiler.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n := &follower{
		t: t, index: policy.NewIndex(o), compiler: c, kernel: rulesim.NewKernel(),
		links:  compiler.Links{Binds: map[netip.Addr]compiler.Bind{}},
		guards: map[string]compiler.GuardPlan{},
	}
	if err := n.kernel.Transact(c.Replace()); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *follower) deliver(e spectest.Event) {
	switch {
	case e.Pod != nil && e.Delete:
		n.index.DeletePod(e.Name())
	case e.Pod != nil:
		p, _ := policy.PodFromAPI(e.Pod)
		n.index.SetPod(p)
	case e.Namespace != nil && e.Delete:
		n.index.DeleteNamespace(e.Name().Name)
	case e.Namespace != nil:
		n.index.SetNamespace(e.Namespace.Name, e.Namespace.Labels)
	case e.Policy != nil && e.Delete:
		n.index.DeletePolicy(e.Name())
	default:
		_ = n.index.SetPolicy(e.Policy) // what is invalid in it allows nothing
	}
}

// find draws where the local addresses are. Some are nowhere.
func (n *follower) find(r *rand.Rand) {
	n.links = compiler.Links{Binds: map[netip.Addr]compiler.Bind{}, PodInterfaces: []string{"cni0"}, IPVS: n.links.IPVS || r.IntN(20) == 0}
	n.findTunnels(r)
	i := 0
	var last compiler.Bind
	for s := range n.index.Subjects() {
		i++
		b := compiler.Bind{Interface: "cni0", Veth: fmt.Sprintf("veth%d", i), Port: i, MAC: fmt.Sprintf("0a:00:00:00:00:%02x", i)}
		switch r.IntN(12) {
		case 0:
			b.MAC = ""
		case 1:
			continue
		case 2:
			b.Interface, b.Port = b.Veth, 0
			n.links.PodInterfaces = append(n.links.PodInterfaces, b.Veth)
		case 3:
			b.LinkLocal = []netip.Addr{netip.MustParseAddr("fe80::1")}
		case 4, 5: // behind the port of another, as where two share an address
			b = last
		}
		for _, a := range s.Addrs {
			n.links.Binds[a] = b
			if r.IntN(8) == 0 {
				delete(n.links.Binds, a)
			}
		}
		last = b
	}
}

// findTunnels draws what the node's tunnel devices take.
func (n *follower) findTunnels(r *rand.Rand) {
	for range max(0, r.IntN(5)-1) {
		t := compiler.Tunnel{Protocol: 17, Port: uint16(8472 + r.IntN(2)), Closed: r.IntN(2) == 0}
		if r.IntN(3) == 0 {
			t.Protocol, t.Port = []uint8{4, 41, 47}[r.IntN(3)], 0
		}
		for range r.IntN(3) {
			t.Peers = append(t.Peers, netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(3))}), netip.AddrFrom16([16]byte{0x20, 0x01, 15: byte(r.IntN(3))}))
		}
		n.links.Tunnels = append(n.links.Tunnels, t)
	}
}

// sync brings all that was delivered into the kernel, and holds the plan to
// what a comparison of the rulesets finds.
func (n *follower) sync(epoch uint32) compiler.Plan {
	n.t.Helper()
	before := n.compiler.Ruleset()
	plan := n.compiler.Update(n.index, n.index.Changes(), n.links)
	after := n.compiler.Ruleset()
	want := compiler.Diff(before, after)
	for _, part := range []struct {
		name      string
		got, want []compiler.Op
	}{{"Prepare", plan.Prepare, want.Prepare}, {"Commit", plan.Commit, want.Commit}, {"Cleanup", plan.Cleanup, want.Cleanup}} {
		if diff := cmp.Diff(n.render(part.want), n.render(part.got)); diff != "" {
			n.t.Fatalf("%s of Update differs from Diff's (-Diff +Update):\n%s", part.name, diff)
		}
	}
	if want.Divisible != plan.Divisible {
		n.t.Fatalf("divisible: Update says %t, Diff %t", plan.Divisible, want.Divisible)
	}
	if want.Narrows && !plan.Narrows {
		n.t.Fatal("Update says that nothing narrows, Diff that something does")
	}
	all := plan
	all.Commit = append(plan.Commit[:len(plan.Commit):len(plan.Commit)], n.compiler.SetEpoch(epoch, epoch%3 == 0)...)
	if err := n.kernel.Apply(all); err != nil {
		n.t.Fatal(err)
	}
	for _, g := range plan.Guards {
		if n.guards[g.Veth] = g; len(g.Chains) == 0 {
			delete(n.guards, g.Veth)
		}
	}
	return plan
}

func (n *follower) render(ops []compiler.Op) string {
	n.t.Helper()
	text, err := rulesim.Render(knftables.InetFamily, ops)
	if err != nil {
		n.t.Fatal(err)
	}
	return text
}

// settled holds the follower to a compiler that never saw anything else.
func (n *follower) settled(events []spectest.Event, o policy.Options, cfg compiler.Config, epoch uint32) {
	n.t.Helper()
	fresh := newFollower(n.t, o, cfg)
	if n.shape != nil {
		n.shape(fresh.compiler)
	}
	for _, e := range events {
		fresh.deliver(e)
	}
	fresh.links = n.links
	fresh.sync(epoch)
	if diff := cmp.Diff(fresh.compiler.Ruleset().String(), n.compiler.Ruleset().String()); diff != "" {
		n.t.Fatalf("incremental ruleset differs from a fresh one (-fresh +incremental):\n%s", diff)
	}
	if !n.compiler.Ruleset().Equal(fresh.compiler.Ruleset()) {
		n.t.Fatal("rulesets are equal as text and not as data")
	}
	replaced, err := rulesim.Load(n.compiler.Ruleset().String())
	if err != nil {
		n.t.Fatal(err)
	}
	if diff := cmp.Diff(replaced.Dump(), n.kernel.Dump()); diff != "" {
		n.t.Fatalf("plans led elsewhere than the ruleset (-ruleset +plans):\n%s", diff)
	}
	if err := replaced.Transact(fresh.compiler.Replace()); err != nil {
		n.t.Fatal(err)
	}
	if diff := cmp.Diff(replaced.Dump(), n.kernel.Dump()); diff != "" {
		n.t.Fatalf("plans led elsewhere than Replace (-Replace +plans):\n%s", diff)
	}
	if diff := cmp.Diff(fresh.compiler.PortGuards().PortText(), n.compiler.PortGuards().PortText()); diff != "" {
		n.t.Fatalf("incremental guards of ports differ from fresh ones (-fresh +incremental):\n%s", diff)
	}
	want := map[string]compiler.GuardPlan{}
	for _, g := range fresh.compiler.Guards() {
		want[g.Veth] = g
	}
	if diff := cmp.Diff(want, n.guards); diff != "" {
		n.t.Fatalf("guards differ (-fresh +incremental):\n%s", diff)
	}
}

func drawnConfig(r *rand.Rand) compiler.Config {
	cfg := followedConfig()
	cfg.UnknownPods, cfg.NodeEgress = r.IntN(4) == 0, r.IntN(4) == 0
	cfg.Reject, cfg.GuardOptOut = r.IntN(2) == 0, r.IntN(2) == 0
	if r.IntN(4) == 0 {
		cfg.NodeDNS = []netip.Addr{netip.MustParseAddr("169.254.20.10"), netip.MustParseAddr("fd00::53")}
	}
	return cfg
}

func followedConfig() compiler.Config {
	return compiler.Config{Mark: compiler.MarkLayout{Mask: compiler.DefaultMask}, LogGroup: 100}
}

// TestRandomHistories: whatever happened in whatever order, the ruleset, the
// guards and the kernel are those of a compiler that only saw the end, every
// step is one that the kernel takes, and Update and Diff agree on it.
func TestRandomHistories(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { followHistory(t, seed) })
	}
}

func followHistory(t *testing.T, seed uint64) {
	r := spectest.Seeded(seed)
	cluster := spectest.Random(r, spectest.Options{Invalid: r.IntN(3) == 0, Contested: seed%7 == 0, Names: seed%6 == 5})
	var o policy.Options
	if r.IntN(2) == 0 && len(cluster.Pods) > 0 {
		o.Node = cluster.Pods[r.IntN(len(cluster.Pods))].Spec.NodeName
	}
	cfg := drawnConfig(r)
	n := newFollower(t, o, cfg)
	switch seed % 3 {
	case 0:
		n.shape = func(c *compiler.Compiler) { c.SmallLimits(1, 2, 4) }
	case 1:
		n.shape = func(c *compiler.Compiler) { c.SmallLeaves(1, 2, int(seed)%2) }
	}
	if n.shape != nil {
		n.shape(n.compiler)
	}
	epoch := uint32(1)
	for _, e := range cluster.Events(r) {
		n.deliver(e)
		if r.IntN(3) > 0 {
			continue
		}
		if r.IntN(3) == 0 {
			n.find(r)
		}
		if n.sync(epoch).Narrows {
			epoch++
		}
	}
	n.find(r)
	n.sync(epoch)
	n.settled(cluster.Final(), o, cfg, epoch)
	if idle := n.sync(epoch); !idle.Empty() || idle.Narrows {
		t.Fatalf("nothing happened, but the plan is %+v", idle)
	}
}
