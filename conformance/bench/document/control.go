package document

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/conformance/bench/controlpath"
	"github.com/sluice-net/sluice/conformance/bench/figures"
	"github.com/sluice-net/sluice/conformance/bench/plot"
)

// size is a column of the control path's tables.
type size struct {
	kind string
	figures.Figures
	at figures.Setting
}

func (s size) name() string {
	name := whole(s.at["pods"]) + " Pods"
	switch s.kind {
	case "published":
		name += ", published shape"
	case "bridge":
		name += ", behind a bridge"
	}
	return name
}

func (s size) find(name, variant string) []float64 { return s.Find(name, variant, s.at) }

// floor is what an event is compared with.
func (s size) floor() []float64 { return s.find(controlpath.OneElement, controlpath.Floor) }

// ofClusters are the figures of clusters of all sizes.
func (r *report) ofClusters() figures.Figures {
	return slices.DeleteFunc(r.run.Of(Control, ""), func(f figures.Figure) bool { return strings.HasPrefix(f.Case, controlpath.Selected) })
}

// sizes are the columns: the large clusters by size, then Pods behind a bridge, and
// the published shape.
func (r *report) sizes() []size {
	var out []size
	for _, kind := range []string{"large", "bridge", "published"} {
		fs := r.run.Of(Control, kind)
		for _, pods := range fs.Values("pods") {
			out = append(out, size{kind, fs, figures.Setting{"pods": pods}})
		}
	}
	return out
}

// large are the columns of the large clusters with routed Pods.
func (r *report) large() []size {
	return slices.DeleteFunc(r.sizes(), func(s size) bool { return s.kind != "large" })
}

func (r *report) control() {
	r.section("control", "Control path: from an event to the kernel")
	r.paragraph(`
The real agent runs on a node of a lab, with a veth, an address and a route for each
Pod of the node. An event is handed to it as an informer would; the clock stops
when the last transaction that the event needs has ended: from then on the kernel
enforces it. The agent is at its defaults. Events are far enough apart that none is
held back for the one before it.

*Own part* is that time without the transactions: the index, the compiler, the
agent. *nft -f* is the floor: nft adds one element to a copy of the same ruleset,
guards included, in a namespace of its own, in between the events. Where an event changes several things
the floor stays one element; what nft needs for a set and a chain, as a policy does, is
in the table besides.`)
	if !r.ran(Control) {
		return
	}
	all := r.sizes()
	r.clusters(all)
	r.events(all)
	r.cold(all)
	r.bursts(all)
	r.gaps(all)
	r.selected()
}

func (r *report) clusters(all []size) {
	var rows [][]string
	for _, s := range all {
		at := s.Figures
		for i := range at {
			if at[i].At.Is(s.at) {
				rounds := len(s.find("remote Pod comes", controlpath.Commit))
				rows = append(rows, []string{s.name(), whole(at[i].At["policies"]), whole(at[i].At["local"]), whole(float64(rounds))})
				break
			}
		}
	}
	r.table([]string{"cluster", "policies", "Pods on the node", "events of each kind"}, rows)
	r.paragraph(`
The published shape is that of published scale tests: 240 namespaces with 10 Pods and
20 policies each, and in each policy 5 ports, 5 ranges, 5 namespaces, 5 groups of Pods
and 5 blocks. They select namespaces by name alone, so that no relabelled one matters.`)
}

