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
	"github.com/sluice-net/sluice/policy"
)

// applied is a node of a cluster whose rules are in a kernel. Of the cluster's
// Pods 100 are on the node, and everybody may scrape them.
type applied struct {
	tb       testing.TB
	ns       testNS
	index    *policy.Index
	compiler *compiler.Compiler
	tables   Transactor
}

func newApplied(tb testing.TB, pods int) *applied {
	tb.Helper()
	c, err := compiler.New(compiler.Config{Mark: compiler.MarkLayout{Mask: compiler.DefaultMask}, LogGroup: 1})
	if err != nil {
		tb.Fatal(err)
	}
	ns := newNS(tb)
	a := &applied{tb: tb, ns: ns, index: policy.NewIndex(policy.Options{Node: "here"}), compiler: c, tables: NewTransactor(ns)}
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

func (a *applied) run(ops []compiler.Op) {
	a.tb.Helper()
	if len(ops) == 0 {
		return
	}
	if err := a.tables.Transact(context.Background(), knftables.InetFamily, ops); err != nil {
		a.tb.Fatal(err)
	}
}

// sync does what the agent does about the changes of the index.
func (a *applied) sync() {
	a.tb.Helper()
	plan := a.compiler.Update(a.index, a.index.Changes(), compiler.Links{})
	for _, ops := range [][]compiler.Op{plan.Prepare, plan.Commit, plan.Cleanup} {
		a.run(ops)
	}
}

// BenchmarkApply is what reaches the kernel: a Pod elsewhere that comes or
// goes, a policy that changes, and all at once. "floor" is what nft itself
// needs to add one element to the same ruleset: compare within one run.
func BenchmarkApply(b *testing.B) {
	for _, pods := range []int{100, 1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("pods=%d", pods), func(b *testing.B) {
			a := newApplied(b, pods)
			b.Run("floor", a.benchFloor)
			b.Run("member", a.benchMember)
			b.Run("policy", a.benchPolicy)
			b.Run("replace", func(b *testing.B) {
				for b.Loop() {
					a.run(a.compiler.Replace())
				}
			})
		})
	}
}

func (a *applied) benchFloor(b *testing.B) {
	e := &knftables.Element{Set: "local-v4", Key: []string{"203.0.113.1"}}
	for i := 0; b.Loop(); i++ {
		verb := compiler.Add
		if i%2 == 1 {
			verb = compiler.Delete
		}
		a.run([]compiler.Op{{Verb: verb, Object: e}})
	}
	a.run([]compiler.Op{{Verb: compiler.Add, Object: e}, {Verb: compiler.Delete, Object: e}})
}

func (a *applied) benchMember(b *testing.B) {
	const guest = 1 << 20
	for i := 0; b.Loop(); i++ {
		if p := benchPod(guest); i%2 == 0 {
			a.index.SetPod(p)
		} else {
			a.index.DeletePod(p.NamespacedName)
		}
		a.sync()
	}
	a.index.DeletePod(benchPod(guest).NamespacedName)
	a.sync()
}

func (a *applied) benchPolicy(b *testing.B) {
	np := benchPolicies()[1]
	for i := 0; b.Loop(); i++ {
		np.Spec.Ingress[0].From[1].IPBlock.CIDR = fmt.Sprintf("192.168.%d.0/24", 2+i%2)
		np.Spec.Ingress[0].From[1].IPBlock.Except = nil
		if err := a.index.SetPolicy(np); err != nil {
			b.Fatal(err)
		}
		a.sync()
	}
}
