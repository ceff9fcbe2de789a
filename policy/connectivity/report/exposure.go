package report

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
)

// Exposure is to whom Pods are open, as it is written.
type Exposure struct {
	connectivity.Exposure
	Places Places
	// Directions are those of interest, nil for both.
	Directions []policy.Direction
	// Only chooses the ends, nil for all.
	Only func(*connectivity.End) bool
	// Entries are the ways in from outside; nil for none.
	Entries *Entries
	// Namespaces are those that were read, nil for all.
	Namespaces []string
}

// opening is one peer to whom ends are open.
type opening struct {
	direction policy.Direction
	ends      []int
	// of is nil where no policy isolates.
	of    *connectivity.Opening
	peer  string
	ports string
	rules []string
	// host: the ends are on the host network.
	host bool
}

func (o *opening) isolated() bool { return o.of != nil }

// anyone is to whom what no policy isolates is open.
const anyone = "anyone"

// openings are the rows of all formats: first what no policy isolates, then what
// policies open, those with the same peers, ports and rules together.
func (x *Exposure) openings(n *names) []opening {
	var out []opening
	for _, d := range []policy.Direction{policy.Ingress, policy.Egress} {
		if x.Directions != nil && !slices.Contains(x.Directions, d) {
			continue
		}
		at := map[string]int{}
		add := func(o opening) {
			key := fmt.Sprint(o.host, o.isolated(), o.peer, "\x00", o.ports, "\x00", o.rules)
			i, known := at[key]
			if !known {
				at[key] = len(out)
				out = append(out, o)
				return
			}
			out[i].ends = append(out[i].ends, o.ends...)
		}
		for i := range x.Groups {
			x.eachOpening(n, &x.Groups[i], d, add)
		}
	}
	for i := range out {
		slices.Sort(out[i].ends)
	}
	out = withPeersTogether(out)
	rank := func(o *opening) int {
		switch {
		case o.host:
			return 2
		case o.isolated():
			return 1
		}
		return 0
	}
	slices.SortStableFunc(out, func(a, b opening) int {
		return cmp.Or(rank(&a)-rank(&b), cmp.Compare(a.direction, b.direction), cmp.Compare(a.kind(), b.kind()))
	})
	return out
}

// withPeersTogether joins rows that differ in their peers alone.
func withPeersTogether(list []opening) []opening {
	var out []opening
	at := map[string]int{}
	for _, o := range list {
		key := fmt.Sprint(o.host, o.isolated(), o.direction, o.ends, "\x00", o.ports, "\x00", o.rules)
		i, known := at[key]
		if !known {
			at[key] = len(out)
			out = append(out, o)
			continue
		}
		out[i].peer += " and " + o.peer
	}
	return out
}

// kind orders openings by how many may be meant, the most first.
func (o *opening) kind() connectivity.PeerKind {
	if o.of == nil {
		return 0
	}
	return o.of.Kind
}

func (x *Exposure) eachOpening(n *names, g *connectivity.Exposed, d policy.Direction, add func(opening)) {
	open := &g.Ingress
	if d == policy.Egress {
		open = &g.Egress
	}
	var ends, hosts []int
	for _, e := range g.Ends {
		switch {
		case x.Only != nil && !x.Only(&x.Ends[e]):
		case x.Ends[e].Kind == connectivity.HostNetwork:
			hosts = append(hosts, e)
		default:
			ends = append(ends, e)
		}
	}
	if len(hosts) > 0 {
		add(opening{direction: d, ends: hosts, peer: anyone, ports: "all", host: true})
	}
	switch {
	case len(ends) == 0:
	case !open.Isolated():
		add(opening{direction: d, ends: ends, peer: anyone, ports: "all"})
	default:
		for i := range open.Openings {
			o := &open.Openings[i]
			add(opening{direction: d, ends: slices.Clone(ends), of: o, peer: n.peerText(o), ports: answered(o.Stretches), rules: x.rules(o, d)})
		}
	}
}

// rules are those that open, with their places.
func (x *Exposure) rules(o *connectivity.Opening, d policy.Direction) []string {
	var out []string
	for i := range o.Stretches {
		side := &o.Stretches[i].Ingress
		whose := "of the source"
		if d == policy.Egress {
			side, whose = &o.Stretches[i].Egress, "of the destination"
		}
		for j := range side.Grants {
			if g := &side.Grants[j]; g.Policy.Name != "" {
				if text := grantText(g, whose, x.Places); !slices.Contains(out, text) {
					out = append(out, text)
				}
			}
		}
	}
	return out
}

// peerText says to whom: ranges in the fewest words that the ends allow.
func (n *names) peerText(o *connectivity.Opening) string {
	if o.Kind == connectivity.OutsideRanges {
		return n.outsideText(o.Ranges)
	}
	return o.String()
}

