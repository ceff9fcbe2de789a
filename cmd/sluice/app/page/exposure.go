package page

import (
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
)

// peerColumns are the columns of exposure, in each direction.
var peerColumns = []struct {
	kind connectivity.PeerKind
	name string
}{
	{connectivity.OutsideRanges, "outside addresses"},
	{connectivity.EveryNamespace, "any Pod of any namespace"},
	{connectivity.Namespace, "any Pod of one namespace"},
	{connectivity.SelectedPods, "Pods by their labels"},
}

var exposedDirections = []struct {
	direction policy.Direction
	name      string
}{{policy.Ingress, "open to"}, {policy.Egress, "may reach"}}

// Exposure writes to whom Pods are open whom nobody in the cluster is. Rows are the
// Pods, columns the kinds of peers in both directions.
func Exposure(w io.Writer, x *connectivity.Exposure, o Options) error {
	b := newBuilder("exposure", "What is exposed", o)
	for i := range x.Ends {
		b.Ends = append(b.Ends, b.end(&x.Ends[i]))
	}
	// first is the first column of each direction, -1 of one that was not asked for.
	first := [2]int{-1, -1}
	for _, d := range exposedDirections {
		if len(o.Directions) > 0 && !slices.Contains(o.Directions, d.direction) {
			continue
		}
		first[d.direction] = len(b.Ends)
		for _, c := range peerColumns {
			b.Columns = append(b.Columns, len(b.Ends))
			b.Ends = append(b.Ends, end{Kind: "peer", Namespace: d.name, Name: c.name})
		}
	}
	for i := range x.Groups {
		g := &x.Groups[i]
		rows := g.Ends
		if o.Asked != nil {
			rows = slices.DeleteFunc(slices.Clone(rows), func(e int) bool { return !o.Asked(&x.Ends[e], nil) })
		}
		if len(rows) == 0 {
			continue
		}
		b.Rows = append(b.Rows, rows...)
		for _, d := range exposedDirections {
			if first[d.direction] < 0 {
				continue
			}
			open := &g.Ingress
			if d.direction == policy.Egress {
				open = &g.Egress
			}
			for c := range peerColumns {
				if v, is := b.opening(open, peerColumns[c].kind); is {
					b.Cells = append(b.Cells, b.block(v, rows, []int{first[d.direction] + c}))
				}
			}
		}
	}
	slices.Sort(b.Rows)
	return write(w, &b.document)
}

// opening is what is open to one kind of peers, and whether anything is.
func (b *builder) opening(open *connectivity.Openness, kind connectivity.PeerKind) (v value, is bool) {
	if !open.Isolated() {
		return value{State: "all", Label: "all: no policy isolates", Parts: []part{}}, true
	}
	var stretches []connectivity.Stretch
	for i := range open.Openings {
		o := &open.Openings[i]
		if o.Kind != kind {
			continue
		}
		stretches = append(stretches, o.Stretches...)
		v.Parts = append(v.Parts, part{Title: peerTitle(o), Stretches: b.stretches(o.Stretches)})
	}
	if len(v.Parts) == 0 {
		return value{}, false
	}
	v.State, v.Label = stateOf(stretches), portsText(stretches)
	return v, true
}

// peerTitle says who a peer is, e.g. "Pods with app=web in namespace shop".
func peerTitle(o *connectivity.Opening) string {
	title := ""
	switch o.Kind {
	case connectivity.OutsideRanges:
		if o.Internet {
			return connectivity.Internet
		}
		var ranges []string
		for _, r := range o.Ranges {
			ranges = append(ranges, r.String())
		}
		return strings.Join(ranges, ", ")
	case connectivity.EveryNamespace:
		title = "any Pod of any namespace"
		if len(o.Except) > 0 {
			title += ", less of " + strings.Join(o.Except, ", ")
		}
		return title
	case connectivity.Namespace:
		title = "any Pod"
	case connectivity.SelectedPods:
		title = "any Pod"
		if len(o.Labels) > 0 {
			title = "Pods with " + labelText(o.Labels)
		}
	}
	switch {
	case o.Namespace != "":
		title += " of namespace " + o.Namespace
	case len(o.NamespaceLabels) > 0:
		title += " of any namespace with " + labelText(o.NamespaceLabels)
	case o.Kind == connectivity.SelectedPods:
		title += " of any namespace"
	}
	return title
}

func labelText(labels map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, k+"="+labels[k])
	}
	return strings.Join(out, ",")
}
