package compiler

import (
	"strings"
	"testing"
)

// jumpsToChain: the rule asks the chain of an allow set, and whatever it says goes on.
func jumpsToChain(r Rule) bool { return strings.HasPrefix(r.String(), "jump c") }

// The sets of the Pods that share an address are asked one after the other, and
// another address of one of them only its own.
func TestSharedAddressAsksEachSet(t *testing.T) {
	b := newBench(t, Config{Mark: MarkLayout{Mask: DefaultMask}})
	for _, name := range []string{"a", "b"} {
		if err := b.x.SetPolicy(ingress(name, name, from(80, "client"))); err != nil {
			t.Fatal(err)
		}
	}
	b.x.SetPod(b.pod("a", "here", "a", "10.0.0.1", "fd00::1"))
	b.x.SetPod(b.pod("b", "here", "b", "10.0.0.1"))
	b.update()
	chains := map[string]Chain{}
	asksBoth := 0
	for _, c := range b.c.Ruleset().Chains {
		chains[c.Name] = c
		if len(c.Rules) == 3 && jumpsToChain(c.Rules[0]) && jumpsToChain(c.Rules[1]) {
			asksBoth++
		}
	}
	if asksBoth != 2 {
		t.Errorf("%d chains ask both sets, want one for each way:\n%s", asksBoth, b.c.Ruleset())
	}
	for _, s := range b.c.Ruleset().Sets {
		for _, e := range s.Elements {
			if c := chains[e.Value.Name]; s.KeyText(e.Key) == "fd00::1" && len(c.Rules) > 0 && jumpsToChain(c.Rules[0]) {
				t.Errorf("%s: fd00::1, which a alone claims, is judged by both", s.Name)
			}
		}
	}
	b.x.DeletePod(shopName("b"))
	b.update()
	for _, c := range b.c.Ruleset().Chains {
		if len(c.Rules) > 0 && jumpsToChain(c.Rules[0]) {
			t.Errorf("left behind: %s", c.Name)
		}
	}
}
