package report

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/yaml"

	"github.com/sluice-net/sluice/policy/connectivity"
)

// List is connections as they are written.
type List struct {
	connectivity.List
	// Why: the lines have their reasons.
	Why    bool
	Places Places
	// OwnNode are the lines of which all is that a Pod's own node always reaches it:
	// true of every Pod, and so no news.
	OwnNode []connectivity.Line
	// Entries are the ways in from outside; nil for none.
	Entries *Entries
	// Namespaces are those that were read, nil for all.
	Namespaces []string
}

// NewList lists the connections of a matrix. The options must have no pair of ends in
// common. Lines that are about workloads and about what is outside are divided, so that
// either can be read alone.
func NewList(m *connectivity.Matrix, places Places, options ...connectivity.ListOptions) *List {
	out := &List{Places: places}
	for _, o := range options {
		one := m.List(o)
		out.Ends, out.Why = one.Ends, o.Why
		for i := range one.Lines {
			for _, line := range divided(one.Ends, &one.Lines[i]) {
				news, own := apartOwnNode(m, &line)
				line.Stretches = news
				if len(news) > 0 {
					out.Lines = append(out.Lines, line)
				}
				line.Stretches = own
				if len(own) > 0 {
					out.OwnNode = append(out.OwnNode, line)
				}
			}
		}
	}
	slices.SortStableFunc(out.Lines, func(a, b connectivity.Line) int { return out.section(&a) - out.section(&b) })
	return out
}

// divided is a line as up to three: between workloads, from outside and to it.
func divided(ends []connectivity.End, line *connectivity.Line) []connectivity.Line {
	var out []connectivity.Line
	parts := func(list []int) [2][]int {
		var out [2][]int
		for _, e := range list {
			at := 0
			if k := ends[e].Kind; k == connectivity.Outside || k == connectivity.Nodes {
				at = 1
			}
			out[at] = append(out[at], e)
		}
		return out
	}
	for i, sources := range parts(line.Sources) {
		for j, destinations := range parts(line.Destinations) {
			if len(sources) > 0 && len(destinations) > 0 && i+j < 2 {
				out = append(out, connectivity.Line{Sources: sources, Destinations: destinations, Stretches: line.Stretches})
			}
		}
	}
	return out
}

// apartOwnNode takes from a line what says no more than that a Pod's node reaches it.
// Only nodes, and Pods on their network, can be that.
func apartOwnNode(m *connectivity.Matrix, line *connectivity.Line) (news, own []connectivity.Stretch) {
	someNodes := func(list []int) bool {
		return !slices.ContainsFunc(list, func(e int) bool {
			k := m.Ends()[e].Kind
			return k != connectivity.HostNetwork && k != connectivity.Nodes
		})
	}
	if !someNodes(line.Sources) && !someNodes(line.Destinations) {
		return line.Stretches, nil
	}
	for _, s := range line.Stretches {
		if s.Answer == connectivity.Depends && onlyOwnNode(m, line, s.Ports) {
			own = append(own, s)
		} else {
			news = append(news, s)
		}
	}
	return news, own
}

func onlyOwnNode(m *connectivity.Matrix, line *connectivity.Line, ports connectivity.Ports) bool {
	for _, s := range line.Sources {
		for _, d := range line.Destinations {
			for _, at := range m.Connection(s, d) {
				if at.Protocol == ports.Protocol && at.First <= ports.Last && ports.First <= at.Last && !ownNodeOnly(&at) {
					return false
				}
			}
		}
	}
	return true
}

// section is 0 for lines between workloads, 1 for those from outside, 2 for those to it.
func (l *List) section(line *connectivity.Line) int {
	outside := func(e int) bool {
		return l.Ends[e].Kind == connectivity.Outside || l.Ends[e].Kind == connectivity.Nodes
	}
	switch {
	case !slices.ContainsFunc(line.Destinations, func(e int) bool { return !outside(e) }):
		return 2
	case !slices.ContainsFunc(line.Sources, func(e int) bool { return !outside(e) }):
		return 1
	}
	return 0
}