func (r *report) events(all []size) {
	header := []string{"ms, median / p99"}
	for _, s := range all {
		header = append(header, s.name())
	}
	names := r.ofClusters().Names(controlpath.Own)
	names = slices.DeleteFunc(names, func(n string) bool { return n == controlpath.ColdStart || strings.HasSuffix(n, "Pods come") })
	rowsOf := func(cell func(s size, name string) string, names []string) [][]string {
		var rows [][]string
		for _, name := range names {
			row := []string{name}
			for _, s := range all {
				row = append(row, cell(s, name))
			}
			rows = append(rows, row)
		}
		return rows
	}
	r.printf("<a id=\"control-events\"></a>\n\n### One event\n\nFrom the event to the commit:\n")
	rows := rowsOf(func(s size, name string) string { return tail(s.find(name, controlpath.Commit)) }, names)
	for _, name := range []string{controlpath.OneElement, controlpath.OneChain} {
		floor := []string{"*nft -f, " + name + "*"}
		for _, s := range all {
			floor = append(floor, tail(s.find(name, controlpath.Floor)))
		}
		rows = append(rows, floor)
	}
	r.table(header, rows)
	header[0] = "times nft -f"
	r.printf("The same as a multiple of what nft needs for one element:\n")
	r.table(header, rowsOf(func(s size, name string) string {
		return times(figures.RatioOf(s.find(name, controlpath.Commit), s.floor()))
	}, names))
	r.eventCharts(names)
	r.printf("<a id=\"control-own\"></a>\n\nOf that our own part:\n")
	header[0] = "ms, median / p99"
	r.table(header, rowsOf(func(s size, name string) string { return tail(s.find(name, controlpath.Own)) }, names))
	r.chart("control-own.svg", r.eventChart("Own part: event to the operations handed over", controlpath.Own, names, false))
	header[0] = "transactions"
	r.printf("In so many transactions; those that only delete what nothing refers to any more come later, and are not waited for:\n")
	r.table(header, rowsOf(func(s size, name string) string { return digits(figures.Median(s.find(name, "transactions"))) }, names))
	silent := r.ofClusters().Names("operations")
	silent = slices.DeleteFunc(silent, func(n string) bool { return n == controlpath.ColdStart })
	header[0] = "operations"
	if len(silent) > 0 {
		r.printf("What concerns no Pod of the node reaches the kernel with so many operations:\n")
		r.table(header, rowsOf(func(s size, name string) string {
			if samples := s.find(name, "operations"); len(samples) > 0 {
				return digits(figures.Max(samples))
			}
			return absent
		}, silent))
	}
}

// charted are the events that have lines of their own, with short names; the
// others are in the tables.
var charted = [][2]string{
	{"remote Pod comes", "remote Pod"}, {"remote Pod changes its labels", "its labels"},
	{"namespace changes its labels", "namespace"}, {"local Pod comes", "local Pod"}, {"policy comes", "policy"},
}

func (r *report) eventCharts(names []string) {
	r.chart("control-events.svg", r.eventChart("From an event to the commit", controlpath.Commit, names, true))
	large := r.large()
	if len(large) == 0 {
		return
	}
	last := large[len(large)-1]
	c := &plot.Chart{
		Title:  "From an event to the commit, as a multiple of nft -f, " + last.name(),
		XLabel: "event", YLabel: "times nft -f adding one element", YLog: true,
		Lines: []plot.Line{{At: 1, Name: "nft -f, one element"}, {At: 0.5, Name: "target: membership"}, {At: 1.5, Name: "target: policy"}},
	}
	s := plot.Series{Name: "Sluice"}
	for _, name := range charted {
		if samples := last.find(name[0], controlpath.Commit); len(samples) > 0 {
			s.Points = append(s.Points, ratioPoint(float64(len(c.Categories)), figures.RatioOf(samples, last.floor())))
			c.Categories = append(c.Categories, name[1])
		}
	}
	c.Series = append(c.Series, s)
	r.chart("control-ratio.svg", c)
}

func (r *report) eventChart(title, variant string, names []string, floor bool) *plot.Chart {
	c := &plot.Chart{Title: title, XLabel: "Pods in the cluster", YLabel: "milliseconds, median and quartiles", XLog: true, YLog: true}
	fs := r.run.Of(Control, "large")
	for _, name := range charted {
		if slices.Contains(names, name[0]) {
			c.Series = append(c.Series, line(name[0], fs, name[0], variant, "pods"))
		}
	}
	if floor {
		s := line("nft -f, one element", fs, controlpath.OneElement, controlpath.Floor, "pods")
		s.Dashed = true
		c.Series = append(c.Series, s)
	} else {
		c.Lines = []plot.Line{{At: 1, Name: "target: below 1 ms"}}
	}
	return c
}

