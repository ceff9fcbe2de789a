package packetpath

import (
	"context"
	"fmt"
	"strings"
)

// turns is a cell's ruleset and conntrack-only, side by side in the node's kernel.
// One is in force at a time, and to change over takes a small transaction: so both
// are measured within the same tenths of a second, many times over.
type turns struct {
	site *site
	cell cell
	// own puts the cell in force, base conntrack-only.
	own, base string
}

// install puts a cell's ruleset in place of whatever was there.
func (s *site) install(ctx context.Context, c cell) (*turns, error) {
	if err := s.load(ctx, c); err != nil {
		return nil, err
	}
	tables, err := s.run(ctx, "", "nft", "list", "tables")
	if err != nil {
		return nil, fmt.Errorf("install %s: %w", c, err)
	}
	t := &turns{site: s, cell: c, own: "delete table inet floor\n", base: conntrackOnly("floor")}
	if c.shape == None {
		// Even asleep it would have packets tracked.
		t.own, t.base = "add table inet floor\n"+t.own, "add table inet floor\n"+t.own+t.base
		return t, nil
	}
	if _, err := s.run(ctx, t.base, "nft", "-f", "-"); err != nil {
		return nil, fmt.Errorf("install %s: %w", c, err)
	}
	// To add a table that is there is to say what flags it has.
	const sleeps = " { flags dormant; }\n"
	t.own, t.base = "add table inet floor"+sleeps, "add table inet floor\n"
	for table := range strings.Lines(tables) {
		table = "add " + strings.TrimSpace(table)
		t.own += table + "\n"
		t.base += table + sleeps
	}
	return t, nil
}

// cellsTurn and baseTurn change over.
func (t *turns) cellsTurn(ctx context.Context) error {
	return t.take(ctx, t.own, t.cell.shape != None)
}

func (t *turns) baseTurn(ctx context.Context) error { return t.take(ctx, t.base, true) }

func (t *turns) take(ctx context.Context, script string, bridged bool) error {
	s := t.site
	// Without rules nobody needs bridged packets to leave the bridge.
	err := s.bridgeNetfilter(bridged)
	if err == nil {
		_, err = s.run(ctx, script, "nft", "-f", "-")
	}
	if err != nil {
		return fmt.Errorf("change over to or from %s: %w", t.cell, err)
	}
	return nil
}
