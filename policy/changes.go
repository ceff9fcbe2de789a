package policy

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Changes returns the net difference since it was last called: what was
// changed and changed back is not in it.
func (x *Index) Changes() Changes {
	x.resolve()
	var ch Changes
	for _, name := range slices.SortedFunc(maps.Keys(x.was), CompareNames) {
		before := x.was[name]
		var now *Subject
		if s := x.subjects[name]; s != nil {
			now = s.Subject
		}
		if before != nil && now != nil && before.same(now) || before == nil && now == nil {
			continue
		}
		ch.Subjects = append(ch.Subjects, SubjectChange{Pod: name, Now: now})
	}
	renew(&x.was)

	for _, g := range x.touched {
		if gc := x.groupChange(g); g.uses > 0 && len(gc.Added)+len(gc.Removed) > 0 {
			ch.Groups = append(ch.Groups, gc)
		}
		g.was = nil
	}
	slices.SortFunc(ch.Groups, func(a, b GroupChange) int {
		return strings.Compare(string(a.Group), string(b.Group))
	})
	x.touched = nil

	for _, g := range x.fresh {
		g.fresh = false
	}
	x.fresh = nil
	for g := range x.idle {
		if g.uses == 0 {
			x.deactivate(g)
		}
	}
	renew(&x.idle)
	return ch
}

func (x *Index) groupChange(g *group) GroupChange {
	out := GroupChange{Group: g.key}
	for _, a := range slices.SortedFunc(maps.Keys(g.was), netip.Addr.Compare) {
		before, now := g.was[a], x.membership(g, a)
		if before.in == now.in && slices.Equal(before.ports, now.ports) {
			continue
		}
		if before.in {
			out.Removed = append(out.Removed, Member{Addr: a, Ports: before.ports})
		}
		if now.in {
			out.Added = append(out.Added, Member{Addr: a, Ports: now.ports})
		}
	}
	return out
}
