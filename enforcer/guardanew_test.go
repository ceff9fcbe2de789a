package enforcer

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/enforcer/tables"
)

// guardChainOf is the name of the chain that guards an interface.
func guardChainOf(t *testing.T, node testNS, veth string) string {
	t.Helper()
	name := ""
	for line := range strings.Lines(node.cmd("nft", "list", "table", "netdev", "sluice")) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == "chain" {
			name = fields[1]
		}
		if strings.Contains(line, `"`+veth+`"`) && name != "" {
			return name
		}
	}
	t.Fatalf("no chain guards %s", veth)
	return ""
}

// wholesale counts the replacements of the whole table of guards.
type wholesale struct {
	Transactor
	n atomic.Int32
}

func (w *wholesale) Transact(ctx context.Context, family knftables.Family, ops []compiler.Op) error {
	for _, op := range ops {
		if _, table := op.Object.(*compiler.Table); table && family == knftables.NetDevFamily && op.Verb == compiler.Delete {
			w.n.Add(1)
		}
	}
	return w.Transactor.Transact(ctx, family, ops)
}

// A guard's chain that somebody made otherwise, so that it cannot be changed, is made
// anew: the guard holds, and those of all other Pods are left alone.
func TestAGuardMadeOtherwiseIsMadeAnew(t *testing.T) {
	c := newCluster(t, "ptp")
	a := startAgent(t, c.node, &source.Memory{})
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	chain := guardChainOf(t, c.node, c.web.veth)
	a.stop()
	c.node.cmd("nft", "delete", "chain", "netdev", "sluice", chain)
	c.node.nft("table netdev sluice { chain " + chain + " { accept; }; }")
	w := &wholesale{Transactor: tables.New(c.node)}
	a = startAgent(t, c.node, a.source, func(cfg *Config) { cfg.Transactor = w })
	a.settle()
	if got := guardChainOf(t, c.node, c.web.veth); got != chain {
		t.Errorf("chain %s guards the interface, and not %s", got, chain)
	}
	if err := a.Ready(); err != nil || w.n.Load() > 0 {
		t.Errorf("ready: %v; the whole table was replaced %d times", err, w.n.Load())
	}
}
