package enforcer

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"

	"github.com/sluice-net/sluice/enforcer/tables"
	"github.com/sluice-net/sluice/policy"
)

// applied is a node of a cluster whose rules are in a kernel. Of the cluster's
// Pods 100 are on the node, and everybody may scrape them.
type applied struct {
	tb       testing.TB
	ns       testNS
	index    *policy.Index
	compiler *compiler.Compiler
	// tables has the fast lane and counts in lanes, nft has not.
	tables, nft Transactor
	lanes       map[string]int
	epoch       uint32
}

func newApplied(tb testing.TB, pods int) *applied {
	tb.Helper()
	c, err := compiler.New(compiler.Config{Mark: compiler.MarkLayout{Mask: compiler.DefaultMask}, LogGroup: 1})
	if err != nil {
		tb.Fatal(err)
	}
	ns := newNS(tb)
	a := &applied{tb: tb, ns: ns, index: policy.NewIndex(policy.Options{Node: "here"}), compiler: c, lanes: map[string]int{}}
	both := tables.New(ns)
	both.Count = func(lane string) { a.lanes[lane]++ }
	tb.Cleanup(func() { _ = both.Close() })
	a.tables, a.nft = both, tables.ByNft(ns)
	a.index.SetNamespace("shop", map[string]string{corev1.LabelMetadataName: "shop"})
	for _, np := range benchPolicies() {
		if err := a.index.SetPolicy(np); err != nil {
			tb.Fatal(err)
		}
	}
	for i := range pods {
		a.index.SetPod(benchPod(i))
	}
	a.compiler.SetEpoch(1, false)
	a.compiler.Update(a.index, a.index.Changes(), compiler.Links{})
	a.run(a.compiler.Replace())
	return a
}

func benchPod(i int) *policy.Pod {
	node := "there"
	if i < 100 {
		node = "here"
	}
	return &policy.Pod{
		NamespacedName: types.NamespacedName{Namespace: "shop", Name: fmt.Sprintf("pod-%d", i)},
		UID:            types.UID(fmt.Sprint(i)), Node: node,
		Labels: map[string]string{"app": fmt.Sprintf("app-%d", i%50)},
		Addrs:  []netip.Addr{netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})},
	}
}

func benchPolicies() []*networkingv1.NetworkPolicy {
	port := intstr.FromInt32(9090)
	out := []*networkingv1.NetworkPolicy{{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "scrape"},
		Spec: networkingv1.NetworkPolicySpec{Ingress: []networkingv1.NetworkPolicyIngressRule{{
			From:  []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{}}},
			Ports: []networkingv1.NetworkPolicyPort{{Port: &port}},
		}}},
	}}
	for i := range 50 {
		out = append(out, &networkingv1.NetworkPolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("callers-%d", i)},
			Spec: networkingv1.NetworkPolicySpec{
				PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": fmt.Sprintf("app-%d", i)}},
				Ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{
					{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": fmt.Sprintf("app-%d", (i+1)%50)}}},
					{IPBlock: &networkingv1.IPBlock{CIDR: "192.168.0.0/16", Except: []string{"192.168.1.0/24"}}},
				}}},
			},
		})
	}
	return out
}

func (a *applied) run(ops []compiler.Op) { a.by(a.tables, ops) }

func (a *applied) by(t Transactor, ops []compiler.Op) {
	a.tb.Helper()
	if len(ops) == 0 {
		return
	}
	if err := t.Transact(context.Background(), knftables.InetFamily, ops); err != nil {
		a.tb.Fatal(err)
	}
}

// switchOver does what the agent does about the changes of the index, until
// the kernel holds them, and returns what may be cleaned up later.
func (a *applied) switchOver(by Transactor) []compiler.Op {
	a.tb.Helper()
	plan := a.compiler.Update(a.index, a.index.Changes(), compiler.Links{})
	a.by(by, plan.Prepare)
	if plan.Narrows {
		a.epoch = a.epoch%500 + 1
		plan.Commit = append(plan.Commit, a.compiler.SetEpoch(a.epoch, false)...)
	}
	a.by(by, plan.Commit)
	return plan.Cleanup
}

