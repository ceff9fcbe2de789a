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
	Stretches             []Stretch
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
	v := viewer{Matrix: m, clip: clipSpans(o.Ports), clipped: map[uint32]uint32{}, why: o.Why, pairs: map[[2]uint32]uint32{}}
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
		line := Line{Sources: pickInts(from, r.rows), Destinations: pickInts(to, r.cols), Stretches: v.stretches(r.value)}
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
	// clipped is what remains of what passes.
	clipped map[uint32]uint32
	why     bool
	// pairs are sides of both ends, by number from 1.
	pairs map[[2]uint32]uint32
	list  [][2]uint32
}

func (v *viewer) value(src, dst int) uint32 {
	passes := v.clipID(v.cell(src, dst))
	if passes == 0 || !v.why {
		return passes
	}
	eg, in := v.sidesOf(src, dst)
	key := [2]uint32{eg, in}
	id, known := v.pairs[key]
	if !known {
		v.list = append(v.list, key)
		id = uint32(len(v.list))
		v.pairs[key] = id
	}
	return id
}

// clipID is what passes on the ports of interest.
func (v *viewer) clipID(id uint32) uint32 {
	if len(v.clip) == 0 || id == 0 {
		return id
	}
	out, known := v.clipped[id]
	if !known {
		var w what
		for _, s := range v.whats.list[id] {
			for _, c := range v.clip {
				if at := (span{max(s.from, c.from), min(s.to, c.to)}); at.from < at.to {
					w = append(w, whatSpan{at, s.by})
				}
			}
		}
		out = v.putWhat(w)
		v.clipped[id] = out
	}
	return out
}

func (v *viewer) stretches(value uint32) []Stretch {
	if !v.why {
		return v.plain(v.whats.list[value])
	}
	all := v.Matrix.stretches(v.list[value-1][0], v.list[value-1][1])
	if len(v.clip) == 0 {
		return all
	}
	var out []Stretch
	for _, s := range all {
		at := s.span()
		for _, c := range v.clip {
			if part := (span{max(at.from, c.from), min(at.to, c.to)}); part.from < part.to {
				s.Ports = part.ports()
				out = append(out, s)
			}
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
