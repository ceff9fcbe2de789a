package page

import (
	"io"

	"github.com/sluice-net/sluice/policy/connectivity"
)

// Diff writes what passes otherwise than before. Rows and columns are the ends of which
// something changed.
func Diff(w io.Writer, d *connectivity.Difference, o Options) error {
	b := newBuilder("diff", "What changes", o)
	for i := range d.Ends {
		e := &d.Ends[i]
		one := b.end(&e.End)
		switch {
		case !e.Old:
			one.Presence = "new"
		case !e.New:
			one.Presence = "gone"
		}
		b.Ends = append(b.Ends, one)
	}
	rows, columns := make([]bool, len(d.Ends)), make([]bool, len(d.Ends))
	for i := range d.Changes {
		c := &d.Changes[i]
		for _, e := range c.Sources {
			rows[e] = true
		}
		for _, e := range c.Destinations {
			columns[e] = true
		}
		b.Cells = append(b.Cells, b.block(b.change(c), c.Sources, c.Destinations))
	}
	b.Rows, b.Columns = numbers(rows), numbers(columns)
	for _, p := range d.Policies {
		change := "changed"
		switch {
		case !p.Old:
			change = "added"
		case !p.New:
			change = "removed"
		}
		b.Changed = append(b.Changed, changedPolicy{p.Policy.Namespace, p.Policy.Name, change, p.Effective})
	}
	return write(w, &b.document)
}

var changeStates = map[connectivity.ChangeKind]string{
	connectivity.NewlyAllowed: "added", connectivity.NewlyDenied: "removed", connectivity.Changed: "changed",
}

func (b *builder) change(c *connectivity.Change) value {
	p := part{Old: portsText(c.Old), New: portsText(c.New)}
	ports := make([]connectivity.Ports, len(c.Stretches))
	for i := range c.Stretches {
		s := &c.Stretches[i]
		ports[i] = s.Ports
		one := stretch{Ports: s.Ports.String(), Answer: s.New.String(), Old: s.Old.String()}
		for _, why := range s.Causes {
			one.Causes = append(one.Causes, b.cause(why))
		}
		p.Stretches = append(p.Stretches, one)
	}
	return value{State: changeStates[c.Kind], Label: connectivity.Describe(ports), Parts: []part{p}}
}

func (b *builder) cause(c connectivity.Cause) cause {
	out := cause{Effect: c.Effect.String(), Rule: -1, PolicyChanged: c.PolicyChanged}
	if c.Effect != connectivity.AddedWorkload && c.Effect != connectivity.RemovedWorkload {
		old := c.Effect == connectivity.NoLongerAllows || c.Effect == connectivity.NoLongerIsolates
		out.Rule = b.rule(c.Grant, old)
	}
	return out
}

func numbers(set []bool) []int {
	out := []int{}
	for i, in := range set {
		if in {
			out = append(out, i)
		}
	}
	return out
}
