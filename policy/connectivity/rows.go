package connectivity

import (
	"cmp"
	"slices"

	"github.com/sluice-net/sluice/policy"
)

// The first rows are those of ends that no policy isolates.
const (
	rowNoPod = iota
	rowNotIsolated
	firstSet
)

// grant is one peer of one rule of an allow set, with its ports.
type grant struct {
	ref  policy.RuleRef
	peer int // -1: the rule names none, which means all
	// members are the ends that a selector matches, nil for a block.
	members bitset
	// block is the number of the block, -1 for none.
	block int
	spans []span
	// named are ports that the destination Pod gives the numbers of.
	named []policy.NamedPortRef
}

// rowOf is the number of the row of a set's sides.
func (m *Matrix) rowOf(s *policy.AllowSet) int {
	if s == nil {
		return rowNotIsolated
	}
	at, known := m.setRows[s]
	if !known {
		at = firstSet + len(m.sets)
		m.setRows[s] = at
		m.sets = append(m.sets, s)
	}
	return at
}

// fill computes the sides of all sets.
func (m *Matrix) fill(w *world) {
	m.rows = make([][]uint32, 0, firstSet+len(m.sets))
	for _, reason := range []policy.Reason{rowNoPod: policy.ReasonNoPod, rowNotIsolated: policy.ReasonNotIsolated} {
		row := make([]uint32, len(m.ends))
		byPlace := map[int]uint32{}
		for e := range m.ends {
			p := m.traits[e].place
			id, known := byPlace[p]
			if !known {
				id = m.open(reason, &m.places.list[p])
				byPlace[p] = id
			}
			row[e] = id
		}
		m.rows = append(m.rows, row)
	}
	f := filler{Matrix: m, world: w}
	for _, s := range m.sets {
		m.rows = append(m.rows, f.row(s))
	}
}

// filler computes rows; it keeps room for that.
type filler struct {
	*Matrix
	world *world
	moved []uint32
}

// row is the side of each end as the other end of the set's Pods. Ends that
// the same peers match have the same one.
func (f *filler) row(s *policy.AllowSet) []uint32 {
	grants := f.grants(s)
	ids := make([]uint32, len(f.ends))
	for e := range f.traits {
		ids[e] = f.traits[e].profile
	}
	n := f.profiles
	for i := range grants {
		n = f.refine(ids, n, &grants[i])
	}
	row := make([]uint32, len(f.ends))
	sides := make([]uint32, n)
	known := make([]bool, n)
	for e, id := range ids {
		if !known[id] {
			sides[id], known[id] = f.side(e, grants, s.Direction), true
		}
		row[e] = sides[id]
	}
	return row
}

func (f *filler) grants(s *policy.AllowSet) []grant {
	var out []grant
	for i := range s.Rules {
		r := &s.Rules[i]
		base := grant{ref: r.RuleRef, peer: -1, block: -1, named: r.NamedPorts}
		if r.AllPorts {
			base.spans = everySpan()
		}
		for _, p := range r.Ports {
			base.spans = append(base.spans, Ports(p).span())
		}
		base.spans = mergeSpans(base.spans)
		if len(base.spans)+len(base.named) == 0 {
			continue
		}
		first := len(out)
		if r.AllPeers {
			out = append(out, base)
		}
		for _, g := range r.Groups {
			one := base
			one.peer, one.members = g.PeerIndex, f.group(g.Group)
			out = append(out, one)
		}
		for _, b := range r.Blocks {
			one := base
			one.peer, one.block = b.PeerIndex, f.space.ids[b.Block.String()]
			out = append(out, one)
		}
		slices.SortFunc(out[first:], func(a, b grant) int { return cmp.Compare(a.peer, b.peer) })
	}
	return out
}

func (f *filler) group(key policy.GroupKey) bitset {
	members, known := f.members[key]
	if !known {
		members = newBitset(len(f.ends))
		for _, k := range f.world.members(key) {
			for _, e := range f.ofKind[k] {
				members.set(e)
			}
		}
		f.members[key] = members
	}
	return members
}

