package enforcer

import (
	"encoding/binary"
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
	// guards are the base chains of the guards' table with the interface each
	// hangs on.
	guards []string
	// guardTable: the guards' table exists.
	guardTable bool
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
				if err := out.readGuards(conn, t); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return out, err
}

// readMark finds "ct mark set ct mark & ~MASK | EPOCH". A table that someone
// damaged may lack it; then mask and epoch stay 0.
func (o *leftover) readMark(conn *nftables.Conn, table *nftables.Table, layout compiler.MarkLayout) {
	rules, err := conn.GetRules(table, &nftables.Chain{Name: judgedChain, Table: table})
	if err != nil {
		return
	}
	for _, r := range rules {
		for _, e := range r.Exprs {
			if b, ok := e.(*expr.Bitwise); ok && len(b.Mask) == 4 && len(b.Xor) == 4 {
				o.mask = ^binary.NativeEndian.Uint32(b.Mask)
				o.epoch = layout.Decode(binary.NativeEndian.Uint32(b.Xor))
				return
			}
		}
	}
}

func (o *leftover) readGuards(conn *nftables.Conn, table *nftables.Table) error {
	chains, err := conn.ListChainsOfTableFamily(nftables.TableFamilyNetdev)
	if err != nil {
		return fmt.Errorf("list guards: %w", err)
	}
	for _, c := range chains {
		if c.Table.Name == table.Name {
			o.guards = append(o.guards, c.Name)
		}
	}
	return nil
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