// ListDocument is a list for programs.
type ListDocument struct {
	TypeMeta
	Ends        []End        `json:"ends"`
	Connections []Connection `json:"connections"`
	// Entries are the ways in from outside that the connections are not about: by an
	// Ingress, a Gateway or a route.
	Entries []Entry `json:"entries"`
	// Namespaces are those that were read, absent if all were: who of others reaches an
	// end, or is reached, is not known then.
	Namespaces []string `json:"namespaces,omitempty"`
}

// Connection says that each of the sources reaches each of the destinations. No pair
// of ends is in two of them, and what is in none is denied. An end that is on both
// sides means different Pods of it: a Pod always reaches itself.
type Connection struct {
	// Sources and Destinations are indices of ends.
	Sources      []int `json:"sources"`
	Destinations []int `json:"destinations"`
	// Ports are the stretches in words.
	Ports     string    `json:"ports"`
	Stretches []Stretch `json:"stretches"`
}

// Document is the list for programs.
func (l *List) Document() ListDocument {
	d := ListDocument{TypeMeta: TypeMeta{Version, "ConnectionList"}, Ends: endsOf(l.Ends), Connections: []Connection{}, Entries: l.Entries.documents(), Namespaces: l.Namespaces}
	for _, lines := range [][]connectivity.Line{l.Lines, l.OwnNode} {
		for _, line := range lines {
			d.Connections = append(d.Connections, Connection{
				Sources: line.Sources, Destinations: line.Destinations, Ports: answered(line.Stretches),
				Stretches: stretchesOf(line.Stretches, l.Why, l.Places),
			})
		}
	}
	return d
}

// JSON writes the document.
func (l *List) JSON(w io.Writer) error { return encode(w, l.Document()) }

// YAML writes the document.
func (l *List) YAML(w io.Writer) error { return encodeYAML(w, l.Document()) }

