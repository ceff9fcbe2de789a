package enforcer

import (
	"context"
	"testing"

	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/conformance/scale"
	"github.com/sluice-net/sluice/enforcer/source"
)

// walks counts the transactions that bring rules, or lead from a map to a chain unless they
// make the map: the kernel walks all rules of the table before it accepts one of these.
type walks struct {
	Transactor
	walks, total int
}

func (w *walks) Transact(ctx context.Context, family knftables.Family, ops []compiler.Op) error {
	if family == knftables.InetFamily {
		w.total++
		if isWalk(ops) {
			w.walks++
		}
	}
	return w.Transactor.Transact(ctx, family, ops)
}

func isWalk(ops []compiler.Op) bool {
	made := map[string]bool{}
	for _, op := range ops {
		if op.Verb != compiler.Add {
			continue
		}
		switch o := op.Object.(type) {
		case *compiler.ChainRule:
			return true
		case *compiler.Set:
			made[o.Name] = true
		case *compiler.SetElement:
			if leads := o.Value.Do == compiler.DoJump || o.Value.Do == compiler.DoGoto; leads && !made[o.Set.Name] {
				return true
			}
		}
	}
	return false
}

// TestPolicyMoreIsOneWalkThroughTheRules: with thousands of rules each walk costs as much
// as all else that a change takes in the kernel. What goes is denied by the same one.
func TestPolicyMoreIsOneWalkThroughTheRules(t *testing.T) {
	for _, of := range []scale.Selected{{Policies: 60}, {Policies: 60, Plain: true}} {
		e, _ := newSelectedBench(t, of)
		counted := &walks{Transactor: e.s.tables}
		e.s.tables = counted
		middle, more := of.Policy(of.Policies/2), of.Policy(of.Policies)
		for what, event := range []source.Event{
			policyComes(more), policyGoes(more), policyGoes(middle), policyComes(middle), policyComes(of.Neighbour()), policyGoes(of.Neighbour()),
		} {
			counted.walks, counted.total = 0, 0
			e.a.box.Deliver(event)
			e.sync(t)
			if counted.walks > 1 || counted.total == 0 || counted.total > 2 {
				t.Errorf("%+v, event %d: %d transactions of which the kernel walks through all rules for %d", of, what, counted.total, counted.walks)
			}
			if err := e.s.tidy(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
}
