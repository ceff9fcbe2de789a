package compiler_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/compiler/rulesim"
	"github.com/sluice-net/sluice/policy/spectest"
)

// TestGoldenPlans shows which plans follow typical changes. testdata/plans.txt
// is a transcript: blocks of events, and under each, after "----", the plan for
// node-a. The first block is the cluster to begin with.
func TestGoldenPlans(t *testing.T) {
	file := readFile(t, "plans.txt")
	blocks := strings.Split(strings.TrimRight(file, "\n"), "\n\n")
	events := parseScript(t, blocks[0])
	w := newWorld(t, compiler.Config{Mark: compiler.MarkLayout{Mask: compiler.DefaultMask}, LogGroup: 77}, false, spectest.Replay(events), []string{scriptNode})
	w.load(t)
	n := w.nodes[scriptNode]
	for i, block := range blocks[1:] {
		input, _, found := strings.Cut(block, "----")
		if !found {
			t.Fatalf("a block without ----:\n%s", block)
		}
		step := parseScript(t, input)
		events = append(events, step...)
		for _, e := range step {
			deliver(n.index, e)
		}
		plan := n.compiler.Update(n.index, n.index.Changes(), w.links(spectest.Replay(events), scriptNode))
		if err := n.kernel.Apply(plan); err != nil {
			t.Errorf("%s: %v", input, err)
		}
		blocks[i+1] = input + "----\n" + showPlan(t, plan)
	}
	got := strings.Join(blocks, "\n\n") + "\n"
	if *update {
		if err := os.WriteFile(filepath.Join("testdata", "plans.txt"), []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(file, got); diff != "" {
		t.Errorf("testdata/plans.txt differs; \"make golden\" writes it anew (-file +got)\n%s", diff)
	}
}

func showPlan(t *testing.T, p compiler.Plan) string {
	t.Helper()
	var b strings.Builder
	if p.Empty() {
		return "nothing to do"
	}
	for _, part := range []struct {
		name string
		ops  []compiler.Op
	}{{"prepare", p.Prepare}, {"commit", p.Commit}, {"cleanup", p.Cleanup}} {
		text, err := rulesim.Render(knftables.InetFamily, part.ops)
		if err != nil {
			t.Fatal(err)
		}
		if len(part.ops) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s\n", part.name)
		for line := range strings.Lines(text) {
			b.WriteString("  " + strings.ReplaceAll(line, " inet "+compiler.TableName, ""))
		}
	}
	if p.Narrows {
		return b.String() + "narrows: connections are judged anew"
	}
	return b.String() + "narrows nothing"
}
