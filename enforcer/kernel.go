package enforcer

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/sluice-net/sluice/compiler"
)

// leftover is what an earlier agent left in the kernel.
type leftover struct {
	// table: our main table exists.
	table bool
	// mask and epoch are what its rules write to conntrack marks, 0 if they
	// cannot be read.
	mask, epoch uint32
	// guardTable and portTable: the guards' tables exist.
	guardTable, portTable bool
}

// judgedChain is where the compiler's one rule stands that marks connections.
const judgedChain = "judged"

// readLeftover looks for our tables.
func readLeftover(ns Netns, layout compiler.MarkLayout) (leftover, error) {
	var out leftover
	err := ns.Do(func() error {
		conn, err := nftables.New()
		if err != nil {
			return fmt.Errorf("open nftables: %w", err)
		}
		tables, err := conn.ListTables()
		if err != nil {
			return fmt.Errorf("list tables: %w", err)
		}
		for _, t := range tables {
			if t.Name != compiler.TableName {
				continue
			}
			switch t.Family {
			case nftables.TableFamilyINet:
				out.table = true
				out.readMark(conn, t, layout)
			case nftables.TableFamilyNetdev:
				out.guardTable = true
			case nftables.TableFamilyBridge:
				out.portTable = true
			}
		}
		return nil
	})
	return out, err
}

// readMark leaves mask and epoch 0 where they cannot be read.
func (o *leftover) readMark(conn *nftables.Conn, table *nftables.Table, layout compiler.MarkLayout) {
	if mask, value, err := markWritten(conn, table); err == nil {
		o.mask, o.epoch = mask, layout.Decode(value)
	}
}

// errNoMarkRule: somebody damaged the table.
var errNoMarkRule = errors.New("no rule of chain " + judgedChain + " sets the conntrack mark")

// markWritten finds "ct mark set ct mark & ~MASK | VALUE".
func markWritten(conn *nftables.Conn, table *nftables.Table) (mask, value uint32, err error) {
	rules, err := conn.GetRules(table, &nftables.Chain{Name: judgedChain, Table: table})
	if err != nil {
		return 0, 0, fmt.Errorf("read chain %s: %w", judgedChain, err)
	}
	for _, r := range rules {
		for i := 0; i+2 < len(r.Exprs); i++ {
			b, ok := r.Exprs[i+1].(*expr.Bitwise)
			if ok && len(b.Mask) == 4 && len(b.Xor) == 4 && isMark(r.Exprs[i]) && isMark(r.Exprs[i+2]) {
				mask, value = ^binary.NativeEndian.Uint32(b.Mask), binary.NativeEndian.Uint32(b.Xor)
				if mask != 0 {
					return mask, value, nil
				}
			}
		}
	}
	return 0, 0, errNoMarkRule
}

// isMark reports whether an expression reads the conntrack mark or sets it, which
// the library does not tell apart when it reads.
func isMark(e expr.Any) bool {
	ct, ok := e.(*expr.Ct)
	return ok && ct.Key == expr.CtKeyMARK
}

// tablePresent reports whether our main table exists.
func tablePresent(ns Netns) (bool, error) {
	found := false
	err := ns.Do(func() error {
		conn, err := nftables.New()
		if err != nil {
			return fmt.Errorf("open nftables: %w", err)
		}
		tables, err := conn.ListTablesOfFamily(nftables.TableFamilyINet)
		if err != nil {
			return fmt.Errorf("list tables: %w", err)
		}
		for _, t := range tables {
			found = found || t.Name == compiler.TableName
		}
		return nil
	})
	return found, err
}

// guardChains lists the chains of the guards' table.
func guardChains(ns Netns) ([]string, error) {
	var out []string
	err := ns.Do(func() error {
		conn, err := nftables.New()
		if err != nil {
			return fmt.Errorf("open nftables: %w", err)
		}
		chains, err := conn.ListChainsOfTableFamily(nftables.TableFamilyNetdev)
		if err != nil {
			return fmt.Errorf("list guards: %w", err)
		}
		for _, c := range chains {
			if c.Table.Name == compiler.TableName {
				out = append(out, c.Name)
			}
		}
		return nil
	})
	return out, err
}
