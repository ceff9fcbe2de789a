package beyond

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/conformance/cluster/beyond/probe"
)

// How many forbidden flows TestEachForbiddenFlowIsToldOnce sends. 1,000 is what figures
// are of.
var forbidden = flag.Int("forbidden", 250, "`number` of forbidden flows that have to be told of")

// simple is a policy of which this test knows by itself what it allows: for each of its
// directions what one tier may, over one protocol, on a range of ports.
type simple struct {
	name, tier string
	directions []string
	peer       string
	protocol   string
	first      int
	last       int
}

func (p *simple) spec() string {
	rule := fmt.Sprintf("ports: [{protocol: %s, port: %d, endPort: %d}]", p.protocol, p.first, p.last)
	peer := fmt.Sprintf("[{podSelector: {matchLabels: {tier: %s}}}]", p.peer)
	text := fmt.Sprintf("podSelector: {matchLabels: {tier: %s}}\npolicyTypes: [%s]\n", p.tier, strings.Join(p.directions, ", "))
	for _, d := range p.directions {
		if d == "Egress" {
			text += fmt.Sprintf("egress: [{to: %s, %s}]\n", peer, rule)
		} else {
			text += fmt.Sprintf("ingress: [{from: %s, %s}]\n", peer, rule)
		}
	}
	return text
}

// sent is a flow that is sent once, as one packet if nobody answers.
type sent struct {
	src, dst *pod
	protocol string
	port     int
}

func (f *sent) key() string {
	return fmt.Sprintf("%s → %s:%d/%s", f.src.Pod.Name, f.dst.Pod.Name, f.port, f.protocol)
}

// denial is who denies a flow first, "" if nobody does, and which policies isolate there.
func denial(policies []simple, f *sent) (direction string, isolate []string) {
	for _, d := range []string{"Egress", "Ingress"} {
		self, peer := f.src, f.dst
		if d == "Ingress" {
			self, peer = f.dst, f.src
		}
		isolate, allowed := []string(nil), false
		for i := range policies {
			p := &policies[i]
			if p.tier != self.Labels["tier"] || !slices.Contains(p.directions, d) {
				continue
			}
			isolate = append(isolate, self.Namespace+"/"+p.name)
			allowed = allowed || p.peer == peer.Labels["tier"] && p.protocol == f.protocol && p.first <= f.port && f.port <= p.last
		}
		if len(isolate) > 0 && !allowed {
			return strings.ToLower(d), isolate
		}
	}
	return "", nil
}

