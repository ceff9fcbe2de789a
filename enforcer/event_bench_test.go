package enforcer

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/rounds"
	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/enforcer/tables"
)

// handedOver is a Transactor that takes the time when it is called.
type handedOver struct {
	Transactor
	at, done time.Time
}

func (h *handedOver) Transact(ctx context.Context, family knftables.Family, ops []compiler.Op) error {
	if family != knftables.InetFamily {
		return h.Transactor.Transact(ctx, family, ops)
	}
	h.at = time.Now()
	err := h.Transactor.Transact(ctx, family, ops)
	h.done = time.Now()
	return err
}

// eventBench is an agent's sync loop, called by hand, on a node of a large
// cluster.
type eventBench struct {
	s    *syncer
	a    *Agent
	hand *handedOver
}

func newEventBench(b testing.TB, pods, policies int) *eventBench {
	b.Helper()
	ns := newNS(b)
	tables := tables.New(ns)
	hand := &handedOver{Transactor: tables}
	cfg := Config{Node: "here", MinInterval: -1, Grace: -1, Transactor: hand}
	// Without a pause between events it takes more epochs than usual.
	cfg.Compiler.Mark.Mask = 0x0ffff000
	a, err := New(cfg, &source.Memory{}, ns, prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	s, err := a.newSyncer(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.close(); _ = tables.Close() })
	a.box.Deliver(source.Event{Kind: source.NamespaceEvent, Name: types.NamespacedName{Name: "shop"}, Labels: map[string]string{"kubernetes.io/metadata.name": "shop"}})
	for _, np := range slices.Concat(benchPolicies(), policiesElsewhere(policies)) {
		a.box.Deliver(source.Event{Kind: source.PolicyEvent, Name: types.NamespacedName{Namespace: np.Namespace, Name: np.Name}, Policy: np})
	}
	for i := range pods {
		p := benchPod(i)
		a.box.Deliver(source.Event{Kind: source.PodEvent, Name: p.NamespacedName, Pod: p})
	}
	a.box.Synced()
	e := &eventBench{s, a, hand}
	e.sync(b)
	return e
}

// policiesElsewhere select Pods of namespaces that the node has none of.
func policiesElsewhere(n int) []*networkingv1.NetworkPolicy {
	var out []*networkingv1.NetworkPolicy
	for i := range n {
		selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": fmt.Sprintf("app-%d", i%50)}}
		out = append(out, &networkingv1.NetworkPolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: fmt.Sprintf("elsewhere-%d", i/10), Name: fmt.Sprintf("policy-%d", i)},
			Spec: networkingv1.NetworkPolicySpec{
				PodSelector: *selector,
				Ingress:     []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{PodSelector: selector}}}},
			},
		})
	}
	return out
}

func (e *eventBench) sync(b testing.TB) {
	b.Helper()
	worked, err := e.s.sync(context.Background())
	e.s.rounds.Ended(rounds.Outcome{Failed: err != nil, Worked: worked}, e.s.cfg.Clock.Now())
	if err != nil {
		b.Fatal(err)
	}
}

// toggle has a Pod elsewhere come or go.
func (e *eventBench) toggle(tb testing.TB, there bool) {
	p := benchPod(guest)
	event := source.Event{Kind: source.PodEvent, Name: p.NamespacedName, Pod: p}
	if !there {
		event.Pod, event.Deleted = nil, true
	}
	e.a.box.Deliver(event)
	e.sync(tb)
}

// What an event costs us must not depend on how large the cluster is. The
// number of allocations does not depend on the machine either.
func TestEventCostsTheSameInALargeCluster(t *testing.T) {
	allocations := func(pods, policies int) float64 {
		e := newEventBench(t, pods, policies)
		return testing.AllocsPerRun(40, func() {
			e.toggle(t, true)
			e.toggle(t, false)
		}) / 2
	}
	small, large := allocations(500, 100), allocations(10_000, 2_000)
	if large > 1.1*small || large > 1000 {
		t.Errorf("%.0f allocations an event among 500 Pods, %.0f among 10,000", small, large)
	}
}

// BenchmarkEvent is one Pod elsewhere that comes or goes: "own-ms" until we hand
// it over, "kernel-ms" until the kernel holds it, both medians.
func BenchmarkEvent(b *testing.B) {
	for _, size := range []struct{ pods, policies int }{{10_000, 1_000}, {150_000, 20_000}} {
		b.Run(fmt.Sprintf("pods=%d/policies=%d", size.pods, size.policies), func(b *testing.B) {
			e := newEventBench(b, size.pods, size.policies)
			var own, kernel []time.Duration
			for i := 0; b.Loop(); i++ {
				started := time.Now()
				e.toggle(b, i%2 == 0)
				own = append(own, e.hand.at.Sub(started))
				kernel = append(kernel, e.hand.done.Sub(started))
			}
			for unit, list := range map[string][]time.Duration{"own-ms": own, "kernel-ms": kernel} {
				slices.Sort(list)
				b.ReportMetric(float64(list[len(list)/2].Microseconds())/1000, unit)
			}
		})
	}
}
