package tables

import (
	"context"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/compiler/specimen"
	"github.com/sluice-net/sluice/enforcer/netns/netnstest"
)

// scratchChain is where rules are compared: no packet comes there.
const scratchChain = "scratch"

// Every rule that the compiler writes, in every form, is the same by netlink as nft makes
// it, to the byte. Each kind of term and each field of packets is among them: one that
// is not fails here, and one without an encoding does not compile.
func TestEveryRuleIsWhatNftMakesOfIt(t *testing.T) {
	var seen specimen.Seen
	for _, cfg := range specimen.Configs() {
		c, err := specimen.Compiled(cfg)
		if err != nil {
			t.Fatal(err)
		}
		w := newTwins(t)
		for _, of := range []struct {
			family knftables.Family
			number byte
			// setup makes what rules refer to.
			setup []compiler.Op
			rules []compiler.Rule
		}{
			{knftables.InetFamily, unix.NFPROTO_INET, c.Replace(), rulesOf(c.Ruleset().Chains)},
			{knftables.BridgeFamily, unix.NFPROTO_BRIDGE, c.ReplacePorts(), rulesOf(c.PortGuards().Chains)},
			{knftables.NetDevFamily, unix.NFPROTO_NETDEV, []compiler.Op{{Verb: compiler.Add, Object: &compiler.Table{}}}, guardRules(c)},
		} {
			setup := append(of.setup, compiler.Op{Verb: compiler.Add, Object: &compiler.Chain{Name: scratchChain}})
			for _, in := range []netnstest.NS{w.lane, w.nft} {
				by := ByNft(in)
				if err := by.Transact(context.Background(), of.family, setup); err != nil {
					t.Fatal(err)
				}
			}
			var ops []compiler.Op
			for _, r := range of.rules {
				seen.Rule(r)
				ops = append(ops, compiler.Op{Verb: compiler.Add, Object: &compiler.ChainRule{Chain: scratchChain, Rule: r}})
			}
			before := w.transaction[NetlinkLane]
			for _, by := range []transactor{w.fast, w.slow} {
				if err := by.Transact(context.Background(), of.family, ops); err != nil {
					t.Fatalf("%v\n%s", err, describeAll(ops))
				}
			}
			if w.transaction[NetlinkLane] != before+1 {
				t.Errorf("%s: %d rules went by nft", of.family, len(ops))
			}
			w.compareBytes(t, of.number)
			t.Logf("%s: %d rules", of.family, len(ops))
		}
	}
	if missing := seen.Missing(); len(missing) > 0 {
		t.Errorf("no rule has %v", missing)
	}
}

func rulesOf(chains []compiler.Chain) []compiler.Rule {
	var out []compiler.Rule
	for _, c := range chains {
		out = append(out, c.Rules...)
	}
	return out
}

func guardRules(c *compiler.Compiler) []compiler.Rule {
	var out []compiler.Rule
	for _, g := range c.Guards() {
		for _, op := range g.Ops {
			if r, ok := op.Object.(*compiler.ChainRule); ok {
				out = append(out, r.Rule)
			}
		}
	}
	return slices.Clip(out)
}
