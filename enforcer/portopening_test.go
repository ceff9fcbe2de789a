package enforcer

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/enforcer/tables"
)

// mainFails is a Transactor that refuses changes of the main table while it is told to, and
// lets those of the guards through.
type mainFails struct{ stubborn }

func (s *mainFails) Transact(ctx context.Context, family knftables.Family, ops []compiler.Op) error {
	if family == knftables.InetFamily {
		return s.stubborn.Transact(ctx, family, ops)
	}
	return s.Transactor.Transact(ctx, family, ops)
}

// Behind a bridge with an uplink the main table cannot know which addresses are Pods': a
// port that is open before the policies of its Pod are in force is open to everybody, for
// as long as that takes. So it is not, for a Pod that comes while an agent runs and for one
// that came while none did.
func TestAPortOpensWhenThePoliciesOfItsPodAreInForce(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart=%t", restart), func(t *testing.T) {
			c := newCluster(t, "bridge")
			outside := neighbour(c.node)
			k := &mainFails{stubborn{Transactor: tables.New(c.node)}}
			with := func(cfg *Config) { cfg.Transactor = k }
			a := startAgent(t, c.node, &source.Memory{}, with)
			a.set(shop(), c.front.object, c.bad.object, allow("web", "web", "front", 80))
			k.fails.Store(true)
			if restart {
				a.stop()
				a.source.Set(c.web.object)
				a = startAgent(t, c.node, a.source, with)
			} else {
				a.source.Set(c.web.object)
			}
			eventually(t, "a failure", func() bool { return valueOf(t, a.metrics.syncFailures) > 2 })
			atWeb, atBad, atOutside := c.web.tap(), c.bad.tap(), outside.tap()
			arrived := func(step string) {
				t.Helper()
				for i := range 2 {
					// Switched by the bridge, and routed by the node.
					for way, to := range map[string]string{"switched": c.web.mac, "routed": strings.TrimSpace(c.node.cmd("cat", "/sys/class/net/cni0/address"))} {
						token := fmt.Sprintf("%s-%s-%d", step, way, i)
						if arrives(outside, atWeb, datagramFrom(to, outside.mac, outside.addr(i), c.web.addr(i), token), token, false) {
							t.Errorf("%s: a forbidden packet arrives, %s, IPv%d", step, way, 4+2*i)
						}
					}
				}
			}
			arrived("main table refused")
			// Who was there before goes on.
			if !arrives(outside, atBad, datagramFrom(c.bad.mac, outside.mac, outside.addr(0), c.bad.addr(0), "before"), "before", true) {
				t.Error("a Pod that was known before is cut off")
			}
			k.fails.Store(false)
			a.settle()
			arrived("main table changed")
			if !arrives(c.web, atOutside, datagramFrom(outside.mac, c.web.mac, c.web.addr(0), outside.addr(0), "own"), "own", true) {
				t.Error("the port does not open")
			}
			c.front.expect(c.web, 80, true)
		})
	}
}
