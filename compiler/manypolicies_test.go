package compiler_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/conformance/scale"
	"github.com/sluice-net/sluice/policy"
)

// selected is a node of which many policies select one Pod.
type selected struct {
	tb      testing.TB
	cluster scale.Selected
	index   *policy.Index
	c       *compiler.Compiler
	links   compiler.Links
}

func newSelected(tb testing.TB, of scale.Selected) *selected {
	tb.Helper()
	s := &selected{tb: tb, cluster: of, index: policy.NewIndex(policy.Options{Node: scale.Node}), c: newCompiler(tb, plainConfig())}
	if err := of.Fill(s.index); err != nil {
		tb.Fatal(err)
	}
	s.links = compiler.Links{Binds: map[netip.Addr]compiler.Bind{}}
	for p := range s.index.Subjects() {
		for _, a := range p.Addrs {
			s.links.Binds[a] = compiler.Bind{Interface: "v-" + p.Pod.Name, Veth: "v-" + p.Pod.Name, MAC: "0a:00:00:00:00:01"}
		}
	}
	s.update()
	return s
}

func (s *selected) update() compiler.Plan { return s.c.Update(s.index, s.index.Changes(), s.links) }

// selectedEvent is a change, and the change back.
type selectedEvent struct {
	name         string
	there, again func(*selected)
}

func selectedEvents() []selectedEvent {
	set := func(n func(s *selected) int) func(*selected) {
		return func(s *selected) { s.must(s.index.SetPolicy(s.cluster.Policy(n(s)))) }
	}
	remove := func(n func(s *selected) int) func(*selected) {
		return func(s *selected) { s.index.DeletePolicy(nameOf(s.cluster.Policy(n(s)))) }
	}
	more := func(s *selected) int { return s.cluster.Policies }
	middle := func(s *selected) int { return s.cluster.Policies / 2 }
	const guest = 100 + 50*100 + 7
	return []selectedEvent{
		{"one-more", set(more), remove(more)},
		{"one-less", remove(middle), set(middle)},
		{
			"neighbour", func(s *selected) { s.must(s.index.SetPolicy(s.cluster.Neighbour())) },
			func(s *selected) { s.index.DeletePolicy(nameOf(s.cluster.Neighbour())) },
		},
		{
			"peer", func(s *selected) { s.index.SetPod(s.cluster.Pod(guest)) },
			func(s *selected) { s.index.DeletePod(s.cluster.Pod(guest).NamespacedName) },
		},
	}
}

func (s *selected) must(err error) {
	s.tb.Helper()
	if err != nil {
		s.tb.Fatal(err)
	}
}

func eachSelected(run func(name string, of scale.Selected)) {
	for _, plain := range []bool{false, true} {
		for _, n := range []int{10, 100, 300, 1_000} {
			run(fmt.Sprintf("%s/policies=%d", map[bool]string{false: "overlapping", true: "plain"}[plain], n), scale.Selected{Policies: n, Plain: plain})
		}
	}
}

// BenchmarkManyPoliciesOfAPod is events at a Pod that many policies select, and at its
// neighbour. The operations are those until an event holds.
func BenchmarkManyPoliciesOfAPod(b *testing.B) {
	eachSelected(func(name string, of scale.Selected) {
		s := newSelected(b, of)
		rules, chains := sizeOf(s.c.Ruleset())
		for _, e := range selectedEvents() {
			b.Run(name+"/"+e.name, func(b *testing.B) {
				ops, events := 0, 0
				for b.Loop() {
					for _, do := range []func(*selected){e.there, e.again} {
						b.StopTimer()
						do(s)
						ch := s.index.Changes()
						b.StartTimer()
						plan := s.c.Update(s.index, ch, s.links)
						ops += len(plan.Prepare) + len(plan.Commit)
						events++
					}
				}
				b.ReportMetric(float64(ops)/float64(events), "ops/event")
				b.ReportMetric(float64(b.Elapsed())/float64(events)/float64(time.Millisecond), "ms/event")
				b.ReportMetric(float64(rules), "rules")
				b.ReportMetric(float64(chains), "chains")
				b.ReportMetric(0, "ns/op")
			})
		}
	})
}

func sizeOf(r *compiler.Ruleset) (rules, chains int) {
	for i := range r.Chains {
		rules += len(r.Chains[i].Rules)
	}
	return rules, len(r.Chains)
}

func nameOf(np *networkingv1.NetworkPolicy) types.NamespacedName {
	return types.NamespacedName{Namespace: np.Namespace, Name: np.Name}
}