// TestEachForbiddenFlowIsToldOnce: of random flows under random policies each that is
// denied is told of once, with the Pods, the direction and the policies that this test
// knows by itself, and none that is allowed.
func TestEachForbiddenFlowIsToldOnce(t *testing.T) {
	w := newWorld(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(1, seed))
	// Nothing isolates the last one, so that some flows are allowed whatever comes.
	tiers := []string{"web", "api", "db", "free"}
	const many = 8
	var specs []spec
	for i := range many {
		specs = append(specs, spec{name: fmt.Sprintf("p%d", i), node: i % 2, labels: map[string]string{"tier": tiers[i%len(tiers)]}})
	}
	made := w.pods(specs...)
	pods := make([]*pod, many)
	for i := range pods {
		pods[i] = made[specs[i].name]
	}
	policies := somePolicies(random, tiers[:3])
	for i := range policies {
		p := &policies[i]
		t.Logf("policy %s: %s", p.name, strings.ReplaceAll(p.spec(), "\n", "; "))
		w.policy(w.ns, p.name, p.spec())
		w.mustAsk("", cluster.sluice, "wait", "netpol/"+p.name, "-n", w.ns)
	}
	want := map[string]string{}
	allowed := 0
	for seen := map[string]bool{}; len(want) < *forbidden || allowed == 0; {
		// A kernel logs twenty flows a second of each Pod: here each has 16 at most.
		began := time.Now()
		for f, outcome := range w.volley(random, pods, seen) {
			direction, isolate := denial(policies, f)
			if direction == "" {
				if allowed++; outcome == probe.Timeout {
					t.Errorf("%s is allowed, and nobody answers", f.key())
				}
				continue
			}
			want[f.key()] = direction + " " + strings.Join(isolate, " ")
			if outcome != probe.Timeout {
				t.Errorf("%s is forbidden, and its outcome is %s", f.key(), outcome)
			}
		}
		time.Sleep(time.Until(began.Add(time.Second)))
	}
	told := w.told(len(want))
	for key, list := range told {
		switch {
		case want[key] == "":
			t.Errorf("%s is allowed, and it is told: %v", key, list)
		case len(list) != 1 || list[0] != want[key]:
			t.Errorf("%s is told of as %v, want once %q", key, list, want[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if told[key] == nil {
			t.Errorf("%s is not told of: %s", key, want[key])
		}
	}
	t.Logf("%d forbidden flows, each told of once, and %d allowed ones, of which none is", len(want), allowed)
}

func somePolicies(random *rand.Rand, tiers []string) []simple {
	var out []simple
	for i := range 6 {
		p := simple{
			name: fmt.Sprintf("policy-%d", i), tier: tiers[i%len(tiers)], peer: tiers[random.IntN(len(tiers))],
			directions: [][]string{{"Ingress"}, {"Egress"}, {"Ingress", "Egress"}}[random.IntN(3)],
			protocol:   []string{"TCP", "UDP"}[random.IntN(2)], first: 20_000 + random.IntN(5_000),
		}
		p.last = p.first + 2_000 + random.IntN(5_000)
		out = append(out, p)
	}
	return out
}

// volley has every Pod send eight flows, to others in turn, none of which was sent before.
func (w *world) volley(random *rand.Rand, pods []*pod, seen map[string]bool) map[*sent]probe.Outcome {
	w.t.Helper()
	tasks := map[*sent]task{}
	for range 8 {
		shift := 1 + random.IntN(len(pods)-1)
		for i, src := range pods {
			f := &sent{src, pods[(i+shift)%len(pods)], []string{"TCP", "UDP"}[random.IntN(2)], 20_000 + random.IntN(10_000)}
			if seen[f.key()] {
				continue
			}
			seen[f.key()] = true
			addrs := f.dst.addrs()
			to := netip.AddrPortFrom(addrs[random.IntN(len(addrs))], uint16(f.port))
			tasks[f] = src.start(probe.Request{Op: probe.Dial, Network: strings.ToLower(f.protocol), Address: to.String(), Timeout: 400 * time.Millisecond})
		}
	}
	out := map[*sent]probe.Outcome{}
	for f, task := range tasks {
		out[f] = task.wait(settle).Outcome
	}
	return out
}

// told are the denials of the namespace, by flow: the direction and the policies. It
// waits until there are so many flows.
func (w *world) told(flows int) map[string][]string {
	w.t.Helper()
	var out map[string][]string
	for end := time.Now().Add(settle); ; time.Sleep(500 * time.Millisecond) {
		out = map[string][]string{}
		for line := range strings.Lines(w.mustAsk("", cluster.sluice, "observe", "-n", w.ns, "-o", "json")) {
			var d struct {
				Kind, Direction, Reason, Protocol string
				Missed                            int
				Port                              int
				Src, Dst                          struct{ Pod string }
				Policies                          []string
			}
			w.must("understand a denial", json.Unmarshal([]byte(line), &d))
			if d.Kind != "Denial" || d.Reason != "Policy" {
				w.t.Errorf("observe says %s", line)
				continue
			}
			key := fmt.Sprintf("%s → %s:%d/%s", d.Src.Pod, d.Dst.Pod, d.Port, d.Protocol)
			out[key] = append(out[key], d.Direction+" "+strings.Join(d.Policies, " "))
		}
		if len(out) >= flows || time.Now().After(end) {
			return out
		}
	}
}
