package figures

import (
	"fmt"
	"slices"
)

// Keep takes over the parts of an earlier run that this one did not measure. What is
// compared is always of one part, so each may be of a run of its own; but all are of one
// machine. Order is that of all parts.
func (r *Run) Keep(earlier *Run, order []string) error {
	a, b := r.Machine, earlier.Machine
	if a.CPU != b.CPU || a.Cores != b.Cores || a.Kernel != b.Kernel {
		return fmt.Errorf("the earlier run was made on another machine: %s, %d cores, %s, not %s, %d cores, %s", b.CPU, b.Cores, b.Kernel, a.CPU, a.Cores, a.Kernel)
	}
	measured := func(name string) bool {
		return slices.ContainsFunc(r.Parts, func(p Part) bool { return p.Name == name })
	}
	for _, p := range earlier.Parts {
		if measured(p.Name) {
			continue
		}
		if p.Revision == "" {
			p.Revision, p.Started = b.Revision, earlier.Started
		}
		r.Parts = append(r.Parts, p)
		r.Figures = append(r.Figures, earlier.Of(p.Name, "")...)
		for _, m := range earlier.Missing {
			if m.Part == p.Name {
				r.Missing = append(r.Missing, m)
			}
		}
	}
	slices.SortStableFunc(r.Parts, func(a, b Part) int { return slices.Index(order, a.Name) - slices.Index(order, b.Name) })
	slices.SortStableFunc(r.Figures, func(a, b Figure) int { return slices.Index(order, a.Part) - slices.Index(order, b.Part) })
	return nil
}
