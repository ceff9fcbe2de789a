package connectivity

import (
	"encoding/binary"
	"slices"

	"github.com/sluice-net/sluice/policy"
)

// table holds values once, under the bytes that tell them apart.
type table[T any] struct {
	ids  map[string]uint32
	list []T
}

func (t *table[T]) put(key []byte, value func() T) uint32 {
	if id, known := t.ids[string(key)]; known {
		return id
	}
	if t.ids == nil {
		t.ids = map[string]uint32{}
	}
	id := uint32(len(t.list))
	t.ids[string(key)] = id
	t.list = append(t.list, value())
	return id
}

// grantKey tells what allows something: a peer of a rule, and on what it
// depends.
type grantKey struct {
	ref  policy.RuleRef
	peer int
	// block is one more than the number of the block, 0 for none.
	block   int
	ownNode bool
	port    policy.NamedPortRef
}

// side is what the policies of one end say of another one: disjoint stretches,
// sorted. Those that are missing are denied.
type side struct {
	reason policy.Reason
	spans  []sideSpan
	// shape is the same for sides that say the same for other reasons.
	shape uint32
}

type sideSpan struct {
	span
	state
	grants []uint32 // ascending
}

// shape is a side without reasons.
type shape []shapeSpan

type shapeSpan struct {
	span
	state
}

// piece is what one peer of one rule allows.
type piece struct {
	span
	grant uint32
	// sure: whatever addresses the ends have. Otherwise block is the number of
	// the block that must hold the address, or -1 if it is about something else.
	sure  bool
	block int
}

// assemble lays pieces over each other.
func (m *Matrix) assemble(reason policy.Reason, at *place, pieces []piece) uint32 {
	var bounds []uint32
	for _, p := range pieces {
		bounds = append(bounds, p.from, p.to)
	}
	slices.Sort(bounds)
	bounds = slices.Compact(bounds)
	over := make([][]int, len(bounds))
	for i, p := range pieces {
		first, _ := slices.BinarySearch(bounds, p.from)
		for j := first; bounds[j] < p.to; j++ {
			over[j] = append(over[j], i)
		}
	}
	var spans []sideSpan
	for j, list := range over {
		if len(list) == 0 {
			continue
		}
		s := sideSpan{span: span{bounds[j], bounds[j+1]}, state: m.stateOf(at, pieces, list)}
		for _, i := range list {
			s.grants = append(s.grants, pieces[i].grant)
		}
		slices.Sort(s.grants)
		s.grants = slices.Compact(s.grants)
		if last := len(spans) - 1; last >= 0 && spans[last].to == s.from && spans[last].state == s.state && slices.Equal(spans[last].grants, s.grants) {
			spans[last].to = s.to
			continue
		}
		spans = append(spans, s)
	}
	return m.putSide(reason, spans)
}

// stateOf is what pieces say together of an address in a place. Blocks that
// hold all of the place's addresses only together do hold them all.
func (m *Matrix) stateOf(at *place, pieces []piece, list []int) state {
	var held bitset
	sure, maybe := false, false
	for _, i := range list {
		switch p := &pieces[i]; {
		case p.sure:
			sure = true
		case p.block < 0:
			maybe = true
		default:
			if held == nil {
				held = newBitset(len(m.space.classes))
			}
			held.add(m.space.blocks[p.block])
		}
	}
	var out state
	for f := range out.by {
		switch {
		case !at.has[f]:
			out.by[f] = Absent
		case sure || held != nil && at.by[f].within(held):
			out.by[f] = Allowed
		case maybe:
			out.by[f] = Depends
		case held != nil && at.by[f].meets(held):
			out.by[f] = Depends
			if c := at.by[f].onlyCommon(held); c >= 0 {
				out.only[f] = m.space.classes[c].single
			}
		}
	}
	return out
}

