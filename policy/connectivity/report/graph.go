package report

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/policy/connectivity"
)

// drawing is a list as nodes and arrows.
type drawing struct {
	// nodes are the names of what stands in each, ids by what they are.
	nodes []string
	ids   map[string]string
	// spaces are the namespaces with their nodes; those outside are under "".
	spaces map[string][]int
	arrows []arrow
	// hubs counts the points through which many reach many.
	hubs int
}

// arrow leads from a node, or from a hub, to one.
type arrow struct {
	from, to string
	label    string
	dashed   bool
}

// mostArrows is how many arrows a group of connections is drawn with before a hub
// takes their place: n and m arrows instead of n times m.
const mostArrows = 4

func newDrawing() *drawing { return &drawing{ids: map[string]string{}, spaces: map[string][]int{}} }

func (l *List) drawing() *drawing {
	d, n := newDrawing(), newNames(l.Ends)
	for i := range l.Lines {
		line := &l.Lines[i]
		dashed := !slices.ContainsFunc(line.Stretches, func(s connectivity.Stretch) bool { return s.Answer == connectivity.Allowed })
		d.connect(d.use(n, line.Sources), d.use(n, line.Destinations), answered(line.Stretches), dashed)
	}
	l.Entries.draw(d)
	return d
}

// connect draws arrows from each to each, by way of a hub where there are many.
func (d *drawing) connect(sources, destinations []string, label string, dashed bool) {
	if len(sources)*len(destinations) <= mostArrows || len(sources) == 1 || len(destinations) == 1 {
		for _, s := range sources {
			for _, t := range destinations {
				d.arrows = append(d.arrows, arrow{s, t, label, dashed})
			}
		}
		return
	}
	hub := "h" + strconv.Itoa(d.hubs)
	d.hubs++
	for _, s := range sources {
		d.arrows = append(d.arrows, arrow{s, hub, "", dashed})
	}
	for _, t := range destinations {
		d.arrows = append(d.arrows, arrow{hub, t, label, dashed})
	}
}

// use are the nodes of some ends: one for each of Pods, and one for all ranges.
func (d *drawing) use(n *names, ends []int) []string {
	var out []string
	var ranges []int
	for _, e := range ends {
		if k := n.ends[e].Kind; k == connectivity.Outside || k == connectivity.Nodes {
			ranges = append(ranges, e)
			continue
		}
		out = append(out, d.node(n.ends[e].Namespace, strings.Join(n.each[e], "\n")))
	}
	if len(ranges) > 0 {
		out = append(out, d.node("", n.short(ranges)))
	}
	return out
}

func (d *drawing) node(space, label string) string {
	id, known := d.ids[space+"\x00"+label]
	if !known {
		id = "n" + strconv.Itoa(len(d.nodes))
		d.spaces[space] = append(d.spaces[space], len(d.nodes))
		d.nodes = append(d.nodes, label)
		d.ids[space+"\x00"+label] = id
	}
	return id
}

// DOT writes a graph for Graphviz. Where many reach many, the arrows meet in a point;
// what depends on an address is dashed.
// https://graphviz.org/doc/info/lang.html
func (l *List) DOT(w io.Writer) error { return l.drawing().dot(w) }

func (d *drawing) dot(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprint(out, "digraph connections {\n  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n  edge [fontname=\"sans-serif\", fontsize=10];\n")
	for i, space := range slices.Sorted(maps.Keys(d.spaces)) {
		indent := "  "
		if space != "" {
			fmt.Fprintf(out, "  subgraph cluster_%d {\n    label=%s;\n", i, dotQuote(space))
			indent = "    "
		}
		for _, e := range d.spaces[space] {
			shape := ""
			if space == "" {
				shape = ", shape=ellipse"
			}
			fmt.Fprintf(out, "%sn%d [label=%s%s];\n", indent, e, dotQuote(d.nodes[e]), shape)
		}
		if space != "" {
			fmt.Fprintln(out, "  }")
		}
	}
	for h := range d.hubs {
		fmt.Fprintf(out, "  h%d [shape=point, label=\"\"];\n", h)
	}
	for _, a := range d.arrows {
		var attributes []string
		if a.label != "" {
			attributes = append(attributes, "label="+dotQuote(a.label))
		}
		if a.dashed {
			attributes = append(attributes, "style=dashed")
		}
		if strings.HasPrefix(a.to, "h") {
			attributes = append(attributes, "arrowhead=none")
		}
		fmt.Fprintf(out, "  %s -> %s", a.from, a.to)
		if len(attributes) > 0 {
			fmt.Fprintf(out, " [%s]", strings.Join(attributes, ", "))
		}
		fmt.Fprintln(out, ";")
	}
	fmt.Fprintln(out, "}")
	return out.Flush()
}

func dotQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

// Mermaid writes a flowchart as Markdown of code hosts shows it, with the same points.
// https://mermaid.js.org/syntax/flowchart.html
func (l *List) Mermaid(w io.Writer) error { return l.drawing().mermaid(w) }

func (d *drawing) mermaid(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, "flowchart LR")
	for i, space := range slices.Sorted(maps.Keys(d.spaces)) {
		indent := "  "
		if space != "" {
			fmt.Fprintf(out, "  subgraph s%d[%s]\n", i, mermaidQuote(space))
			indent = "    "
		}
		for _, e := range d.spaces[space] {
			open, closing := "[", "]"
			if space == "" {
				open, closing = "([", "])"
			}
			fmt.Fprintf(out, "%sn%d%s%s%s\n", indent, e, open, mermaidQuote(d.nodes[e]), closing)
		}
		if space != "" {
			fmt.Fprintln(out, "  end")
		}
	}
	for h := range d.hubs {
		fmt.Fprintf(out, "  h%d(( ))\n", h)
	}
	for _, a := range d.arrows {
		shaft := "-->"
		switch {
		case strings.HasPrefix(a.to, "h") && a.dashed:
			shaft = "-.-"
		case strings.HasPrefix(a.to, "h"):
			shaft = "---"
		case a.dashed:
			shaft = "-.->"
		}
		if a.label != "" {
			shaft += "|" + mermaidQuote(a.label) + "|"
		}
		fmt.Fprintf(out, "  %s %s %s\n", a.from, shaft, a.to)
	}
	return out.Flush()
}

// mermaidQuote writes what would end the text, or be markup, as its number.
func mermaidQuote(s string) string {
	return `"` + strings.NewReplacer(`"`, "#quot;", "#", "#35;", "<", "#lt;", ">", "#gt;", "`", "#96;", "\n", "<br/>").Replace(s) + `"`
}
