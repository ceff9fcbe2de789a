package compiler

import "slices"

// bounds are a range of places.
type bounds[P position[P]] struct{ first, last P }

// uniteBounds has them in order, with none that overlap.
func uniteBounds[P position[P]](list []bounds[P]) []bounds[P] {
	slices.SortFunc(list, func(a, b bounds[P]) int { return a.first.Compare(b.first) })
	var out []bounds[P]
	for _, r := range list {
		if n := len(out) - 1; n >= 0 && r.first.Compare(out[n].last) <= 0 {
			if out[n].last.Compare(r.last) < 0 {
				out[n].last = r.last
			}
			continue
		}
		out = append(out, r)
	}
	return out
}

// partsWithin are the parts of a range that are in some of a united list.
func partsWithin[P position[P]](list []bounds[P], r bounds[P]) []bounds[P] {
	at, _ := slices.BinarySearchFunc(list, r.first, func(l bounds[P], first P) int { return l.last.Compare(first) })
	var out []bounds[P]
	for ; at < len(list) && list[at].first.Compare(r.last) <= 0; at++ {
		part := list[at]
		if part.first.Compare(r.first) < 0 {
			part.first = r.first
		}
		if r.last.Compare(part.last) < 0 {
			part.last = r.last
		}
		out = append(out, part)
	}
	return out
}

// splice puts others in the place of the stretches of some ranges. All lists are sorted,
// and so is what comes out.
func splice[P position[P], C any](was []stretch[P, C], where []bounds[P], anew []stretch[P, C]) []stretch[P, C] {
	out := make([]stretch[P, C], 0, len(was)+len(where)+len(anew))
	put := func(s stretch[P, C]) {
		for len(anew) > 0 && anew[0].first.Compare(s.first) < 0 {
			out, anew = append(out, anew[0]), anew[1:]
		}
		out = append(out, s)
	}
	for _, s := range was {
		for len(where) > 0 && where[0].last.Compare(s.first) < 0 {
			where = where[1:]
		}
		left := true
		for _, r := range where {
			if s.last.Compare(r.first) < 0 {
				break
			}
			if s.first.Compare(r.first) < 0 {
				before := s
				before.last = r.first.Prev()
				put(before)
			}
			if left = r.last.Compare(s.last) < 0; !left {
				break
			}
			s.first = r.last.Next()
		}
		if left {
			put(s)
		}
	}
	return append(out, anew...)
}
