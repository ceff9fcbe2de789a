// Package tables is how an agent's tables get into a node's kernel, and what is found
// there: transactions by the quick way or by nft, cut into pieces where they may be;
// whether somebody else changed them, and who; what an earlier agent left. What they
// should hold is package compiler's, and when it is brought, the loop's.
package tables

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/nftwire"
)

// TransactionTimeout is far beyond what the largest ruleset takes. An nft that
// hangs longer is killed, which leaves the kernel as it was.
const TransactionTimeout = 2 * time.Minute

// lastTransactionTimeout is for the transaction that the end of the agent meets: less
// than the manifest's terminationGracePeriodSeconds.
const lastTransactionTimeout = 3 * time.Second

// The lanes into the kernel, as the metrics call them.
const (
	NetlinkLane = "netlink"
	NftLane     = "nft"
)

// Tables are our tables of a namespace. What runs operations on one of them runs them as
// one transaction: all of them take effect, or none.
type Tables struct {
	// Count is told which lane each transaction took, and Slow why it was nft's; nil tells
	// nobody.
	Count func(lane string)
	Slow  func(cause string)

	nft *Nft

	mu   sync.Mutex
	wire map[knftables.Family]*nftwire.Table
	// told are the causes that were logged.
	told map[string]bool
}

// New changes the tables of a namespace: by nft, or in the fast lane where that can do it.
func New(ns netns.Namespace) *Tables {
	ns = netns.OrOwn(ns)
	t := &Tables{nft: ByNft(ns), wire: map[knftables.Family]*nftwire.Table{}, told: map[string]bool{}}
	for family, number := range familyNumbers {
		t.wire[family] = nftwire.NewTable(number, func() (*nftwire.Socket, error) { return nftwire.Open(ns) })
	}
	return t
}

// Transact is in the fast lane, or has nft do what that cannot.
func (t *Tables) Transact(ctx context.Context, family knftables.Family, ops []compiler.Op) error {
	if len(ops) == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	table := t.wire[family]
	if table == nil {
		return fmt.Errorf("change nftables: there is no table of family %s", family)
	}
	b, err := table.Encode(ops)
	if err == nil {
		if err = table.Send(b, ops); !errors.Is(err, nftwire.ErrNotSent) {
			t.took(NetlinkLane)
			logBatch(ctx, ops, err)
			return err
		}
	}
	t.slowWay(ctx, len(ops), err)
	t.took(NftLane)
	return t.nft.Transact(ctx, family, ops)
}

func (t *Tables) took(lane string) {
	if t.Count != nil {
		t.Count(lane)
	}
}

// The causes why nft does a transaction, as the metrics call them.
const (
	// byKind: an object of a kind that is not written as a batch. Every start has some.
	byKind = "kind"
	// byRule: a rule that is not, which the compiler does not write.
	byRule = "rule"
	// bySize: too many operations or bytes for one batch.
	bySize = "size"
	// byLength: something is too long for an attribute, such as the elements of a
	// set that a rule has for itself.
	byLength = "length"
	// bySocket: the kernel did not take the batch.
	bySocket = "socket"
)

func slowCause(err error) string {
	switch {
	case errors.Is(err, nftwire.ErrTooLong):
		return byLength
	case errors.Is(err, nftwire.ErrTooLarge):
		return bySize
	case errors.Is(err, nftwire.ErrNoEncoding):
		return byRule
	case errors.Is(err, nftwire.ErrUnsupported):
		return byKind
	}
	return bySocket
}

// slowWay says that nft does the work, and why: of what is not in the nature of
// things once in the log, of all in the metrics.
func (t *Tables) slowWay(ctx context.Context, ops int, err error) {
	cause := slowCause(err)
	if t.Slow != nil {
		t.Slow(cause)
	}
	logger := klog.FromContext(ctx)
	if cause == byKind || t.told[cause] {
		logger = logger.V(4)
	}
	t.told[cause] = true
	logger.Info("A transaction goes by nft", "ops", ops, "cause", cause, "reason", err)
}

// familyNumbers are those of the families that have a table of ours.
var familyNumbers = map[knftables.Family]byte{
	knftables.InetFamily: unix.NFPROTO_INET, knftables.NetDevFamily: unix.NFPROTO_NETDEV, knftables.BridgeFamily: unix.NFPROTO_BRIDGE,
}

func logBatch(ctx context.Context, ops []compiler.Op, err error) {
	logger := klog.FromContext(ctx)
	if !logger.V(9).Enabled() {
		return
	}
	var text strings.Builder
	for _, op := range ops {
		text.WriteString(op.Describe())
		text.WriteByte('\n')
	}
	logger.V(9).Info("nftables batch", "text", text.String(), "err", err)
}

// Close gives up what it takes to talk to the kernel. The tables stay.
func (t *Tables) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, table := range t.wire {
		table.Close()
	}
	return nil
}

// Nft changes our tables of a namespace by nft alone.
type Nft struct {
	ns     netns.Namespace
	mu     sync.Mutex
	tables map[knftables.Family]knftables.Interface
}

// ByNft changes the tables of a namespace without the fast lane.
func ByNft(ns netns.Namespace) *Nft {
	return &Nft{ns: netns.OrOwn(ns), tables: map[knftables.Family]knftables.Interface{}}
}

// Transact has nft do it.
func (t *Nft) Transact(ctx context.Context, family knftables.Family, ops []compiler.Op) error {
	if len(ops) == 0 {
		return nil
	}
	ctx, cancel := transactionContext(ctx)
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

// transactionContext is not cut short by the end of the agent, for a transaction is
// worth more than the few milliseconds. An nft that hangs is ended all the same: it
// would outlive the agent, and could change the tables of the next one.
func transactionContext(agent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(agent), TransactionTimeout)
	stop := context.AfterFunc(agent, func() {
		select {
		case <-ctx.Done():
		case <-time.After(lastTransactionTimeout):
			cancel()
		}
	})
	return ctx, func() { stop(); cancel() }
}

func addOp(tx *knftables.Transaction, op compiler.Op) {
	switch op.Verb {
	case compiler.Delete:
		tx.Delete(op.Object.Knftables())
	case compiler.Flush:
		tx.Flush(op.Object.Knftables())
	default:
		tx.Add(op.Object.Knftables())
	}
}

// table must be called inside the namespace: knftables probes nft when it is
// set up.
func (t *Nft) table(family knftables.Family) (knftables.Interface, error) {
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
