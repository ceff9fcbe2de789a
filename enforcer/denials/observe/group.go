package observe

import (
	"cmp"
	"slices"
	"time"

	"github.com/sluice-net/sluice/enforcer/denials"
)

// key is what denials have in common that a person takes for the same: between which
// workloads, to which port, and why.
type key struct {
	src, dst, target, direction string
	reason                      denials.Reason
}

func keyOf(d *denials.Denial) key {
	return key{d.Src.Group(), d.Dst.Group(), d.Target(), d.Direction, d.Reason}
}

// Group is denials between the same workloads, to the same port, for the same reason.
type Group struct {
	// Latest is the last of them.
	Latest *denials.Denial
	First  time.Time
	// Denials counts them, Packets their packets.
	Denials int
	Packets uint64
	// Nodes are those that told of them, sorted.
	Nodes []string
}

// Grouped sorts denials into groups, those that were last denied first.
func Grouped(list []*denials.Denial) []Group {
	byKey := map[key]*Group{}
	for _, d := range list {
		k := keyOf(d)
		g := byKey[k]
		if g == nil {
			g = &Group{First: d.Time, Latest: d}
			byKey[k] = g
		}
		g.add(d)
	}
	out := make([]Group, 0, len(byKey))
	for _, g := range byKey {
		out = append(out, *g)
	}
	slices.SortFunc(out, func(a, b Group) int {
		return cmp.Or(b.Latest.Time.Compare(a.Latest.Time), compare(keyOf(a.Latest), keyOf(b.Latest)))
	})
	return out
}

func (g *Group) add(d *denials.Denial) {
	g.Denials++
	g.Packets += d.Packets
	if d.Time.Before(g.First) {
		g.First = d.Time
	}
	if d.Time.After(g.Latest.Time) {
		g.Latest = d
	}
	if at, found := slices.BinarySearch(g.Nodes, d.Node); !found && d.Node != "" {
		g.Nodes = slices.Insert(g.Nodes, at, d.Node)
	}
}

func compare(a, b key) int {
	return cmp.Or(cmp.Compare(a.src, b.src), cmp.Compare(a.dst, b.dst), cmp.Compare(a.target, b.target),
		cmp.Compare(a.direction, b.direction), cmp.Compare(a.reason, b.reason))
}
