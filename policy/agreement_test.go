package policy_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/spectest"
)

var (
	flowsFlag = flag.Int("flows", 60_000, "random flows on which index and naive evaluator must agree")
	seedFlag  = flag.Uint64("seed", 1, "first seed of the random agreement tests")
)

const flowsPerCluster = 100

// A scenario is one random case: a seed and how it is looked at.
type scenario struct {
	seed    uint64
	cluster *spectest.Cluster
	options policy.Options
	// invalid: the API server would refuse some of the policies.
	invalid bool
}

// newScenario varies what the seed does not draw by itself.
func newScenario(seed uint64, r *rand.Rand) *scenario {
	s := &scenario{seed: seed, invalid: seed%4 == 0}
	s.cluster = spectest.Random(r, spectest.Options{Invalid: s.invalid, Contested: seed%7 == 0, Names: seed%6 == 5, Modes: seed%3 == 0})
	s.cluster.NodeEgress = seed%5 == 0
	s.options.NodeEgress = s.cluster.NodeEgress
	return s
}

// Index, allow sets and explanations agree with the naive evaluator.
func TestAgreementFromScratch(t *testing.T) {
	clusters := *flowsFlag / 2 / flowsPerCluster
	for i := range uint64(clusters) {
		s := newScenario(*seedFlag+i, spectest.Seeded(*seedFlag+i))
		r := spectest.Seeded(s.seed ^ 1<<40)
		x := s.index(t, s.cluster.Final())
		m, err := mirrorOf(x)
		if err != nil {
			t.Fatalf("seed %d: %v", s.seed, err)
		}
		for range flowsPerCluster {
			f := s.cluster.RandomFlow(r)
			if disagreement(s.cluster, x, m, f) != "" {
				t.Fatal(s.report(f))
			}
		}
	}
}

// The same while objects come, change and go in any order. After any event the
// index is that of the cluster as it stands, and whoever only follows its
// changes sees what a newcomer sees.
func TestAgreementInAnyOrder(t *testing.T) {
	telling := []func(*rand.Rand, []spectest.Event) []spectest.Event{
		func(_ *rand.Rand, e []spectest.Event) []spectest.Event { return e },
		func(_ *rand.Rand, e []spectest.Event) []spectest.Event { return spectest.Reversed(e) },
		func(_ *rand.Rand, e []spectest.Event) []spectest.Event { return spectest.Squashed(e) },
		spectest.Duplicated,
		func(r *rand.Rand, e []spectest.Event) []spectest.Event {
			return slices.Concat(e, spectest.Reversed(spectest.Squashed(e)))
		},
	}
	flows := 0
	for i := uint64(0); flows < *flowsFlag/2; i++ {
		r := spectest.Seeded(*seedFlag + i)
		s := newScenario(*seedFlag+i, r)
		if i%3 == 0 {
			s.options.Node = "node-0"
		}
		history := s.cluster.Events(r)
		for way, tell := range telling {
			story := &story{scenario: s, events: tell(r, history), asks: []int{100, 30, 5, 0}[r.IntN(4)]}
			n, failure := story.run(uint64(way))
			if flows += n; failure != "" {
				t.Fatal(story.shrunk(uint64(way), failure))
			}
		}
	}
}

// A story feeds events to an index and asks in so many of 100 pauses between
// them what changed.
type story struct {
	*scenario
	events []spectest.Event
	asks   int
}

const flowsPerPause = 10

func (s *story) run(seed uint64) (flows int, failure string) {
	r := spectest.Seeded(s.seed<<8 | seed)
	x := policy.NewIndex(s.options)
	m, err := mirrorOf(x)
	for n, e := range s.events {
		if err != nil {
			break
		}
		if err = s.deliver(x, e); err != nil {
			break
		}
		if r.IntN(5) == 0 {
			x.Subject(e.Name()) // whoever asks for something else does no harm
		}
		if r.IntN(100) >= s.asks && n < len(s.events)-1 {
			continue
		}
		if err = m.follow(x); err != nil {
			break
		}
		if n < len(s.events)-1 && r.IntN(8) != 0 {
			continue
		}
		flows += flowsPerPause
		if failure := s.pause(r, x, m, s.events[:n+1]); failure != "" {
			return flows, fmt.Sprintf("after event %d (%s): %s", n, e, failure)
		}
	}
	if err != nil {
		return flows, err.Error()
	}
	return flows, ""
}