// refine gives another profile to the ends that the grant tells from others. It
// returns the number of profiles.
func (f *filler) refine(ids []uint32, n uint32, g *grant) uint32 {
	if len(g.named) > 0 {
		return f.refineByPorts(ids, n, g)
	}
	if g.members == nil && g.block < 0 {
		return n
	}
	if int(n) > len(f.moved) {
		f.moved = make([]uint32, 2*n)
	}
	moved := f.moved[:n]
	clear(moved)
	move := func(e int) {
		from := ids[e]
		if moved[from] == 0 {
			moved[from] = n
			n++
		}
		ids[e] = moved[from]
	}
	if g.members != nil {
		g.members.each(move)
		return n
	}
	// What a block is to Pods follows from their place, which their profile has.
	f.space.blocks[g.block].each(func(c int) {
		if e := f.rangeEnd[c]; e >= 0 {
			move(e)
		}
	})
	return n
}

// refineByPorts tells Pods apart by their named ports, too.
func (f *filler) refineByPorts(ids []uint32, n uint32, g *grant) uint32 {
	moved := map[[2]uint32]uint32{}
	for e := range ids {
		t := &f.traits[e]
		matched := g.members == nil && g.block < 0
		switch {
		case g.members != nil:
			matched = g.members.has(e)
		case g.block >= 0 && t.class >= 0:
			matched = f.space.blocks[g.block].has(t.class)
		case g.block >= 0:
			matched = true // by their place, as above
		}
		if !matched {
			continue
		}
		key := [2]uint32{ids[e], t.portsID}
		to, known := moved[key]
		if !known {
			to = n
			moved[key] = to
			n++
		}
		ids[e] = to
	}
	return n
}

// side is what the grants of a set say of an end.
func (f *filler) side(e int, grants []grant, d policy.Direction) uint32 {
	t := &f.traits[e]
	at := &f.places.list[t.place]
	var pieces []piece
	for i := range grants {
		pieces = f.pieces(pieces, e, at, &grants[i])
	}
	if t.host && (d == policy.Ingress || f.nodeEgress) {
		id := f.grantID(grantKey{peer: -1, ownNode: true})
		for _, s := range everySpan() {
			pieces = append(pieces, piece{span: s, grant: id, block: -1})
		}
	}
	return f.assemble(policy.ReasonRule, at, pieces)
}

// pieces appends what a grant allows.
func (f *filler) pieces(to []piece, e int, at *place, g *grant) []piece {
	sure, key := true, grantKey{ref: g.ref, peer: g.peer}
	switch {
	case g.members != nil:
		if !g.members.has(e) {
			return to
		}
	case g.block >= 0:
		held := f.space.blocks[g.block]
		if !at.all.meets(held) {
			return to
		}
		if sure = at.all.within(held); !sure {
			key.block = g.block + 1
		}
	}
	one := piece{sure: sure, block: -1}
	if !sure {
		one.block = g.block
	}
	if len(g.spans) > 0 {
		one.grant = f.grantID(key)
		for _, s := range g.spans {
			one.span = s
			to = append(to, one)
		}
	}
	if len(g.named) > 0 && f.ends[e].isPod() {
		to = f.namedPieces(to, e, one, key, g)
	}
	return to
}

// namedPieces looks the names up on the destination Pod. A Pod that nobody has
// made may give any port the name.
func (f *filler) namedPieces(to []piece, e int, one piece, key grantKey, g *grant) []piece {
	for _, name := range g.named {
		if f.ends[e].Kind == Stranger {
			key.port = name
			to = append(to, piece{span: Ports{name.Protocol, 1, 65535}.span(), grant: f.grantID(key), block: -1})
			continue
		}
		one.grant = f.grantID(key)
		for _, p := range f.ends[e].Ports {
			if p.Protocol == name.Protocol && p.Name == name.Name {
				one.span = Ports{p.Protocol, p.Number, p.Number}.span()
				to = append(to, one)
			}
		}
	}
	return to
}

func (m *Matrix) grantID(key grantKey) uint32 {
	id, known := m.grantIDs[key]
	if !known {
		id = uint32(len(m.grants))
		m.grantIDs[key] = id
		m.grants = append(m.grants, key)
	}
	return id
}
