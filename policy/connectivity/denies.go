package connectivity

import "slices"

// Denies reports which ends of a pair let nothing of it pass whatever the other one
// says: the source's side nothing out, the destination's side nothing in. Where nothing
// passes and neither does, each lets something pass, and nothing that the other one does.
func (m *Matrix) Denies(src, dst int) (egress, ingress bool) {
	out, in := m.sidesOf(src, dst)
	return m.sides.list[out].closed(), m.sides.list[in].closed()
}

func (s *side) closed() bool {
	return !slices.ContainsFunc(s.spans, func(s sideSpan) bool { return s.by.together() != Denied })
}
