package connectivity

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

// noSide stands for that of an end that is not in the matrix.
const noSide = ^uint32(0)

// pairKey is all that a change follows from: the sides of both ends before and
// after, and what isolates them.
type pairKey struct {
	// sides are egress and ingress, before and after.
	sides [2][2]uint32
	rows  [2][2]int
	// places are those of the other end of each side, see placeOf.
	places [2][2]int
}

// change is the number of the change between two ends, given by their numbers
// in both matrices.
func (d *differ) change(src, dst [2]int) uint32 {
	var key pairKey
	var cells [2]uint32
	whole, listed := true, false
	for i, m := range []*Matrix{d.old, d.now} {
		if src[i] < 0 || dst[i] < 0 {
			whole = false
			key.sides[i], key.places[i] = [2]uint32{noSide, noSide}, [2]int{-1, -1}
			continue
		}
		listed = listed || m.listed(src[i], dst[i])
		key.sides[i][0], key.sides[i][1] = m.sidesOf(src[i], dst[i])
		key.rows[i] = [2]int{m.out[src[i]], m.in[dst[i]]}
		key.places[i] = [2]int{m.placeOf(dst[i]), m.placeOf(src[i])}
		cells[i] = m.cell(src[i], dst[i])
	}
	if !listed || whole && d.alike(cells) {
		return 0
	}
	id, known := d.ids[key]
	if !known {
		id = d.put(key, cells)
		d.ids[key] = id
	}
	return id
}

// placeOf is the number of an end's place, -1 for a range: that is in each block as a
// whole or not at all.
func (m *Matrix) placeOf(e int) int {
	if m.traits[e].class >= 0 {
		return -1
	}
	return m.traits[e].place
}

// alike reports whether the same passes, under no conditions.
func (d *differ) alike(cells [2]uint32) bool {
	same, known := d.same[cells]
	if !known {
		a, b := d.old.whats.list[cells[0]], d.now.whats.list[cells[1]]
		same = slices.Equal(a, b) && !slices.ContainsFunc(a, func(s whatSpan) bool { return s.by[0] == Depends || s.by[1] == Depends })
		d.same[cells] = same
	}
	return same
}

func (d *differ) put(key pairKey, cells [2]uint32) uint32 {
	c := Change{Kind: Changed, Old: d.old.plain(d.old.whats.list[cells[0]].plain()), New: d.now.plain(d.now.whats.list[cells[1]].plain())}
	c.Stretches = d.stretches(key)
	if len(c.Stretches) == 0 {
		return 0
	}
	switch {
	case len(c.Old) == 0:
		c.Kind = NewlyAllowed
	case len(c.New) == 0:
		c.Kind = NewlyDenied
	}
	var text strings.Builder
	for _, list := range [][]Stretch{c.Old, c.New} {
		for _, s := range list {
			fmt.Fprintf(&text, "%s %d%d%d,", s.Ports, s.Answer, s.IPv4, s.IPv6)
		}
		text.WriteByte('\n')
	}
	for _, s := range c.Stretches {
		fmt.Fprintf(&text, "%s %d %d %v", s.Ports, s.Old, s.New, s.Opens)
		for _, cause := range s.Causes {
			text.WriteString("\n\t" + cause.key())
		}
	}
	return d.changes.put([]byte(text.String()), func() Change { return c })
}

// moment is one of the matrices at one port.
type moment struct {
	*Matrix
	sides [2]*side // egress and ingress, nil for an end that is not there
	spans [2]*sideSpan
	rows  [2]int
	// places are those of the other end of each side, -1 for a range.
	places [2]int
}

func (t *moment) at(port uint32) {
	for i, s := range t.sides {
		t.spans[i] = nil
		if s != nil {
			t.spans[i] = s.at(port)
		}
	}
}

// at is the stretch that has the port, nil if there is none.
func (s *side) at(port uint32) *sideSpan {
	i, found := slices.BinarySearchFunc(s.spans, port, func(s sideSpan, port uint32) int { return int(s.from) - int(port) })
	if !found {
		i--
	}
	if i < 0 || s.spans[i].to <= port {
		return nil
	}
	return &s.spans[i]
}

// passes is what both ends say, with all that is denied alike.
func (t *moment) passes() families {
	if t.spans[0] == nil || t.spans[1] == nil {
		return families{}
	}
	by := t.spans[0].and(&t.spans[1].state)
	if by.together() == Denied {
		return families{}
	}
	return by
}