// pause compares with a newcomer and with the naive evaluator.
func (s *story) pause(r *rand.Rand, x *policy.Index, m *mirror, soFar []spectest.Event) string {
	now := spectest.Replay(soFar)
	now.NodeEgress = s.options.NodeEgress
	fresh := policy.NewIndex(s.options)
	for _, e := range now.Final() {
		if err := s.deliver(fresh, e); err != nil {
			return err.Error()
		}
	}
	seen, err := mirrorOf(fresh)
	if err != nil {
		return err.Error()
	}
	if diff := seen.diff(m); diff != "" {
		return "a fresh index shows other things (-) than was followed (+):\n" + diff
	}
	if s.options.Node != "" {
		m = nil // it sees only its node's subjects
	}
	for range flowsPerPause {
		f := now.RandomFlow(r)
		if diff := disagreement(now, x, m, f); diff != "" {
			return diff
		}
	}
	return ""
}

// shrunk leaves out the events without which it still fails.
func (s *story) shrunk(seed uint64, failure string) string {
	for size := len(s.events) / 2; size > 0; {
		smaller := false
		for at := 0; at+size <= len(s.events); {
			try := &story{s.scenario, slices.Delete(slices.Clone(s.events), at, at+size), 100}
			if _, still := try.run(seed); still != "" {
				s.events, s.asks, failure, smaller = try.events, 100, still, true
				continue
			}
			at += size
		}
		if !smaller {
			size /= 2
		}
	}
	var text strings.Builder
	fmt.Fprintf(&text, "seed %d, options %+v: %s\nEvents:\n", s.seed, s.options, failure)
	for _, e := range s.events {
		one := spectest.Replay([]spectest.Event{e})
		fmt.Fprintf(&text, "# %s\n%s", e, one.YAML())
	}
	return text.String()
}

func (s *scenario) index(t *testing.T, events []spectest.Event) *policy.Index {
	t.Helper()
	x := policy.NewIndex(s.options)
	for _, e := range events {
		if err := s.deliver(x, e); err != nil {
			t.Fatalf("seed %d: %v", s.seed, err)
		}
	}
	return x
}

// deliver hands an event to the index, as a copy that is changed afterwards:
// what the caller does with its objects is nothing to the index.
func (s *scenario) deliver(x *policy.Index, e spectest.Event) error {
	switch {
	case e.Pod != nil && e.Delete:
		x.DeletePod(e.Name())
	case e.Pod != nil:
		pod, err := policy.PodFromAPI(e.Pod)
		if err != nil {
			return err
		}
		x.SetPod(pod)
	case e.Policy != nil && e.Delete:
		x.DeletePolicy(e.Name())
	case e.Policy != nil:
		if err := x.SetPolicy(e.Policy.DeepCopy()); err != nil && !s.invalid {
			return err
		}
	case e.Delete:
		x.DeleteNamespace(e.Namespace.Name)
	default:
		x.SetNamespace(e.Namespace.Name, e.Namespace.Labels)
	}
	return nil
}

// report shrinks the cluster as long as the flow is still judged differently.
func (s *scenario) report(f spectest.Flow) string {
	judge := func(c *spectest.Cluster) string {
		x := policy.NewIndex(s.options)
		for _, e := range c.Final() {
			if err := s.deliver(x, e); err != nil {
				return ""
			}
		}
		m, err := mirrorOf(x)
		if err != nil {
			return err.Error()
		}
		return disagreement(c, x, m, f)
	}
	small := s.cluster.Shrink(func(c *spectest.Cluster) bool { return judge(c) != "" })
	return fmt.Sprintf("seed %d: %s\n%s", s.seed, judge(small), small.YAML())
}

// disagreement says in what the opinions on a flow differ; a mirror is asked
// too if there is one.
func disagreement(c *spectest.Cluster, x *policy.Index, m *mirror, f spectest.Flow) string {
	egress, ingress := c.Allowed(f)
	flow := policy.Flow{Src: x.EndOfAddr(f.Src), Dst: x.EndOfAddr(f.Dst), Protocol: policy.Protocol(f.Protocol), Port: f.Port}
	v := x.Evaluate(flow)
	said := fmt.Sprintf("%v -> %v %v %d", f.Src, f.Dst, policy.Protocol(f.Protocol), f.Port)
	if v.Egress.Allowed != egress || v.Ingress.Allowed != ingress || v.Allowed != (egress && ingress) {
		return fmt.Sprintf("%s: naive says egress %v, ingress %v; Evaluate: allowed %v\negress %+v\ningress %+v", said, egress, ingress, v.Allowed,
			explained(x.Explain(flow).Egress), explained(x.Explain(flow).Ingress))
	}
	if diff := unexplained(v, x.Explain(flow)); diff != "" {
		return said + ": " + diff
	}
	if diff := auditDisagrees(c, x, flow, f); diff != "" {
		return said + ": " + diff
	}
	if m == nil {
		return ""
	}
	if c.Self(f) {
		return ""
	}
	out, in := m.allows(f)
	if c.NodeEgress && c.OnNodeOfAll(c.Claimants(f.Src), f.Dst) {
		out = true
	}
	if c.OnNodeOfAll(c.Claimants(f.Dst), f.Src) {
		in = true
	}
	if out != egress || in != ingress {
		return fmt.Sprintf("%s: naive says egress %v, ingress %v; allow sets %v, %v", said, egress, ingress, out, in)
	}
	return ""
}

