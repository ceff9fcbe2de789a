package enforcer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/klog/v2"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
)

// Transactor runs operations on our table of one family as one transaction:
// all of them take effect, or none.
type Transactor interface {
	Transact(ctx context.Context, family knftables.Family, ops []compiler.Op) error
}

// transactionTimeout is far beyond what the largest ruleset takes. An nft that
// hangs longer is killed, which leaves the kernel as it was.
const transactionTimeout = 2 * time.Minute

// NewTransactor runs nft in a namespace.
func NewTransactor(ns Netns) Transactor {
	return &nftTransactor{ns: orOwn(ns), tables: map[knftables.Family]knftables.Interface{}}
}

type nftTransactor struct {
	ns     Netns
	mu     sync.Mutex
	tables map[knftables.Family]knftables.Interface
}

func (t *nftTransactor) Transact(ctx context.Context, family knftables.Family, ops []compiler.Op) error {
	if len(ops) == 0 {
		return nil
	}
	// Not cut short by the end of the agent: the transaction is worth more than
	// the few milliseconds.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), transactionTimeout)
	defer cancel()
	return t.ns.Do(func() error {
		table, err := t.table(family)
		if err != nil {
			return err
		}
		tx := table.NewTransaction()
		for _, op := range ops {
			addOp(tx, op)
		}
		if logger := klog.FromContext(ctx); logger.V(9).Enabled() {
			logger.V(9).Info("nftables transaction", "family", family, "text", tx.String())
		}
		return table.Run(ctx, tx)
	})
}

func addOp(tx *knftables.Transaction, op compiler.Op) {
	switch op.Verb {
	case compiler.Delete:
		tx.Delete(op.Object)
	case compiler.Flush:
		tx.Flush(op.Object)
	default:
		tx.Add(op.Object)
	}
}

// table must be called inside the namespace: knftables probes nft when it is
// set up.
func (t *nftTransactor) table(family knftables.Family) (knftables.Interface, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if table := t.tables[family]; table != nil {
		return table, nil
	}
	table, err := knftables.New(family, compiler.TableName)
	if err != nil {
		return nil, fmt.Errorf("set up nftables: %w", err)
	}
	t.tables[family] = table
	return table, nil
}
