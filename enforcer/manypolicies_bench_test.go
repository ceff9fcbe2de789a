package enforcer

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/conformance/scale"
	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/enforcer/tables"
)

// newSelectedBench is an agent on a node of which many policies select one Pod.
func newSelectedBench(b testing.TB, of scale.Selected) (e *eventBench, start time.Duration) {
	b.Helper()
	ns := newNS(b)
	tables := tables.New(ns)
	hand := &handedOver{Transactor: tables}
	cfg := Config{Node: scale.Node, MinInterval: -1, Grace: -1, Transactor: hand}
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
	a.box.Deliver(source.Event{Kind: source.NamespaceEvent, Name: types.NamespacedName{Name: of.Neighbour().Namespace}, Labels: map[string]string{"team": "team-0"}})
	for i := range of.Policies {
		a.box.Deliver(policyComes(of.Policy(i)))
	}
	for i := range 300 {
		p := of.Pod(i)
		a.box.Deliver(source.Event{Kind: source.PodEvent, Name: p.NamespacedName, Pod: p})
	}
	a.box.Synced()
	e = &eventBench{s, a, hand}
	began := time.Now()
	e.sync(b)
	return e, time.Since(began)
}

func policyComes(np *networkingv1.NetworkPolicy) source.Event {
	return source.Event{Kind: source.PolicyEvent, Name: types.NamespacedName{Namespace: np.Namespace, Name: np.Name}, Policy: np}
}

func policyGoes(np *networkingv1.NetworkPolicy) source.Event {
	return source.Event{Kind: source.PolicyEvent, Name: types.NamespacedName{Namespace: np.Namespace, Name: np.Name}, Deleted: true}
}

// BenchmarkManyPolicies is events at a Pod that many policies select, and at its
// neighbour, until the kernel holds them; medians, of the processor's time, too, which
// others who want it change less. What is left over is deleted apart.
func BenchmarkManyPolicies(b *testing.B) {
	for _, plain := range []bool{false, true} {
		for _, n := range []int{0, 100, 1_000} {
			of := scale.Selected{Policies: n, Plain: plain}
			name := fmt.Sprintf("%s/policies=%d", map[bool]string{false: "overlapping", true: "plain"}[plain], n)
			e, start := newSelectedBench(b, of)
			more, less, neighbour := of.Policy(n), of.Policy(n/2), of.Neighbour()
			for _, ev := range []struct {
				name         string
				there, again source.Event
			}{
				{"one-more", policyComes(more), policyGoes(more)},
				{"one-less", policyGoes(less), policyComes(less)},
				{"neighbour", policyComes(neighbour), policyGoes(neighbour)},
			} {
				if n == 0 && ev.name == "one-less" {
					continue
				}
				b.Run(name+"/"+ev.name, func(b *testing.B) {
					var took, worked [2][]time.Duration
					for b.Loop() {
						for i, event := range []source.Event{ev.there, ev.again} {
							e.a.box.Deliver(event)
							began, before := time.Now(), processorTime(b)
							e.sync(b)
							took[i] = append(took[i], e.hand.done.Sub(began))
							worked[i] = append(worked[i], processorTime(b)-before)
							if err := e.s.tidy(context.Background()); err != nil {
								b.Fatal(err)
							}
						}
					}
					for i, unit := range []string{"there", "again"} {
						for what, list := range map[string][]time.Duration{"-ms": took[i], "-cpu-ms": worked[i]} {
							slices.Sort(list)
							b.ReportMetric(float64(list[len(list)/2].Microseconds())/1000, unit+what)
						}
					}
					b.ReportMetric(start.Seconds(), "start-s")
					b.ReportMetric(0, "ns/op")
				})
			}
		}
	}
}