// stretches are the ports on which something differs.
func (d *differ) stretches(key pairKey) []StretchChange {
	moments := [2]moment{{Matrix: d.old, rows: key.rows[0], places: key.places[0]}, {Matrix: d.now, rows: key.rows[1], places: key.places[1]}}
	var bounds []uint32
	for i := range moments {
		t := &moments[i]
		for j, id := range key.sides[i] {
			if id == noSide {
				continue
			}
			t.sides[j] = &t.Matrix.sides.list[id]
			for _, s := range t.sides[j].spans {
				bounds = append(bounds, s.from, s.to)
			}
		}
	}
	slices.Sort(bounds)
	bounds = slices.Compact(bounds)
	var out []StretchChange
	for i := 1; i < len(bounds); i++ {
		for j := range moments {
			moments[j].at(bounds[i-1])
		}
		was, is := moments[0].passes(), moments[1].passes()
		at := span{bounds[i-1], bounds[i]}
		one := StretchChange{Ports: at.ports(), Old: was.together(), New: is.together()}
		one.Opens, one.Causes = d.causes(&moments[0], &moments[1], was, is)
		if was == is && len(one.Causes) == 0 {
			continue
		}
		last := len(out) - 1
		if last >= 0 && out[last].span().to == at.from && out[last].sameBut(&one) {
			out[last].Last = one.Last
			continue
		}
		out = append(out, one)
	}
	return out
}

// sameBut reports whether only the ports differ.
func (s *StretchChange) sameBut(o *StretchChange) bool {
	return s.Old == o.Old && s.New == o.New && s.Opens == o.Opens && slices.EqualFunc(s.Causes, o.Causes, Cause.same)
}

func (c Cause) same(o Cause) bool { return c.key() == o.key() }

// causes are what made the difference, none if there is none, and whether something
// passes that did not, be it for other addresses only.
func (d *differ) causes(old, now *moment, was, is families) (opens bool, causes []Cause) {
	up, down := is.more(was), was.more(is)
	// The same may be answered for other addresses.
	shifts := d.shifts(old, now, was, is)
	opens = up || shifts[0].more || shifts[1].more
	switch {
	case was == is && shifts == [2]shift{}:
		return false, nil
	case old.sides[0] == nil:
		return opens, []Cause{{Effect: AddedWorkload, Grant: Grant{Peer: -1}}}
	case now.sides[0] == nil:
		return opens, []Cause{{Effect: RemovedWorkload, Grant: Grant{Peer: -1}}}
	}
	for i, dir := range []policy.Direction{policy.Egress, policy.Ingress} {
		if up || shifts[i].more {
			causes = append(causes, d.turned(turn{dir, i, NoLongerIsolates, Allows, shifts[i].more}, old, now)...)
		}
		if down || shifts[i].less {
			causes = append(causes, d.turned(turn{dir, i, Isolates, NoLongerAllows, shifts[i].less}, now, old)...)
		}
	}
	slices.SortStableFunc(causes, func(a, b Cause) int { return a.compare(b.Grant) })
	return opens, causes
}

// turn is a side of which one matrix says more than the other.
type turn struct {
	dir policy.Direction
	at  int // in moment.sides
	// isolation and rule are what it means.
	isolation, rule Effect
	// moved: it says more of some addresses, though as surely of all together.
	moved bool
}

// turned is why a side says more in one matrix than in the other: no policy
// isolates there, which those of the other do, or some rules allow there.
func (d *differ) turned(t turn, less, more *moment) []Cause {
	i := t.at
	a, b := less.spans[i], more.spans[i]
	var out []Cause
	if b == nil || a != nil && !b.by.more(a.by) && !t.moved {
		return nil
	}
	if more.sides[i].reason != policy.ReasonRule {
		if less.rows[i] < firstSet {
			return nil
		}
		for _, p := range less.Matrix.sets[less.rows[i]-firstSet].Policies {
			c := Cause{Effect: t.isolation, Grant: Grant{RuleRef: policy.RuleRef{Policy: p, Direction: t.dir, Rule: -1}, Peer: -1}}
			out = append(out, d.mark(c))
		}
		return out
	}
	had := map[string]bool{}
	if a != nil {
		for _, g := range a.grants {
			had[grantText(less.grant(g))] = true
		}
	}
	for _, g := range more.Matrix.reasons(more.sides[i], b).Grants {
		if !had[grantText(g)] {
			out = append(out, d.mark(Cause{Effect: t.rule, Grant: g}))
		}
	}
	return out
}

// mark says whether the policy of a cause differs, and whether its mode does.
func (d *differ) mark(c Cause) Cause {
	name := types.NamespacedName{Namespace: c.Policy.Namespace, Name: c.Policy.Name}
	_, c.PolicyChanged = d.changed.list[name]
	c.Mode = d.changed.modes[name]
	return c
}

func grantText(g Grant) string { return Cause{Grant: g}.key() }
