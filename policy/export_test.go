package policy

import "fmt"

// Leftovers names what an index without objects still holds.
func (x *Index) Leftovers() string {
	counts := map[string]int{
		"namespaces": len(x.namespaces), "spaces": len(x.spaces), "labels": len(x.labels),
		"nodes": len(x.nodes), "owners": x.owners.len(), "contests": len(x.contests), "hosts": len(x.hosts),
		"scopes": len(x.scopes), "scopesBy": len(x.scopesBy.byLabel) + len(x.scopesBy.byKey) + len(x.scopesBy.rest),
		"groups": len(x.groups), "sets": len(x.sets), "subjects": len(x.subjects), "dirty": len(x.dirty),
		"was": len(x.was), "pods": x.counts.Pods, "known": x.counts.Namespaces, "policies": x.counts.Policies, "touched": len(x.touched), "fresh": len(x.fresh), "idle": len(x.idle), "blocks": len(x.blocks.byCIDR), "sorted": len(x.blocks.addrs),
	}
	for what, n := range counts {
		if n == 0 {
			delete(counts, what)
		}
	}
	if len(counts) == 0 {
		return ""
	}
	return fmt.Sprint(counts)
}

// Looked counts the selectors matched so far.
func (x *Index) Looked() int { return x.looked }

// Kept counts the changes of which it is known what was before.
func (x *Index) Kept() int {
	if x.past == nil {
		return 0
	}
	return len(x.past.changes)
}
