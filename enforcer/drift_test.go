package enforcer

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/enforcer/source"
)

func TestAgentRepairsDrift(t *testing.T) {
	c := newCluster(t, "ptp")
	a := startAgent(t, c.node, &source.Memory{})
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	whole := ruleShape(c.node.ruleset())
	for i, change := range [][]string{
		{"flush", "ruleset"},
		{"flush", "table", "inet", "sluice"},
		{"delete", "table", "inet", "sluice"},
		{"add", "rule", "inet", "sluice", "forward", "accept"},
	} {
		c.node.cmd("nft", change...)
		started := time.Now()
		eventually(t, "repaired", func() bool { return valueOf(t, a.metrics.driftRepairs) == float64(i+1) })
		a.settle()
		// How long that takes is the machine's affair: [TestRepairsPauseOnlyInAFight]
		// says that nothing waits.
		t.Logf("%v: repaired after %v", change, time.Since(started))
		c.bad.expect(c.web, 80, false)
		c.front.expect(c.web, 80, true)
		if got := ruleShape(c.node.ruleset()); got != whole {
			t.Errorf("after %v: %d bytes of rules, want %d", change, len(got), len(whole))
		}
	}
	time.Sleep(100 * time.Millisecond)
	if n := valueOf(t, a.metrics.driftRepairs); n != 4 {
		t.Errorf("%v repairs of 4 changes", n)
	}
}

// ruleShape keeps what does not depend on the epoch and on traffic, nor on the
// order in which the tables were made.
func ruleShape(ruleset string) string {
	var tables []string
	for line := range strings.Lines(ruleset) {
		if strings.HasPrefix(line, "table ") {
			tables = append(tables, "")
		}
		if !strings.Contains(line, "ct mark") && !strings.Contains(line, "packets") && !strings.Contains(line, "expires") {
			tables[len(tables)-1] += line
		}
	}
	slices.Sort(tables)
	return strings.Join(tables, "")
}
