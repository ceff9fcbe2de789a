package enforcer

import (
	"context"
	"fmt"

	"k8s.io/klog/v2"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
)

// Cleanup removes all that agents left in a namespace: our tables and our bits
// of the conntrack marks. From then on nothing is enforced. It may be called
// again, also where nothing is left. A bridge's nf_call_iptables stays as it is: it
// cannot be known who else relies on it by now.
func Cleanup(ctx context.Context, ns Netns) error {
	ns = orOwn(ns)
	left, err := readLeftover(ns, compiler.MarkLayout{Mask: compiler.DefaultMask})
	if err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	if !left.table && !left.guardTable && !left.portTable {
		return nil
	}
	tables := NewTransactor(ns)
	for _, family := range []knftables.Family{knftables.NetDevFamily, knftables.BridgeFamily, knftables.InetFamily} {
		if family == knftables.BridgeFamily && !left.portTable {
			continue // the kernel may have no such family
		}
		// Add first: deleting what is not there would fail.
		ops := []compiler.Op{{Verb: compiler.Add, Object: &knftables.Table{}}, {Verb: compiler.Delete, Object: &knftables.Table{}}}
		if err := tables.Transact(ctx, family, ops); err != nil {
			return fmt.Errorf("clean up: remove table %s %s: %w", family, compiler.TableName, err)
		}
	}
	if !left.table {
		return nil
	}
	mask := left.mask
	if mask == 0 {
		mask = compiler.DefaultMask
	}
	n, err := conntrack{ns}.Clear(ctx, mask, func(uint32) bool { return true })
	if err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	klog.FromContext(ctx).Info("Removed all rules; nf_call_iptables and nf_call_ip6tables of bridges stay as they are", "clearedMarks", n)
	return nil
}