// Text writes what no policy isolates, and what policies open.
func (x *Exposure) Text(w io.Writer) error {
	out, n := bufio.NewWriter(w), newNames(x.Ends)
	rows := x.openings(n)
	title := ""
	for i := range rows {
		o := &rows[i]
		if t := o.title(); t != title {
			if title != "" {
				fmt.Fprintln(out)
			}
			title = t
			fmt.Fprintln(out, t)
		}
		who := n.short(o.ends)
		if !o.isolated() {
			fmt.Fprintf(out, "  %-7s  %s\n", o.direction, strings.ReplaceAll(wrapped(who), "\n    ", "\n           "))
			continue
		}
		arrow := "is open to"
		if o.direction == policy.Egress {
			arrow = "may reach"
		}
		ports := o.ports
		if ports == "all" {
			ports = "every port"
		}
		line := fmt.Sprintf("  %-7s  %s  %s  %s  on %s", o.direction, who, arrow, o.peer, ports)
		if utf8.RuneCountInString(line) > widest {
			line = fmt.Sprintf("  %-7s  %s\n             %s  %s  on %s", o.direction, strings.ReplaceAll(wrapped(who), "\n    ", "\n           "), arrow, o.peer, ports)
		}
		fmt.Fprintln(out, line)
		for _, r := range o.rules {
			fmt.Fprintf(out, "             %s\n", r)
		}
	}
	if len(rows) > 0 {
		fmt.Fprintln(out)
	}
	x.Entries.text(out)
	fmt.Fprintln(out, x.summary())
	return out.Flush()
}

func (o *opening) title() string {
	switch {
	case o.host:
		return "On the host network, where no policy isolates"
	case o.isolated():
		return "Open by a policy, to whoever is or comes to be there"
	}
	return "Isolated by no policy: open to anyone, on every port"
}

// CSV writes a row for each workload and peer.
func (x *Exposure) CSV(w io.Writer) error {
	out, n := csv.NewWriter(w), newWholeNames(x.Ends)
	if err := out.Write([]string{"workload", "direction", "isolated", "peer", "ports", "rules"}); err != nil {
		return err
	}
	rows := x.openings(n)
	for i := range rows {
		o := &rows[i]
		for _, who := range n.of(o.ends) {
			if err := out.Write([]string{who, o.direction.String(), fmt.Sprint(o.isolated()), o.peer, o.ports, strings.Join(o.rules, "; ")}); err != nil {
				return err
			}
		}
	}
	if err := x.Entries.csv(func(r *entryRow, ports string) error {
		return out.Write([]string{r.workloads, policy.Ingress.String(), fmt.Sprint(r.isolated), r.entry, ports, r.why})
	}); err != nil {
		return err
	}
	out.Flush()
	return out.Error()
}

// Markdown writes a table.
func (x *Exposure) Markdown(w io.Writer) error {
	out, n := bufio.NewWriter(w), newNames(x.Ends)
	fmt.Fprint(out, "| Workloads | Direction | Open to | Ports | By |\n| --- | --- | --- | --- | --- |\n")
	rows := x.openings(n)
	for i := range rows {
		o := &rows[i]
		by := "no policy isolates"
		if o.isolated() {
			var rules []string
			for _, r := range o.rules {
				rules = append(rules, cell(r))
			}
			by = strings.Join(rules, "<br>")
		}
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s |\n", cell(n.short(o.ends)), o.direction, cell(o.peer), cell(o.ports), by)
	}
	x.Entries.markdown(out)
	fmt.Fprintf(out, "\n%s\n", strings.ReplaceAll(x.summary(), "\n", "\n\n"))
	return out.Flush()
}

// drawing has the peers as nodes.
func (x *Exposure) drawing() *drawing {
	d, n := newDrawing(), newNames(x.Ends)
	rows := x.openings(n)
	for i := range rows {
		o := &rows[i]
		who, peer := d.use(n, o.ends), []string{d.node("", o.peer)}
		if o.direction == policy.Egress {
			d.connect(who, peer, o.ports, false)
		} else {
			d.connect(peer, who, o.ports, false)
		}
	}
	x.Entries.draw(d)
	return d
}

// DOT writes a graph for Graphviz.
func (x *Exposure) DOT(w io.Writer) error { return x.drawing().dot(w) }

// Mermaid writes a flowchart.
func (x *Exposure) Mermaid(w io.Writer) error { return x.drawing().mermaid(w) }

// summary ends the text.
func (x *Exposure) summary() string {
	text := isolation(x.Ends)
	if x.Namespaces != nil {
		text += "\nNot known: which namespaces there are besides " + strings.Join(x.Namespaces, ", ") + "."
	}
	return text
}
