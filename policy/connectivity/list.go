package connectivity

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/policy"
)

// ListOptions narrow a list. The zero value lists everything, without reasons.
type ListOptions struct {
	// From and To choose the ends, nil for all.
	From, To func(*End) bool
	// Ports and Named, if there are any, are the only ones that are of interest. A name is
	// of the port that each destination has by it.
	Ports []Ports
	Named []policy.NamedPortRef
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
	v := viewer{Matrix: m, clips: newClips(m.ends, &o), why: o.Why, seen: map[viewed]uint32{}}
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

// OfInterest reports whether a port of a destination is one of those that are asked for.
func (o *ListOptions) OfInterest(dst *End, at Ports) bool {
	return o.all() || slices.ContainsFunc(o.spans(dst), func(s span) bool { return s.from <= at.span().from && at.span().to <= s.to })
}

// all reports whether no port is asked for.
func (o *ListOptions) all() bool { return len(o.Ports)+len(o.Named) == 0 }

// spans are the ports of a destination that are asked for.
func (o *ListOptions) spans(dst *End) []span {
	var out []span
	for _, p := range o.Ports {
		out = append(out, p.span())
	}
	for _, own := range dst.Ports {
		if slices.Contains(o.Named, policy.NamedPortRef{Protocol: own.Protocol, Name: own.Name}) {
			out = append(out, Ports{own.Protocol, own.Number, own.Number}.span())
		}
	}
	return mergeSpans(out)
}

// clips are the spans that are of interest, by destination; those of one number are the
// same. The zero value has all be of interest.
type clips struct {
	spans table[[]span]
	of    []uint32
}

func newClips(ends []End, o *ListOptions) (c clips) {
	for i := range ends {
		if o.all() {
			break
		}
		spans := o.spans(&ends[i])
		var key []byte
		for _, s := range spans {
			key = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(key, s.from), s.to)
		}
		c.of = append(c.of, c.spans.put(key, func() []span { return spans }))
	}
	return c
}

// clipOf is the number of a destination's spans.
func (c *clips) clipOf(dst int) uint32 {
	if c.of == nil {
		return 0
	}
	return c.of[dst]
}

// clipped is what of a span is of interest.
func (c *clips) clipped(number uint32, s span) []span {
	if c.of == nil {
		return []span{s}
	}
	var out []span
	for _, clip := range c.spans.list[number] {
		if at := (span{max(s.from, clip.from), min(s.to, clip.to)}); at.from < at.to {
			out = append(out, at)
		}
	}
	return out
}

// viewer gives cells numbers by what is to be told apart. 0 is nothing.
type viewer struct {
	*Matrix
	clips
	why   bool
	seen  map[viewed]uint32
	lines table[[]Stretch]
}

// viewed is what a cell's number hangs on: what passes, or the sides of both ends, and which
// ports are of interest.
type viewed struct{ a, b, clip uint32 }

func (v *viewer) value(src, dst int) uint32 {
	passes := v.cell(src, dst)
	if passes == 0 {
		return 0
	}
	key := viewed{a: passes, clip: v.clipOf(dst)}
	if v.why {
		key.a, key.b = v.sidesOf(src, dst)
	}
	id, known := v.seen[key]
	if !known {
		if v.why {
			id = v.putReasons(key)
		} else {
			id = v.putPlain(key)
		}
		v.seen[key] = id
	}
	return id
}

func (v *viewer) putPlain(key viewed) uint32 {
	var w what
	for _, s := range v.whats.list[key.a].plain() {
		for _, at := range v.clipped(key.clip, s.span) {
			w = append(w, whatSpan{at, s.by})
		}
	}
	return v.lines.put(w.key(), func() []Stretch { return v.plain(w) })
}

// putReasons lays two sides over each other, and looks at their reasons too.
func (v *viewer) putReasons(of viewed) uint32 {
	var key []byte
	var at []overlap
	for _, o := range v.overlaps(of.a, of.b) {
		for _, s := range v.clipped(of.clip, o.span) {
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
