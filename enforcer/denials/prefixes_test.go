package denials_test

import (
	"testing"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/compiler/specimen"
	"github.com/sluice-net/sluice/enforcer/denials"
)

// Each log that the compiler writes is understood, and each that is understood is written.
func TestEachLogHasAReason(t *testing.T) {
	written := map[string]bool{}
	note := func(rules []compiler.Rule) {
		for _, r := range rules {
			for _, term := range r.Terms {
				if l, ok := term.(compiler.Log); ok {
					written[l.Prefix] = true
				}
			}
		}
	}
	for _, cfg := range specimen.Configs() {
		c, err := specimen.Compiled(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, ch := range append(c.Ruleset().Chains, c.PortGuards().Chains...) {
			note(ch.Rules)
		}
		for _, g := range c.Guards() {
			for _, op := range g.Ops {
				if r, ok := op.Object.(*compiler.ChainRule); ok {
					note([]compiler.Rule{r.Rule})
				}
			}
		}
	}
	for _, prefix := range denials.Prefixes() {
		if !written[prefix] {
			t.Errorf("no rule logs %q", prefix)
		}
		delete(written, prefix)
	}
	for prefix := range written {
		t.Errorf("nobody understands %q", prefix)
	}
}