func (m *Matrix) putSide(reason policy.Reason, spans []sideSpan) uint32 {
	key := append([]byte(reason), 0)
	for i := range spans {
		s := &spans[i]
		key = s.appendGrants(s.appendKey(key, s.span))
	}
	return m.sides.put(key, func() side {
		return side{reason: reason, spans: spans, shape: m.putShape(spans)}
	})
}

func (s *sideSpan) appendGrants(key []byte) []byte {
	key = binary.AppendUvarint(key, uint64(len(s.grants)))
	for _, g := range s.grants {
		key = binary.AppendUvarint(key, uint64(g))
	}
	return key
}

// reasonKey tells apart for what reasons and how surely a side lets a stretch
// through.
func (s *side) reasonKey(key []byte, at *sideSpan) []byte {
	key = append(append(key, s.reason...), 0, byte(at.by.together()))
	return at.appendGrants(key)
}

func (m *Matrix) putShape(spans []sideSpan) uint32 {
	var out shape
	for i := range spans {
		s := shapeSpan{spans[i].span, spans[i].state}
		if last := len(out) - 1; last >= 0 && out[last].to == s.from && out[last].state == s.state {
			out[last].to = s.to
			continue
		}
		out = append(out, s)
	}
	var key []byte
	for i := range out {
		key = out[i].appendKey(key, out[i].span)
	}
	return m.shapes.put(key, func() shape { return out })
}

func (s *state) appendKey(key []byte, at span) []byte {
	key = binary.BigEndian.AppendUint32(key, at.from)
	key = binary.BigEndian.AppendUint32(key, at.to)
	for f := range s.by {
		key = append(key, byte(s.by[f]))
		only := s.only[f].AsSlice()
		key = append(append(key, byte(len(only))), only...)
	}
	return key
}

// open is a side that lets everything through, to the families that the other
// end has.
func (m *Matrix) open(reason policy.Reason, at *place) uint32 {
	var s state
	for f := range s.by {
		if s.by[f] = Absent; at.has[f] {
			s.by[f] = Allowed
		}
	}
	var spans []sideSpan
	for _, sp := range everySpan() {
		spans = append(spans, sideSpan{span: sp, state: s})
	}
	return m.putSide(reason, spans)
}

// what is a connection without reasons: what passes, by stretches.
type what []whatSpan

type whatSpan struct {
	span
	by families
}

// meet is the number of what passes if two ends say this.
func (m *Matrix) meet(egress, ingress uint32) uint32 {
	key := uint64(egress)<<32 | uint64(ingress)
	if id, known := m.met[key]; known {
		return id
	}
	id := m.putWhat(combine(m.shapes.list[egress], m.shapes.list[ingress]))
	m.met[key] = id
	return id
}

func (m *Matrix) putWhat(w what) uint32 { return m.whats.put(w.key(), func() what { return w }) }

func (w what) key() []byte {
	var key []byte
	for _, s := range w {
		key = binary.BigEndian.AppendUint32(key, s.from)
		key = binary.BigEndian.AppendUint32(key, s.to)
		key = append(key, byte(s.by[0]), byte(s.by[1]))
	}
	return key
}

// plain is what passes with absent families alike, see there.
func (w what) plain() what {
	var out what
	for _, s := range w {
		s.by = s.by.plain()
		if last := len(out) - 1; last >= 0 && out[last].to == s.from && out[last].by == s.by {
			out[last].to = s.to
			continue
		}
		out = append(out, s)
	}
	return out
}

func combine(a, b shape) what {
	var out what
	for i, j := 0, 0; i < len(a) && j < len(b); {
		s := span{max(a[i].from, b[j].from), min(a[i].to, b[j].to)}
		if s.from < s.to {
			by := a[i].and(&b[j].state)
			last := len(out) - 1
			switch {
			case by.together() == Denied:
			case last >= 0 && out[last].to == s.from && out[last].by == by:
				out[last].to = s.to
			default:
				out = append(out, whatSpan{s, by})
			}
		}
		if a[i].to <= b[j].to {
			i++
		} else {
			j++
		}
	}
	return out
}
