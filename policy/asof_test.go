package policy_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/spectest"
)

// A told story is a cluster's history, told to an index in generations.
type told struct {
	*scenario
	live   *policy.Index
	events []spectest.Event
	// in is the generation of each event.
	in []policy.Generation
}

func tell(t *testing.T, s *scenario, r *rand.Rand, most int) *told {
	t.Helper()
	h := &told{scenario: s, live: policy.NewIndex(s.options), events: s.cluster.Events(r)}
	start := len(h.events) / 2
	for n, e := range h.events {
		if n == start {
			h.live.KeepPast(most)
		}
		generation := policy.Generation(0)
		if n >= start {
			if generation = h.last(); generation == 0 || r.IntN(3) == 0 {
				generation = h.live.NextGeneration()
			}
		}
		if err := s.deliver(h.live, e); err != nil {
			t.Fatalf("seed %d: %v", s.seed, err)
		}
		h.in = append(h.in, generation)
		if r.IntN(7) == 0 {
			// Whoever takes the changes, or asks, does no harm to the past.
			h.live.Changes()
		}
	}
	return h
}

func (h *told) last() policy.Generation {
	if len(h.in) == 0 {
		return 0
	}
	return h.in[len(h.in)-1]
}

// twin is an index that was never told of some generations.
func (h *told) twin(t *testing.T, without func(policy.Generation) bool) (*policy.Index, *spectest.Cluster) {
	t.Helper()
	var events []spectest.Event
	for i, e := range h.events {
		if h.in[i] == 0 || !without(h.in[i]) {
			events = append(events, e)
		}
	}
	then := spectest.Replay(events)
	then.NodeEgress = h.options.NodeEgress
	return h.index(t, events), then
}

// overtaken are generations that none after them has an object in common with: the
// kernel may have been told of those first.
func (h *told) overtaken() []policy.Generation {
	var out []policy.Generation
	for _, g := range h.in {
		if g == 0 || slices.Contains(out, g) {
			continue
		}
		touched := map[string]bool{}
		alone := true
		for i, e := range h.events {
			switch object := e.Kind() + " " + e.Name().String(); {
			case h.in[i] == g:
				touched[object] = true
			case h.in[i] > g:
				alone = alone && !touched[object]
			}
		}
		if alone {
			out = append(out, g)
		}
	}
	return out
}

// What a flow is judged as of an earlier time is what an index says that never got to
// know the rest, whatever was kept, went and came since.
func TestAsOf(t *testing.T) {
	denied, changed := 0, 0
	for seed := range uint64(60) {
		r := spectest.Seeded(seed ^ 7<<40)
		s := newScenario(seed, r)
		if seed%3 == 0 {
			s.options.Node = "node-0"
		}
		h := tell(t, s, r, 100_000)
		last := h.last()
		withouts := []func(policy.Generation) bool{func(policy.Generation) bool { return false }}
		for range 3 {
			after := policy.Generation(r.Uint64N(uint64(last) + 1))
			withouts = append(withouts, func(g policy.Generation) bool { return g > after })
		}
		if list := h.overtaken(); len(list) > 0 {
			one := list[r.IntN(len(list))]
			withouts = append(withouts, func(g policy.Generation) bool { return g == one })
		}
		for _, without := range withouts {
			twin, then := h.twin(t, without)
			for range 20 {
				f := then.RandomFlow(r)
				for _, d := range []policy.Direction{policy.Ingress, policy.Egress} {
					got, diff := h.asOf(twin, f, d, without)
					if diff != "" {
						t.Fatalf("seed %d: %v -> %v %v %d %s: %s", seed, f.Src, f.Dst, f.Protocol, f.Port, d, diff)
					}
					now := h.live.ExplainEnd(flowOf(f), d)
					if !got.Allowed {
						denied++
					}
					if got.Allowed != now.Allowed {
						changed++
					}
				}
			}
		}
	}
	if denied < 1000 || changed < 200 {
		t.Errorf("%d denials, %d verdicts that differ from today's: too few to prove anything", denied, changed)
	}
}

func flowOf(f spectest.Flow) policy.Flow {
	return policy.Flow{
		Src: policy.End{Addr: f.Src}, Dst: policy.End{Addr: f.Dst}, Protocol: policy.Protocol(f.Protocol), Port: f.Port,
	}
}

