package connectivity

import (
	"slices"
	"strings"
)

// ListOptions narrow a list. The zero value lists everything, without reasons.
type ListOptions struct {
	// From and To choose the ends, nil for all.
	From, To func(*End) bool
	// Ports, if there are any, are the only ones that are of interest.
	Ports []Ports
	// Why lists the reasons. What passes for different reasons is on different
	// lines then.
	Why bool
}

// Line says that each of the sources reaches each of the destinations.
type Line struct {
	// Sources and Destinations are ends, by number, ascending.
	Sources, Destinations []int
	// Stretches give a family that is absent the answer of the other one: ends of
	// each family are on one line if the same holds for them.
	Stretches []Stretch
}

// List is the connections that policies let through, if only under conditions.
// No pair of ends is on two lines, and what is on none is denied. Left out are
// the pairs of which neither end is a Pod that policies could isolate. An end of
// Pods in both lists of a line means different Pods of it: a Pod always reaches
// itself.
type List struct {
	Ends  []End
	Lines []Line
}

// List lists connections in few lines.
func (m *Matrix) List(o ListOptions) List {
	from, to := m.chosen(o.From), m.chosen(o.To)
	g := newGrid(len(from), len(to))
	v := viewer{Matrix: m, clip: clipSpans(o.Ports), why: o.Why, seen: map[[2]uint32]uint32{}}
	v.lines.put(nil, func() []Stretch { return nil }) // number 0
	for i, src := range from {
		row := g.row(i)
		for j, dst := range to {
			if m.listed(src, dst) {
				row[j] = v.value(src, dst)
			}
		}
	}
	out := List{Ends: m.ends}
	for _, r := range g.cover() {
		line := Line{Sources: pickInts(from, r.rows), Destinations: pickInts(to, r.cols), Stretches: v.lines.list[r.value]}
		if len(line.Sources) == 1 && slices.Equal(line.Sources, line.Destinations) && m.alone(line.Sources[0]) {
			continue // the only Pod, and itself
		}
		out.Lines = append(out.Lines, line)
	}
	return out
}

func (m *Matrix) chosen(ok func(*End) bool) []int {
	var out []int
	for e := range m.ends {
		if ok == nil || ok(&m.ends[e]) {
			out = append(out, e)
		}
	}
	return out
}

func (m *Matrix) listed(src, dst int) bool { return m.ends[src].isPod() || m.ends[dst].isPod() }

// alone reports whether the end is one bare Pod.
func (m *Matrix) alone(e int) bool {
	w := m.ends[e].Workloads
	return len(w) == 1 && w[0].Kind == "Pod"
}

func pickInts(from, at []int) []int {
	out := make([]int, len(at))
	for i, a := range at {
		out[i] = from[a]
	}
	return out
}

func clipSpans(ports []Ports) []span {
	var out []span
	for _, p := range ports {
		out = append(out, p.span())
	}
	return mergeSpans(out)
}

// viewer gives cells numbers by what is to be told apart. 0 is nothing.
type viewer struct {
	*Matrix
	clip []span
	why  bool
	// seen are the numbers by the sides of both ends, or by what passes.
	seen  map[[2]uint32]uint32
	lines table[[]Stretch]
}

func (v *viewer) value(src, dst int) uint32 {
	passes := v.cell(src, dst)
	if passes == 0 {
		return 0
	}
	key := [2]uint32{passes}
	if v.why {
		key[0], key[1] = v.sidesOf(src, dst)
	}
	id, known := v.seen[key]
	if !known {
		if v.why {
			id = v.putReasons(key[0], key[1])
		} else {
			id = v.putPlain(passes)
		}
		v.seen[key] = id
	}
	return id
}

func (v *viewer) putPlain(passes uint32) uint32 {
	var w what
	for _, s := range v.whats.list[passes].plain() {
		for _, at := range v.clipped(s.span) {
			w = append(w, whatSpan{at, s.by})
		}
	}
	return v.lines.put(w.key(), func() []Stretch { return v.plain(w) })
}

// putReasons lays two sides over each other, and looks at their reasons too.
func (v *viewer) putReasons(egress, ingress uint32) uint32 {
	var key []byte
	var at []overlap
	for _, o := range v.overlaps(egress, ingress) {
		for _, s := range v.clipped(o.span) {
			o.span, o.by = s, o.by.plain()
			at = append(at, o)
			key = v.reasonKey(append(key, what{{s, o.by}}.key()...), o)
		}
	}
	return v.lines.put(key, func() []Stretch {
		out := make([]Stretch, len(at))
		for i := range at {
			out[i] = v.stretch(&at[i])
		}
		return out
	})
}

func (v *viewer) reasonKey(key []byte, o overlap) []byte {
	return v.sides.list[o.ingress].reasonKey(v.sides.list[o.egress].reasonKey(key, o.a), o.b)
}

// clipped is what of a span is of interest.
func (v *viewer) clipped(s span) []span {
	if len(v.clip) == 0 {
		return []span{s}
	}
	var out []span
	for _, c := range v.clip {
		if at := (span{max(s.from, c.from), min(s.to, c.to)}); at.from < at.to {
			out = append(out, at)
		}
	}
	return out
}

// Internet is what a list of ends is called that are all of the outside.
const Internet = "internet"

// Describe names ends in few words, in their order: "internet" where all of the
// outside is among them, the others one by one.
func (l *List) Describe(ends []int) []string { return describe(l.Ends, ends) }

func describe(all []End, ends []int) []string {
	outside := 0
	for i := range all {
		if all[i].Kind == Outside {
			outside++
		}
	}
	for _, e := range ends {
		if all[e].Kind == Outside {
			outside--
		}
	}
	var out []string
	var ranges []AddrRange
	for _, e := range ends {
		end := &all[e]
		switch end.Kind {
		case Outside:
			ranges = append(ranges, end.Ranges...)
		case Nodes:
			out = append(out, "nodes "+rangeText(end.Ranges))
		default:
			for _, w := range end.Workloads {
				out = append(out, w.String())
			}
			if len(end.Workloads) == 0 {
				out = append(out, end.String())
			}
		}
	}
	switch {
	case len(ranges) == 0:
	case outside == 0:
		out = append(out, Internet)
	default:
		out = append(out, rangeText(ranges))
	}
	return out
}

func rangeText(list []AddrRange) string {
	sorted := slices.SortedFunc(slices.Values(list), func(a, b AddrRange) int { return a.First.Compare(b.First) })
	joined := join(sorted)
	text := make([]string, len(joined))
	for i, r := range joined {
		text[i] = r.String()
	}
	return strings.Join(text, ", ")
}