func encodeYAML(w io.Writer, document any) error {
	text, err := yaml.Marshal(document)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// widest is how wide a line of text is before it is broken.
const widest = 110

// Text writes a line for each group of connections, and a summary.
func (l *List) Text(w io.Writer) error {
	out, n := bufio.NewWriter(w), newNames(l.Ends)
	rows := make([][2]string, len(l.Lines))
	width := 0
	for i := range l.Lines {
		line := &l.Lines[i]
		from, to := n.short(line.Sources), n.short(line.Destinations)
		rows[i] = [2]string{from + " → " + to, answered(line.Stretches)}
		size := utf8.RuneCountInString(rows[i][0])
		if size > widest-20 {
			rows[i][0] = wrapped(from) + "\n  → " + wrapped(to)
			last := rows[i][0][strings.LastIndexByte(rows[i][0], '\n')+1:]
			if size = utf8.RuneCountInString(last); size > widest-20 {
				continue
			}
		}
		width = max(width, size)
	}
	titles := []string{"Between workloads", "From outside", "To outside"}
	section := -1
	for i, row := range rows {
		if s := l.section(&l.Lines[i]); s != section {
			if section >= 0 {
				fmt.Fprintln(out)
			}
			section = s
			fmt.Fprintln(out, titles[s])
		}
		last := row[0][strings.LastIndexByte(row[0], '\n')+1:]
		fmt.Fprintf(out, "  %s%s  %s\n", strings.ReplaceAll(row[0], "\n", "\n  "), strings.Repeat(" ", max(0, width-utf8.RuneCountInString(last))), row[1])
		if l.Why {
			for _, reason := range why(l.Lines[i].Stretches, l.Places) {
				fmt.Fprintf(out, "      %s\n", reason)
			}
		}
	}
	if len(rows) > 0 {
		fmt.Fprintln(out)
	}
	l.Entries.text(out)
	fmt.Fprintln(out, l.Summary())
	return out.Flush()
}

// wrapped breaks a long list of names.
func wrapped(text string) string {
	var out strings.Builder
	at := 0
	for i, word := range strings.Split(text, ", ") {
		size := utf8.RuneCountInString(word) + 2
		switch {
		case i == 0:
		case at+size > widest-10:
			out.WriteString(",\n    ")
			at = 4
		default:
			out.WriteString(", ")
		}
		out.WriteString(word)
		at += size
	}
	return out.String()
}

// Summary is a line that counts.
func (l *List) Summary() string {
	text := isolation(l.Ends)
	depends := slices.ContainsFunc(l.Lines, func(line connectivity.Line) bool {
		return slices.ContainsFunc(line.Stretches, func(s connectivity.Stretch) bool { return s.Answer == connectivity.Depends })
	})
	if depends && !l.Why {
		text += "\nWhat depends hangs on an address that is not known yet: --why says which."
	}
	if len(l.OwnNode) > 0 {
		text += "\nLeft out: a Pod's own node, and what is on its network, always reaches it."
	}
	return text + partly(l.Namespaces)
}

// partly says of an answer about some namespaces that it is one.
func partly(namespaces []string) string {
	if namespaces == nil {
		return ""
	}
	return "\nNot known: who of other namespaces than " + strings.Join(namespaces, ", ") + " reaches them, or is reached."
}

// isolation counts workloads, and those that policies isolate.
func isolation(ends []connectivity.End) string {
	workloads, in, out, hosts := 0, 0, 0, 0
	for i := range ends {
		e := &ends[i]
		n := len(e.Workloads)
		switch e.Kind {
		case connectivity.HostNetwork:
			hosts += n
		case connectivity.Pods:
			workloads += n
			if len(e.Ingress) > 0 {
				in += n
			}
			if len(e.Egress) > 0 {
				out += n
			}
		}
	}
	text := fmt.Sprintf("%s: policies isolate the ingress of %d and the egress of %d", counted(workloads, "workload"), in, out)
	if hosts > 0 {
		text += fmt.Sprintf("; %d more on the host network, which no policy isolates", hosts)
	}
	return text
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// CSV writes a row for each pair.
func (l *List) CSV(w io.Writer) error {
	out, n := csv.NewWriter(w), newNames(l.Ends)
	head := []string{"source", "destination", "ports"}
	if l.Why {
		head = append(head, "why")
	}
	if err := out.Write(head); err != nil {
		return err
	}
	for _, line := range l.Lines {
		row := []string{"", "", answered(line.Stretches)}
		if l.Why {
			row = append(row, strings.Join(why(line.Stretches, l.Places), "; "))
		}
		destinations := n.of(line.Destinations)
		for _, row[0] = range n.of(line.Sources) {
			for _, row[1] = range destinations {
				if err := out.Write(row); err != nil {
					return err
				}
			}
		}
	}
	if err := l.Entries.csv(func(r *entryRow, ports string) error {
		return out.Write([]string{r.entry, r.workloads, ports, r.why}[:len(head)])
	}); err != nil {
		return err
	}
	out.Flush()
	return out.Error()
}

// Markdown writes a table with a row for each group of connections.
func (l *List) Markdown(w io.Writer) error {
	out, n := bufio.NewWriter(w), newNames(l.Ends)
	head, rule := "| From | To | Ports |", "| --- | --- | --- |"
	if l.Why {
		head, rule = head+" Why |", rule+" --- |"
	}
	fmt.Fprintf(out, "%s\n%s\n", head, rule)
	for _, line := range l.Lines {
		fmt.Fprintf(out, "| %s | %s | %s |", cell(n.short(line.Sources)), cell(n.short(line.Destinations)), cell(answered(line.Stretches)))
		if l.Why {
			var reasons []string
			for _, r := range why(line.Stretches, l.Places) {
				reasons = append(reasons, cell(r))
			}
			fmt.Fprintf(out, " %s |", strings.Join(reasons, "<br>"))
		}
		fmt.Fprintln(out)
	}
	l.Entries.markdown(out)
	fmt.Fprintf(out, "\n%s\n", strings.ReplaceAll(l.Summary(), "\n", "\n\n"))
	return out.Flush()
}

// cell keeps text in its cell, and as text: names may have what Markdown takes for a
// link, an emphasis or HTML.
func cell(s string) string { return markdown.Replace(s) }

var markdown = strings.NewReplacer("|", `\|`, "\n", " ", "*", `\*`, "_", `\_`, "<", "&lt;", ">", "&gt;", "[", `\[`, "]", `\]`, "`", "\\`")