// BenchmarkApply is what reaches the kernel: a Pod elsewhere that comes or
// goes, a policy that changes, and all at once. "floor" is what nft itself
// needs to add one element to the same ruleset, "batch" what the fast lane
// needs for it: compare within one run. Those that end in "-nft" do without the
// fast lane.
func BenchmarkApply(b *testing.B) {
	for _, pods := range []int{100, 1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("pods=%d", pods), func(b *testing.B) {
			a := newApplied(b, pods)
			b.Run("floor", func(b *testing.B) { a.benchFloor(b, a.nft) })
			b.Run("batch", func(b *testing.B) { a.benchFloor(b, a.tables) })
			b.Run("member", func(b *testing.B) { a.benchMember(b, a.tables) })
			b.Run("member-nft", func(b *testing.B) { a.benchMember(b, a.nft) })
			b.Run("policy", func(b *testing.B) { a.benchPolicy(b, a.tables) })
			b.Run("policy-nft", func(b *testing.B) { a.benchPolicy(b, a.nft) })
			b.Run("replace", func(b *testing.B) {
				for b.Loop() {
					a.run(a.compiler.Replace())
				}
			})
		})
	}
}

func (a *applied) benchFloor(b *testing.B, by Transactor) {
	e := keyedByAddress("local-v4", compiler.NoValue, "203.0.113.1")
	for i := 0; b.Loop(); i++ {
		verb := compiler.Add
		if i%2 == 1 {
			verb = compiler.Delete
		}
		a.by(by, []compiler.Op{{Verb: verb, Object: e}})
	}
	a.run([]compiler.Op{{Verb: compiler.Add, Object: e}, {Verb: compiler.Delete, Object: e}})
}

const guest = 1 << 20

func (a *applied) benchMember(b *testing.B, by Transactor) {
	for i := 0; b.Loop(); i++ {
		a.toggleGuest(i%2 == 0)
		a.switchOver(by)
	}
	a.toggleGuest(false)
	a.switchOver(by)
}

// toggleGuest has a Pod elsewhere come or go.
func (a *applied) toggleGuest(there bool) {
	if p := benchPod(guest); there {
		a.index.SetPod(p)
	} else {
		a.index.DeletePod(p.NamespacedName)
	}
}

// benchPolicy leaves the time out that cleaning up takes: it comes when nothing
// waits.
func (a *applied) benchPolicy(b *testing.B, by Transactor) {
	for i := 0; b.Loop(); i++ {
		a.changePolicy(i)
		left := a.switchOver(by)
		b.StopTimer()
		a.run(left)
		b.StartTimer()
	}
}

func (a *applied) changePolicy(i int) {
	a.tb.Helper()
	np := benchPolicies()[1]
	np.Spec.Ingress[0].From[1].IPBlock.CIDR = fmt.Sprintf("192.168.%d.0/24", 2+i%2)
	np.Spec.Ingress[0].From[1].IPBlock.Except = nil
	if err := a.index.SetPolicy(np); err != nil {
		a.tb.Fatal(err)
	}
}

// How often nft runs until an event holds in the kernel does not depend on the
// machine.
func TestLaneSparesRunsOfNft(t *testing.T) {
	a := newApplied(t, 300)
	tests := []struct {
		name         string
		change       func(i int)
		nft, netlink int
	}{
		{"a Pod elsewhere comes", func(int) { a.toggleGuest(true) }, 0, 1},
		{"it goes", func(int) { a.toggleGuest(false) }, 0, 1},
		{"its labels change", func(i int) {
			p := benchPod(200)
			p.Labels = map[string]string{"app": fmt.Sprintf("app-%d", i+1)}
			a.index.SetPod(p)
		}, 0, 1},
		{"a policy changes its ranges", a.changePolicy, 0, 2},
		{"a policy comes", func(int) {
			np := benchPolicies()[3]
			np.Name = "one-more"
			if err := a.index.SetPolicy(np); err != nil {
				t.Fatal(err)
			}
		}, 0, 2},
		{"a policy goes", func(int) {
			a.index.DeletePolicy(types.NamespacedName{Namespace: "shop", Name: "callers-7"})
		}, 0, 2},
		{"a local Pod comes", func(int) {
			p := benchPod(guest)
			p.Node = "here"
			a.index.SetPod(p)
		}, 0, 2},
		{"it goes again", func(int) { a.toggleGuest(false) }, 0, 1},
	}
	for i, tt := range tests {
		clear(a.lanes)
		tt.change(i)
		left := a.switchOver(a.tables)
		if a.lanes[tables.NftLane] != tt.nft || a.lanes[tables.NetlinkLane] != tt.netlink {
			t.Errorf("%s: %v transactions until it holds, want %d by nft and %d by netlink", tt.name, a.lanes, tt.nft, tt.netlink)
		}
		a.run(left)
		if got := a.lanes[tables.NftLane]; got != tt.nft {
			t.Errorf("%s: %d runs of nft with the cleanup, want %d", tt.name, got, tt.nft)
		}
	}
}
