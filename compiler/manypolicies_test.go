package compiler_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

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

func termsOf(r *compiler.Ruleset) int {
	out := 0
	for i := range r.Chains {
		for _, rule := range r.Chains[i].Rules {
			out += len(rule.Terms)
		}
	}
	return out
}

func nameOf(np *networkingv1.NetworkPolicy) types.NamespacedName {
	return types.NamespacedName{Namespace: np.Namespace, Name: np.Name}
}

// TestPolicyMoreChangesLittle counts what an event takes at a Pod that many policies
// select: it must not be the Pod's whole ruleset, and hardly grow with it.
func TestPolicyMoreChangesLittle(t *testing.T) {
	for _, tt := range []struct {
		of scale.Selected
		// ops is how many operations an event may take until it holds, rules and chains
		// how many the node may have, and terms how many matches, statements and verdicts
		// these rules, for the kernel reads them all when a rule comes.
		ops, rules, chains, terms int
	}{
		{scale.Selected{Policies: 100}, 370, 1_320, 335, 3_500},
		{scale.Selected{Policies: 1_000}, 410, 9_300, 2_010, 25_000},
		{scale.Selected{Policies: 100, Plain: true}, 660, 2_180, 335, 6_100},
		{scale.Selected{Policies: 1_000, Plain: true}, 860, 19_800, 2_990, 55_000},
		{scale.Selected{Policies: 100, Everybody: true}, 370, 1_320, 335, 3_500},
		{scale.Selected{Policies: 1_000, Everybody: true}, 410, 9_300, 2_010, 25_000},
	} {
		s := newSelected(t, tt.of)
		rules, chains := sizeOf(s.c.Ruleset())
		if terms := termsOf(s.c.Ruleset()); rules > tt.rules || chains > tt.chains || terms > tt.terms {
			t.Errorf("%+v: %d rules, %d chains, %d terms, want at most %d, %d and %d", tt.of, rules, chains, terms, tt.rules, tt.chains, tt.terms)
		}
		for _, e := range selectedEvents() {
			most := tt.ops
			if e.name == "peer" || e.name == "neighbour" {
				most = 25
			}
			for _, do := range []func(*selected){e.there, e.again} {
				do(s)
				plan := s.update()
				if n := len(plan.Prepare) + len(plan.Commit); n > most {
					t.Errorf("%+v, %s: %d operations, want at most %d", tt.of, e.name, n, most)
				}
			}
		}
		fresh := newSelected(t, tt.of)
		if !fresh.c.Ruleset().Equal(s.c.Ruleset()) {
			t.Errorf("%+v: what was changed and changed back is not what it was", tt.of)
		}
	}
}

// TestPolicyOfThousandsOfRanges: one policy of the API's largest size has not more chains
// than ranges of ports, whoever its peers are.
func TestPolicyOfThousandsOfRanges(t *testing.T) {
	const ranges = 3_000
	for name, of := range map[string]func(i int32, r *networkingv1.NetworkPolicyIngressRule){
		"one peer": func(int32, *networkingv1.NetworkPolicyIngressRule) {},
		"an address range each": func(i int32, r *networkingv1.NetworkPolicyIngressRule) {
			r.From = []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: fmt.Sprintf("10.%d.%d.0/24", i/256, i%256)}}}
		},
		"a group each": func(i int32, r *networkingv1.NetworkPolicyIngressRule) {
			r.From = []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": fmt.Sprint("x", i)}}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSelected(t, scale.Selected{})
			_, before := sizeOf(s.c.Ruleset())
			np := s.cluster.Policy(0)
			np.Spec.Ingress = nil
			for i := range int32(ranges) {
				first, end := intstr.FromInt32(1+20*i), 1+20*i+10
				r := networkingv1.NetworkPolicyIngressRule{Ports: []networkingv1.NetworkPolicyPort{{Port: &first, EndPort: &end}}}
				of(i, &r)
				np.Spec.Ingress = append(np.Spec.Ingress, r)
			}
			s.must(s.index.SetPolicy(np))
			plan := s.update()
			rules, chains := sizeOf(s.c.Ruleset())
			if chains-before > ranges || rules > 3*ranges {
				t.Errorf("%d ranges make %d chains and %d rules", ranges, chains-before, rules)
			}
			t.Logf("%d operations, %d chains, %d rules", len(plan.Prepare), chains-before, rules)
		})
	}
}
