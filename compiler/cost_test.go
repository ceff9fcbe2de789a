package compiler_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/compiler/rulesim"
	"github.com/sluice-net/sluice/policy/spectest"
)

// TestCostOfFirstPacketIsConstant counts what the kernel does for the first
// packet from elsewhere to a Pod that 1, 10, 100 and 1,000 policies select.
func TestCostOfFirstPacketIsConstant(t *testing.T) {
	type cost struct{ rules, expressions, lookups int }
	first := map[uint16]cost{}
	for _, policies := range []int{1, 10, 100, 1000} {
		n := compileScript(t, plainConfig(), false, manyPolicies(policies))
		for _, port := range []uint16{8000, 20_004, 9} {
			c := &rulesim.Connection{
				There: []rulesim.Hop{{Kernel: n.kernel, Hook: rulesim.Forward, In: uplink, Out: n.vethOf(t, "10.0.0.2")}},
				Flow:  rulesim.Flow{Src: addr("10.0.1.2"), Dst: addr("10.0.0.2"), Protocol: 6, FromPort: 40000, ToPort: port},
			}
			res := c.Open()[0]
			if res.Passed() != (port != 9) {
				t.Fatalf("%d policies, port %d: %s", policies, port, res.Verdict)
			}
			got := cost{res.Rules, res.Expressions, res.Lookups}
			switch {
			case port == 9:
			case policies == 1:
				first[port] = got
				// Where nothing is warm, each of these is worth saving.
				if got.rules > 16 || got.lookups > 5 {
					t.Errorf("a first packet costs %+v", got)
				}
			// One expression more or less is the choice between two forms of a
			// chain; a walk through policies is hundreds.
			case got.rules > first[port].rules+2 || got.expressions > first[port].expressions+8 || got.lookups > first[port].lookups+2:
				t.Errorf("%d policies cost %+v, one costs %+v", policies, got, first[port])
			}
			t.Logf("%d policies, port %d: %+v", policies, port, got)
		}
	}
}

// TestCostBetweenPodsOfANode: one lookup says where a packet comes from and what its
// Pod may send.
func TestCostBetweenPodsOfANode(t *testing.T) {
	n := compileScript(t, plainConfig(), false, manyPolicies(1)+"pod a/near on node-a at 10.0.0.3 app=client-0\n")
	c := &rulesim.Connection{
		There: []rulesim.Hop{{Kernel: n.kernel, Hook: rulesim.Forward, In: n.vethOf(t, "10.0.0.3"), Out: n.vethOf(t, "10.0.0.2")}},
		Flow:  rulesim.Flow{Src: addr("10.0.0.3"), Dst: addr("10.0.0.2"), Protocol: 6, FromPort: 40000, ToPort: 8000},
	}
	res := c.Open()[0]
	if !res.Passed() {
		t.Fatal(res.Verdict)
	}
	// Its source, its destination, and whether it is a peer.
	if res.Rules > 10 || res.Lookups > 3 {
		t.Errorf("a first packet costs %d rules, %d lookups", res.Rules, res.Lookups)
	}
	t.Logf("%d rules, %d expressions, %d lookups", res.Rules, res.Expressions, res.Lookups)
}

// manyPolicies all select one Pod, each with a peer, a port and a range of its own.
func manyPolicies(n int) string {
	var b strings.Builder
	b.WriteString("namespace a\npod a/server on node-a at 10.0.0.2 app=server\npod a/client-0 on node-b at 10.0.1.2 app=client-0\n")
	for i := range n {
		fmt.Fprintf(&b, `policy a/p%d
  podSelector: {matchLabels: {app: server}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: client-%d}}}]
    ports: [{port: %d}, {port: %d, endPort: %d}]
`, i, i, 8000+i, 20000+10*i, 20008+10*i)
	}
	return b.String()
}

// TestPlanSizeIsConstant counts the operations that one change takes in
// clusters of different sizes.
func TestPlanSizeIsConstant(t *testing.T) {
	changes := []struct{ name, script string }{
		{"a peer comes", "pod a/new on node-b at 10.9.9.9 app=web"},
		{"a peer goes", "delete pod a/new"},
		{"a stranger comes", "pod a/stranger on node-b at 10.9.9.8 app=stranger"},
		{"a local Pod comes", "pod a/local on node-a at 10.8.8.8 app=api"},
		{"a local Pod goes", "delete pod a/local"},
		{"a policy changes its port", "policy a/api\n" + apiSpec(8081)},
	}
	sizes := map[string][]int{}
	for _, pods := range []int{20, 200, 2000} {
		events := parseScript(t, cluster(pods))
		w := newWorld(t, plainConfig(), false, spectest.Replay(events), []string{scriptNode})
		w.load(t)
		n := w.nodes[scriptNode]
		for _, c := range changes {
			step := parseScript(t, c.script)
			events = append(events, step...)
			for _, e := range step {
				deliver(n.index, e)
			}
			plan := n.compiler.Update(n.index, n.index.Changes(), w.links(spectest.Replay(events), scriptNode))
			sizes[c.name] = append(sizes[c.name], len(plan.Prepare)+len(plan.Commit)+len(plan.Cleanup))
			if err := n.kernel.Apply(plan); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range changes {
		if slices.Max(sizes[c.name]) != slices.Min(sizes[c.name]) {
			t.Errorf("%s: %v operations, growing with the cluster", c.name, sizes[c.name])
		}
		t.Logf("%s: %v operations", c.name, sizes[c.name])
	}
}

func apiSpec(port int) string {
	return fmt.Sprintf(`  podSelector: {matchLabels: {app: api}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: %d}]
`, port)
}

// cluster has ten local Pods, and as many others as asked for, web and api.
func cluster(pods int) string {
	var b strings.Builder
	b.WriteString("namespace a\npolicy a/api\n" + apiSpec(8080))
	for i := range pods {
		node, app := "node-b", "web"
		if i < 10 {
			node, app = "node-a", "api"
		}
		fmt.Fprintf(&b, "pod a/p%d on %s at 10.1.%d.%d app=%s\n", i, node, i/250, i%250+1, app)
	}
	return b.String()
}

func plainConfig() compiler.Config {
	return compiler.Config{Mark: compiler.MarkLayout{Mask: compiler.DefaultMask}}
}