func explained(d policy.DirectionVerdict) string {
	text := fmt.Sprintf("%v %s", d.Allowed, d.Reason)
	for _, p := range d.Policies {
		text += fmt.Sprintf("\n  %s %v", p.Policy, p.Problems)
		for _, r := range p.Rules {
			text += fmt.Sprintf("\n    %s matched %v: peers %+v ports %+v %s", r.RuleRef, r.Matched(), r.Peers, r.Ports, r.Invalid)
		}
	}
	return text
}

// unexplained says where an explanation does not lead to the verdict.
func unexplained(v, e policy.Verdict) string {
	plain := e
	for _, d := range []*policy.DirectionVerdict{&plain.Egress, &plain.Ingress} {
		d.Policies, d.Nearest = nil, nil
		d.Claims = slices.Clone(d.Claims)
		for i := range d.Claims {
			d.Claims[i].Policies, d.Claims[i].Nearest = nil, nil
		}
	}
	if !reflect.DeepEqual(v, plain) {
		return "Explain differs from Evaluate: " + cmp.Diff(v, plain, cmpopts.EquateComparable(netip.Addr{}))
	}
	for _, d := range []policy.DirectionVerdict{e.Egress, e.Ingress} {
		each := []policy.DirectionVerdict{d}
		allowed := true
		for _, c := range d.Claims {
			each = append(each, c.DirectionVerdict)
			allowed = allowed && c.Allowed
		}
		for _, one := range each {
			if diff := wrongTrace(one); diff != "" {
				return fmt.Sprintf("%s: %s: %s", d.Direction, diff, explained(one))
			}
		}
		if d.Reason == policy.ReasonTooManyClaims {
			allowed = false
		}
		if len(d.Claims) > 0 && allowed != d.Allowed {
			return fmt.Sprintf("%s: allowed %v, by the Pods that claim the address %+v", d.Direction, d.Allowed, d.Claims)
		}
	}
	return ""
}

func wrongTrace(d policy.DirectionVerdict) string {
	var first *policy.RuleRef
	rules := 0
	for _, p := range d.Policies {
		for _, r := range p.Rules {
			rules++
			if r.Matched() && first == nil {
				first = &r.RuleRef
			}
			if r.PeerMatched != anyMatched(r.Peers) || r.PortMatched != anyMatched(r.Ports) {
				return fmt.Sprintf("rule %s: peers %v, ports %v do not follow from their parts", r.RuleRef, r.PeerMatched, r.PortMatched)
			}
			if r.Policy != p.Policy || r.Direction != d.Direction {
				return fmt.Sprintf("rule %s under %s", r.RuleRef, p.Policy)
			}
		}
	}
	if !slices.IsSortedFunc(d.Policies, func(a, b policy.PolicyTrace) int { return compareNames(a.Policy, b.Policy) }) {
		return "policies are not sorted"
	}
	switch d.Reason {
	case policy.ReasonRule:
		if d.AllowedBy == nil || first == nil || *first != *d.AllowedBy {
			return fmt.Sprintf("allowed by %v, first match %v", d.AllowedBy, first)
		}
	case policy.ReasonNoRule:
		if first != nil || d.AllowedBy != nil || len(d.Policies) == 0 {
			return "denied, yet some rule matches or no policy isolates"
		}
		if (d.Nearest != nil) != (rules > 0) {
			return fmt.Sprintf("%d rules, nearest %v", rules, d.Nearest)
		}
	case policy.ReasonNotIsolated, policy.ReasonNoPod:
		if len(d.Policies) > 0 {
			return "policies, yet not isolated"
		}
	}
	return ""
}

func anyMatched(parts []policy.PartTrace) bool {
	return len(parts) == 0 || slices.ContainsFunc(parts, func(p policy.PartTrace) bool { return p.Matched })
}
