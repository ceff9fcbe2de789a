package enforcer

import (
	"fmt"

	"github.com/google/nftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/netns"
)

// tablePresent reports whether our main table exists.
func tablePresent(ns netns.Namespace) (bool, error) {
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
func guardChains(ns netns.Namespace) ([]string, error) {
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