func (h *told) asOf(twin *policy.Index, f spectest.Flow, d policy.Direction, without func(policy.Generation) bool) (policy.Judgement, string) {
	got := h.live.ExplainAsOf(flowOf(f), d, without)
	if !got.Complete || got.Untraced {
		return got, fmt.Sprintf("complete %v, untraced %v", got.Complete, got.Untraced)
	}
	v := twin.Explain(flowOf(f))
	want := v.Ingress
	if d == policy.Egress {
		want = v.Egress
	}
	if !reflect.DeepEqual(want, got.DirectionVerdict) {
		return got, "a twin that never knew more says otherwise (-twin +as of then):\n" + cmp.Diff(want, got.DirectionVerdict, cmpopts.EquateComparable(netip.Addr{}))
	}
	for _, ends := range [][2]policy.End{{v.Flow.Src, got.Flow.Src}, {v.Flow.Dst, got.Flow.Dst}} {
		if diff := differentEnds(twin, ends[0], ends[1]); diff != "" {
			return got, diff
		}
	}
	return got, ""
}

func differentEnds(twin *policy.Index, want, got policy.End) string {
	if want.Addr != got.Addr || (want.Pod == nil) != (got.Pod == nil) {
		return fmt.Sprintf("end %v is %v, not %v", got.Addr, got.Pod, want.Pod)
	}
	if want.Pod == nil {
		return ""
	}
	pod, _ := twin.Pod(want.Pod.NamespacedName)
	if pod.NamespacedName != got.Pod.NamespacedName || pod.UID != got.Pod.UID || len(pod.Labels) != len(got.Pod.Labels) {
		return fmt.Sprintf("end %v is Pod %+v, not %+v", got.Addr, got.Pod, pod)
	}
	for k, v := range pod.Labels {
		if got.Pod.Labels[k] != v {
			return fmt.Sprintf("Pod %s has labels %v, not %v", pod.NamespacedName, got.Pod.Labels, pod.Labels)
		}
	}
	return ""
}

// A limited memory says where it ends, and never answers wrongly as if it were whole.
func TestAsOfForgetsAndSaysSo(t *testing.T) {
	complete, incomplete := 0, 0
	for seed := range uint64(40) {
		r := spectest.Seeded(seed ^ 11<<40)
		s := newScenario(seed, r)
		h := tell(t, s, r, 1+r.IntN(6))
		last := h.last()
		for after := range last + 1 {
			without := func(g policy.Generation) bool { return g > after }
			twin, then := h.twin(t, without)
			f := then.RandomFlow(r)
			if got := h.live.ExplainAsOf(flowOf(f), policy.Ingress, without); !got.Complete {
				incomplete++
				continue
			}
			complete++
			if _, diff := h.asOf(twin, f, policy.Ingress, without); diff != "" {
				t.Fatalf("seed %d, as of %d of %d: %s", seed, after, last, diff)
			}
		}
	}
	if complete < 100 || incomplete < 100 {
		t.Errorf("%d complete answers and %d others: too few to prove anything", complete, incomplete)
	}
}

// What nobody can ask about any more is let go of.
func TestForgetPast(t *testing.T) {
	x := policy.NewIndex(policy.Options{})
	x.KeepPast(1000)
	for range 50 {
		g := x.NextGeneration()
		x.SetNamespace("shop", map[string]string{"round": fmt.Sprint(g)})
		if x.Kept() == 0 {
			t.Fatal("a change was not kept")
		}
	}
	if x.Kept() != 50 {
		t.Fatalf("50 changes are kept as %d", x.Kept())
	}
	x.ForgetPast(20)
	if n := x.Kept(); n != 31 {
		t.Errorf("after generations 2 to 20 of 2 to 51 were forgotten %d changes are left", n)
	}
	x.ForgetPast(1000)
	if x.Kept() != 0 {
		t.Errorf("%d changes are left", x.Kept())
	}
	x.KeepPast(0)
	if x.NextGeneration() != 0 {
		t.Error("an index that keeps no past has generations")
	}
}

// A flood of changes in one generation leaves no more than the limit.
func TestPastIsBounded(t *testing.T) {
	x := policy.NewIndex(policy.Options{})
	x.KeepPast(64)
	x.NextGeneration()
	for i := range 10_000 {
		x.SetNamespace(fmt.Sprintf("ns-%d", i), nil)
	}
	if n := x.Kept(); n > 64 {
		t.Errorf("%d changes are kept of 64", n)
	}
	g := x.NextGeneration()
	x.SetNamespace("after", nil)
	if n := x.Kept(); n == 0 || n > 64 {
		t.Errorf("after the flood %d changes are kept", n)
	}
	f := policy.Flow{Src: policy.End{Addr: netip.MustParseAddr("10.0.0.1")}, Dst: policy.End{Addr: netip.MustParseAddr("10.0.0.2")}, Protocol: policy.TCP, Port: 1}
	if x.ExplainAsOf(f, policy.Ingress, func(o policy.Generation) bool { return o >= g-1 }).Complete {
		t.Error("a generation that is lost counts as known")
	}
	if !x.ExplainAsOf(f, policy.Ingress, func(o policy.Generation) bool { return o >= g }).Complete {
		t.Error("a generation that is known counts as lost")
	}
}

