package enforcer

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/netns"
)

// ErrAgentRuns is in what Cleanup returns where an agent is at work.
var ErrAgentRuns = errors.New("an agent, or another cleanup, is at work in this network namespace")

// CleanupOptions say what Cleanup cannot find out. The zero value asks the kernel
// for all of it.
type CleanupOptions struct {
	// Mask are the bits of conntrack marks to clear, whatever the rules say and
	// also where there are none any more; zero: those that the rules write.
	Mask uint32
}

// Cleanup removes all that agents left in a namespace: our tables of all
// families and our bits of the conntrack marks. From then on nothing is enforced.
// It may be called again, also where nothing is left; what it could not do it
// does then. It refuses beside a running agent, which would bring all back, and
// keeps one from starting meanwhile. A bridge's nf_call_iptables stays as it is:
// it cannot be known who else relies on it by now.
func Cleanup(ctx context.Context, ns netns.Namespace, options CleanupOptions) error {
	ns = netns.OrOwn(ns)
	l, err := takeLock(ns)
	var held *errHeld
	switch {
	case errors.As(err, &held) && held.by.mayBeAgent():
		return fmt.Errorf("clean up: %w (%s): stop it first", ErrAgentRuns, held.by)
	case err != nil:
		klog.FromContext(ctx).Error(err, "Failed to take the lock that keeps an agent from starting meanwhile")
	}
	defer l.release()
	if err := cleanup(ctx, ns, options.Mask); err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	return nil
}

func cleanup(ctx context.Context, ns netns.Namespace, mask uint32) error {
	found, err := findTables(ns)
	if err != nil {
		return err
	}
	if len(found) == 0 && mask == 0 {
		return nil
	}
	var maskErr error
	if main := ofFamily(found, nftables.TableFamilyINet); main != nil && mask == 0 {
		mask, maskErr = maskOf(ns)
	}
	if err := removeTables(ns, found, mask); err != nil {
		return err
	}
	if maskErr != nil {
		return fmt.Errorf("the tables are removed and nothing is enforced, but which bits of conntrack marks are Sluice's cannot be known, so all of them stay as they are: %w", maskErr)
	}
	n, err := conntrack{ns}.Clear(ctx, mask, func(uint32) bool { return true })
	if err != nil {
		return fmt.Errorf("nothing is enforced any more, but connections are still marked: %w", err)
	}
	// Now that the marks are gone, their note may go.
	if found, err = findTables(ns); err == nil {
		err = removeTables(ns, found, 0)
	}
	if err != nil {
		return err
	}
	klog.FromContext(ctx).Info("Removed all rules; nf_call_iptables and nf_call_ip6tables of bridges stay as they are", "clearedMarks", n)
	return nil
}

// findTables lists our tables of all families. One that the kernel does not know
// has none.
func findTables(ns netns.Namespace) ([]*nftables.Table, error) {
	var found []*nftables.Table
	err := ns.Do(func() error {
		conn, err := nftables.New()
		if err != nil {
			return fmt.Errorf("open nftables: %w", err)
		}
		all, err := conn.ListTables()
		if err != nil {
			return fmt.Errorf("list tables: %w", err)
		}
		for _, t := range all {
			if t.Name == compiler.TableName && isOurs(t.Family) {
				found = append(found, t)
			}
		}
		return nil
	})
	return found, err
}

// isOurs: a table of our name in another family is somebody else's.
func isOurs(family nftables.TableFamily) bool {
	switch family {
	case nftables.TableFamilyINet, nftables.TableFamilyNetdev, nftables.TableFamilyBridge:
		return true
	}
	return false
}

func ofFamily(tables []*nftables.Table, family nftables.TableFamily) *nftables.Table {
	for _, t := range tables {
		if t.Family == family {
			return t
		}
	}
	return nil
}

// removeTables deletes tables in one transaction. With a mask one rule that
// names it stays in the main table, in a chain that no packet comes through: if
// the marks cannot be cleared, whoever tries again still knows which bits to.
func removeTables(ns netns.Namespace, tables []*nftables.Table, mask uint32) error {
	if len(tables) == 0 {
		return nil
	}
	return ns.Do(func() error {
		conn, err := nftables.New()
		if err != nil {
			return fmt.Errorf("open nftables: %w", err)
		}
		for _, t := range tables {
			conn.DelTable(t)
		}
		if main := ofFamily(tables, nftables.TableFamilyINet); main != nil && mask != 0 {
			table := conn.AddTable(&nftables.Table{Name: main.Name, Family: main.Family})
			chain := conn.AddChain(&nftables.Chain{Name: judgedChain, Table: table})
			conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: markNote(mask)})
		}
		if err := conn.Flush(); err != nil {
			return fmt.Errorf("remove tables: %w", err)
		}
		return nil
	})
}

// markNote is "ct mark set ct mark & ~MASK", as the compiler's rule begins.
func markNote(mask uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Register: unix.NFT_REG_1, Key: expr.CtKeyMARK},
		&expr.Bitwise{
			SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(^mask), Xor: binaryutil.NativeEndian.PutUint32(0),
		},
		&expr.Ct{Register: unix.NFT_REG_1, Key: expr.CtKeyMARK, SourceRegister: true},
	}
}

// errNoMarkRule: somebody damaged the table.
var errNoMarkRule = errors.New("no rule of chain " + judgedChain + " sets the conntrack mark")

// maskOf reads which bits of conntrack marks the rules of our main table write.
func maskOf(ns netns.Namespace) (mask uint32, err error) {
	left, err := readPredecessor(ns)
	if err == nil && left.mask == 0 {
		err = errNoMarkRule
	}
	return left.mask, err
}
