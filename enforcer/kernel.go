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
