// Package agreement holds real packets against the naive evaluator and the
// engine's own answer, in labs of every topology, over random clusters that go
// on changing under the agents.
package agreement

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sluice-net/sluice/conformance/enforced"
	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/policy/spectest"
)

var (
	flowsFlag = flag.Int("sluice.kernel-flows", 2_000, "random flows on which packets, index and naive evaluator must agree")
	seedFlag  = flag.Uint64("sluice.seed", 1, "first seed of each lab's random cluster")
)

const (
	// roundsPerLab is how often a lab's cluster changes before another is
	// built: the rules of the last round were reached in so many steps.
	roundsPerLab  = 12
	flowsPerRound = 60
	// briefFlows are those of a topology that is tried briefly: two rounds.
	briefFlows = 2 * flowsPerRound
)

// A setup is what a lab is built like.
type setup struct {
	topology lab.Topology
	nodes    int
	families spectest.Families
}

func (s setup) String() string {
	nodes := [...]string{"", "one-node", "two-nodes"}[s.nodes]
	family := map[spectest.Families]string{
		spectest.IPv4Only: "IPv4", spectest.IPv6Only: "IPv6", spectest.DualStack: "dual",
	}[s.families]
	return fmt.Sprintf("%s/%s/%s", s.topology, nodes, family)
}

func setups(topologies []lab.Topology) (all []setup) {
	for _, topology := range topologies {
		for nodes := 1; nodes <= 2; nodes++ {
			for _, families := range []spectest.Families{spectest.IPv4Only, spectest.IPv6Only, spectest.DualStack} {
				all = append(all, setup{topology, nodes, families})
			}
		}
	}
	return all
}

// Packets do what the naive evaluator says, and so does the index, while the
// cluster changes step by step under agents that are never restarted.
func TestKernelAgreement(t *testing.T) {
	all := setups(enforced.Whole(t))
	perSetup := (*flowsFlag + len(all) - 1) / len(all)
	var total tally
	for _, topology := range enforced.Brief(t) {
		s := setup{topology, 2, spectest.DualStack}
		t.Run(s.String(), func(t *testing.T) { total.add(agree(t, s, *seedFlag, briefFlows)) })
	}
	for i, s := range all {
		t.Run(s.String(), func(t *testing.T) {
			seed := *seedFlag + uint64(i)
			for left := perSetup; left > 0 && !t.Failed(); seed += uint64(len(all)) {
				t.Run(fmt.Sprintf("seed-%d", seed), func(t *testing.T) {
					n := agree(t, s, seed, left)
					total.add(n)
					left -= n.sent
				})
			}
		})
	}
	if t.Failed() {
		return
	}
	t.Logf("%d flows, %d of them allowed", total.sent, total.allowed)
	if total.sent < *flowsFlag {
		t.Errorf("%d flows were sent, want %d", total.sent, *flowsFlag)
	}
	if min(total.allowed, total.sent-total.allowed) < total.sent/5 {
		t.Errorf("%d of %d flows were allowed: too few of one kind to show anything", total.allowed, total.sent)
	}
}

// tally counts flows.
type tally struct{ sent, allowed int }

func (n *tally) add(m tally) {
	n.sent += m.sent
	n.allowed += m.allowed
}

// agree builds a lab and changes it round by round, until so many flows were
// sent or the lab is old.
func agree(t *testing.T, s setup, seed uint64, flows int) (n tally) {
	w := newWorld(t, s, seed)
	for round := 0; round < roundsPerLab && n.sent < flows; round++ {
		if round > 0 {
			w.step()
		}
		m := w.probe(round, min(flowsPerRound, flows-n.sent))
		if m.sent == 0 {
			t.Fatalf("%s: no flow of round %d could be sent", w, round)
		}
		n.add(m)
	}
	return n
}

// options draws what a setup leaves open.
func (s setup) options(r *rand.Rand) spectest.Options {
	o := spectest.Options{
		Namespaces: 1 + r.IntN(4), Nodes: s.nodes, Pods: 6 + r.IntN(12), Policies: 2 + r.IntN(8),
		Families: s.families, Plain: true, Modes: r.IntN(4) == 0,
	}
	if s.families == spectest.DualStack && r.IntN(3) == 0 {
		o.Families = spectest.AnyFamilies // with Pods of a single family among them
	}
	return o
}