func (r *report) cold(all []size) {
	r.printf("<a id=\"control-cold\"></a>\n\n### Cold start\n")
	r.paragraph(`
From the start of the agent, with no rules in the kernel, until all of the cluster's
policies are enforced, against nft loading the same ruleset in one file.`)
	var rows [][]string
	for _, s := range all {
		commit, floor := s.find(controlpath.ColdStart, controlpath.Commit), s.find(controlpath.ColdStart, controlpath.Floor)
		rows = append(rows, []string{
			s.name(), spread(commit), spread(floor), times(figures.RatioOf(commit, floor)),
			spread(s.find(controlpath.ColdStart, controlpath.Own)), spread(s.find(controlpath.ColdStart, "longest transaction")),
			digits(figures.Median(s.find(controlpath.ColdStart, "transactions"))),
		})
	}
	r.table([]string{"cluster", "cold start, ms", "nft -f, ms", "ratio", "own part, ms", "longest transaction, ms", "transactions"}, rows)
	fs := r.run.Of(Control, "large")
	floor := line("nft -f of the same ruleset", fs, controlpath.ColdStart, controlpath.Floor, "pods")
	floor.Dashed = true
	r.chart("control-cold.svg", &plot.Chart{
		Title:  "Cold start to full enforcement",
		XLabel: "Pods in the cluster", YLabel: "milliseconds", XLog: true, YLog: true,
		Series: []plot.Series{
			line("Sluice", fs, controlpath.ColdStart, controlpath.Commit, "pods"),
			line("Sluice, own part", fs, controlpath.ColdStart, controlpath.Own, "pods"), floor,
		},
	})
}

// burstNames are those of bursts, the smaller first.
func (r *report) burstNames() []string {
	var out []string
	for _, name := range r.ofClusters().Names(controlpath.Commit) {
		if strings.HasSuffix(name, "Pods come") {
			out = append(out, name)
		}
	}
	return out
}

func (r *report) bursts(all []size) {
	r.printf("<a id=\"control-bursts\"></a>\n\n### Bursts\n")
	r.paragraph(`
As many Pods come at once, each with an event of its own; from the first event to the
last commit, against nft adding as many elements in one file. The agent takes what
came until it looked, waits 50 ms, and takes the rest: that pause is in the figure.`)
	var rows [][]string
	for _, s := range all {
		for _, name := range r.burstNames() {
			commit, floor := s.find(name, controlpath.Commit), s.find(name, controlpath.Floor)
			rows = append(rows, []string{
				s.name() + ": " + name, spread(commit), spread(floor), times(figures.RatioOf(commit, floor)), spread(s.find(name, controlpath.Own)),
			})
		}
	}
	r.table([]string{"burst", "to the commit, ms", "nft -f, ms", "ratio", "own part, ms"}, rows)
}

func (r *report) gaps(all []size) {
	r.printf("<a id=\"control-gaps\"></a>\n\n### How long packets are held up\n")
	r.paragraph(`
A process with real-time priority sends a packet each millisecond from one Pod of the
node to another; the kernel notes when each arrives. The figure is the longest time
between two arrivals while something goes on; *idle* is what the machine itself does
to it. Below it, how many packets were lost.`)
	names := r.ofClusters().Names(controlpath.Gap)
	header := append([]string{"worst gap, ms: median, and worst of all"}, names...)
	var rows, lost [][]string
	for _, s := range all {
		row, gone := []string{s.name()}, []string{s.name()}
		for _, name := range names {
			samples := s.find(name, controlpath.Gap)
			cell := absent
			if len(samples) > 0 {
				cell = fmt.Sprintf("%s, %s", digits(figures.Median(samples)), digits(figures.Max(samples)))
			}
			row = append(row, cell)
			gone = append(gone, digits(figures.Max(s.find(name, "lost packets"))))
		}
		rows, lost = append(rows, row), append(lost, gone)
	}
	if len(names) == 0 {
		return
	}
	r.table(header, rows)
	header[0] = "lost packets, at most"
	r.table(header, lost)
	c := &plot.Chart{
		Title: "Longest gap between packets sent each millisecond", YLabel: "milliseconds, median and worst", XLabel: "Pods in the cluster",
		Lines: []plot.Line{{At: 50, Name: "target: at most 50 ms"}}, YLog: true,
	}
	for _, s := range r.large() {
		c.Categories = append(c.Categories, whole(s.at["pods"]))
	}
	for _, name := range names {
		series := plot.Series{Name: name}
		for i, s := range r.large() {
			if samples := s.find(name, controlpath.Gap); len(samples) > 0 {
				series.Points = append(series.Points, plot.Point{X: float64(i), Y: figures.Median(samples), Low: figures.Median(samples), High: figures.Max(samples)})
			}
		}
		c.Series = append(c.Series, series)
	}
	r.chart("control-gaps.svg", c)
}
