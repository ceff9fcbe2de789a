package enforcer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/conntrack"
	"github.com/sluice-net/sluice/enforcer/source"
)

// otherMask is not the default.
const otherMask = 0x0ff00f00

// rulesWith are rules that write other bits than today's default.
func rulesWith(mask uint32) string {
	return fmt.Sprintf(`table inet sluice { chain judged { ct mark set ct mark & %#x | 0x05000000 accept; }; chain forward { type filter hook forward priority -10; drop; }; }
table netdev sluice { chain guard { }; }
table bridge sluice { chain guard { type filter hook prerouting priority -300; drop; }; }
table ip sluice { chain x { }; }`, ^mask)
}

// marked counts the connections of a namespace by their marks, unmarked ones
// apart.
func (n testNS) marked() map[uint32]int {
	n.t.Helper()
	marks, err := conntrack.Table{Namespace: n}.Marks(context.Background(), 0xffffffff)
	if err != nil {
		n.t.Fatal(err)
	}
	delete(marks, 0)
	return marks
}

func TestCleanupRemovesTablesOfAllFamiliesAndTheBitsTheyWrote(t *testing.T) {
	node := newNS(t)
	node.Connect(0xf5f0ff07, 1001)
	node.nft(rulesWith(otherMask))
	for i := range 2 {
		removed, err := Cleanup(context.Background(), node, CleanupOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if removed != (i == 0) {
			t.Errorf("The cleanup number %d says removed = %v", i+1, removed)
		}
		if diff := cmp.Diff("table ip sluice {\n\tchain x {\n\t}\n}\n", node.ruleset()); diff != "" {
			t.Errorf("left (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[uint32]int{0xf000f007: 1}, node.marked()); diff != "" {
			t.Errorf("marks (-want +got):\n%s", diff)
		}
	}
}

// Without the rules it cannot be known which bits are ours: those of the default
// may be somebody else's.
func TestCleanupLeavesMarksWhereRulesDoNotTellTheirBits(t *testing.T) {
	for name, rules := range map[string]string{
		"no such chain": `table inet sluice { chain x { }; }`,
		"no such rule":  `table inet sluice { chain judged { accept; }; }`,
		"other rules":   `table inet sluice { chain judged { meta mark set meta mark & 0x00ffcfff | 0x05000000; ct mark & 0xff003000 == 0 accept; }; }`,
	} {
		t.Run(name, func(t *testing.T) {
			node := newNS(t)
			node.Connect(0xff003007, 1001)
			node.nft(rules)
			_, err := Cleanup(context.Background(), node, CleanupOptions{})
			if err == nil || !strings.Contains(err.Error(), "stay as they are") {
				t.Errorf("got %v", err)
			}
			if left := node.ruleset(); strings.Contains(left, "sluice") {
				t.Errorf("left:\n%s", left)
			}
			want := map[uint32]int{0xff003007: 1}
			if diff := cmp.Diff(want, node.marked()); diff != "" {
				t.Errorf("marks (-want +got):\n%s", diff)
			}
			if _, err := Cleanup(context.Background(), node, CleanupOptions{}); err != nil {
				t.Errorf("again: %v", err)
			}
			// Who knows the bits can still have them cleared.
			if _, err := Cleanup(context.Background(), node, CleanupOptions{Mask: compiler.DefaultMask}); err != nil {
				t.Errorf("with the bits: %v", err)
			}
			if diff := cmp.Diff(map[uint32]int{7: 1}, node.marked()); diff != "" {
				t.Errorf("marks (-want +got):\n%s", diff)
			}
		})
	}
}

// What one run could not clear, the next one does: it still knows the bits.
func TestCleanupGoesOnWhereItWasCutOff(t *testing.T) {
	node := newNS(t)
	node.Connect(0xf5f0ff07, 1001)
	node.nft(rulesWith(otherMask))
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Cleanup(over, node, CleanupOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left := node.ruleset(); strings.Contains(left, "hook") || strings.Contains(left, "table bridge") || strings.Contains(left, "table netdev") {
		t.Errorf("still at work:\n%s", left)
	}
	if _, err := Cleanup(context.Background(), node, CleanupOptions{}); err != nil {
		t.Fatal(err)
	}
	if left := node.ruleset(); strings.Contains(left, "inet") {
		t.Errorf("left:\n%s", left)
	}
	if diff := cmp.Diff(map[uint32]int{0xf000f007: 1}, node.marked()); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
}

func TestCleanupRefusesBesideAnAgent(t *testing.T) {
	c := newCluster(t, "bridge")
	a := startAgent(t, c.node, &source.Memory{})
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	before := ruleLines(c.node)
	_, err := Cleanup(context.Background(), c.node, CleanupOptions{})
	if !errors.Is(err, ErrAgentRuns) || !strings.Contains(err.Error(), "process ") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(before, ruleLines(c.node)); diff != "" {
		t.Errorf("it changed rules (-want +got):\n%s", diff)
	}
	c.bad.expect(c.web, 80, false)
	a.stop()
	if _, err := Cleanup(context.Background(), c.node, CleanupOptions{}); err != nil {
		t.Errorf("when the agent has ended: %v", err)
	}
	c.bad.expect(c.web, 80, true)
}