// A large policy that changes all the time keeps its former self, and no more of them.
func TestPastOfLargePoliciesIsBounded(t *testing.T) {
	x := policy.NewIndex(policy.Options{})
	x.KeepPast(250)
	large := func(round int) string {
		var b strings.Builder
		fmt.Fprintf(&b, "podSelector: {}\ningress:\n- ports: [{port: %d}]\n  from:\n", 1+round)
		for i := range 3200 {
			fmt.Fprintf(&b, "  - ipBlock: {cidr: 10.%d.%d.0/24}\n", i/256, i%256)
		}
		return b.String()
	}
	for round := range 8 {
		x.NextGeneration()
		if err := x.SetPolicy(netpol(t, "shop/large", large(round))); err != nil {
			t.Fatal(err)
		}
		// Each weighs 101: the absence of the first, and two former selves.
		if n := x.Kept(); n > 3 {
			t.Fatalf("after %d rounds %d changes are kept", round+1, n)
		}
	}
	if x.Kept() < 2 {
		t.Errorf("%d changes are kept", x.Kept())
	}
}

// A policy of the largest size is named and not walked through.
func TestExplainEndIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("podSelector: {}\ningress:\n- from:\n")
	for i := range 3000 {
		fmt.Fprintf(&b, "  - ipBlock: {cidr: 10.%d.%d.0/24}\n", i/256, i%256)
	}
	x := policy.NewIndex(policy.Options{})
	if err := x.SetPolicy(netpol(t, "shop/huge", b.String())); err != nil {
		t.Fatal(err)
	}
	p, err := policy.PodFromAPI(pod("shop/db", "10.200.0.2"))
	if err != nil {
		t.Fatal(err)
	}
	x.SetPod(p)
	f := policy.Flow{Src: policy.End{Addr: netip.MustParseAddr("192.0.2.1")}, Dst: policy.End{Addr: p.Addrs[0]}, Protocol: policy.TCP, Port: 80}
	got := x.ExplainEnd(f, policy.Ingress)
	if got.Allowed || !got.Untraced || got.Reason != policy.ReasonNoRule {
		t.Errorf("allowed %v, untraced %v, reason %s", got.Allowed, got.Untraced, got.Reason)
	}
	if len(got.Policies) != 1 || got.Policies[0].Policy.String() != "shop/huge" || len(got.Policies[0].Rules) != 0 {
		t.Errorf("policies %v: want the one policy by name", got.Policies)
	}
}

func TestNodeOf(t *testing.T) {
	x := policy.NewIndex(policy.Options{})
	for _, p := range []*corev1.Pod{pod("shop/db", "10.0.0.2"), hostNetwork(onNode(pod("sys/agent", ""), 2))} {
		read, err := policy.PodFromAPI(p)
		if err != nil {
			t.Fatal(err)
		}
		x.SetPod(read)
	}
	for a, want := range map[string]string{"172.18.0.1": "node-1", "172.18.0.2": "node-2", "10.0.0.2": "", "172.18.0.9": "", "fd00:18::1": "node-1"} {
		if got := x.NodeOf(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s is of node %q, not %q", a, got, want)
		}
	}
}

func BenchmarkExplainAsOf(b *testing.B) {
	for _, changes := range []int{0, 100, 5000} {
		b.Run(fmt.Sprintf("changes=%d", changes), func(b *testing.B) {
			s := newScenario(1, spectest.Seeded(1))
			x := policy.NewIndex(s.options)
			for _, e := range s.cluster.Final() {
				if err := s.deliver(x, e); err != nil {
					b.Fatal(err)
				}
			}
			x.KeepPast(10_000)
			g := x.NextGeneration()
			for i := range changes {
				x.SetNamespace(fmt.Sprintf("other-%d", i), nil)
			}
			r := spectest.Seeded(2)
			flows := make([]policy.Flow, 64)
			for i := range flows {
				flows[i] = flowOf(s.cluster.RandomFlow(r))
			}
			b.ReportAllocs()
			for i := range b.N {
				x.ExplainAsOf(flows[i%len(flows)], policy.Ingress, func(o policy.Generation) bool { return o >= g })
			}
		})
	}
}
