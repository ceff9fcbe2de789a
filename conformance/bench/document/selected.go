package document

import (
	"strings"

	"github.com/sluice-net/sluice/conformance/bench/controlpath"
	"github.com/sluice-net/sluice/conformance/bench/figures"
)

// selectedColumns are the nodes of which many policies select one Pod, by workload.
func (r *report) selectedColumns() []size {
	var out []size
	for _, kind := range r.run.Of(Control, "").Cases() {
		if !strings.HasPrefix(kind, controlpath.Selected) {
			continue
		}
		fs := r.run.Of(Control, kind)
		for _, policies := range fs.Values("policies") {
			out = append(out, size{kind, fs, figures.Setting{"policies": policies}})
		}
	}
	return out
}

func (r *report) selected() {
	columns := r.selectedColumns()
	if len(columns) == 0 {
		return
	}
	r.printf("<a id=\"control-selected\"></a>\n\n### Many policies on one Pod\n")
	r.paragraph(`
All policies select one of a hundred Pods of the node. Each has a port of its own and
ranges that overlap with its neighbours', a group and a block with an exception as
peers; or a port and a range of its own, in both directions and both families; or, as
the first and besides, all Pods of all namespaces by a named port. Each event is one
policy, or one Pod, and in each round nft adds one element to a copy of the ruleset.`)
	header := []string{"ms, median / p99, and times nft -f"}
	for _, c := range columns {
		header = append(header, whole(c.at["policies"])+" policies, "+strings.TrimPrefix(c.kind, controlpath.Selected))
	}
	var rows [][]string
	row := func(name string, cell func(size) string) {
		line := []string{name}
		for _, c := range columns {
			line = append(line, cell(c))
		}
		rows = append(rows, line)
	}
	for _, name := range columns[0].Names(controlpath.Own) {
		row(name, func(c size) string {
			samples := c.find(name, controlpath.Commit)
			return tail(samples) + ", " + times(figures.RatioOf(samples, c.floor()))
		})
	}
	row("*nft -f, one element*", func(c size) string { return tail(c.floor()) })
	row("cold start", func(c size) string { return spread(c.find(controlpath.ColdStart, controlpath.Commit)) })
	for _, name := range []string{controlpath.Rules, controlpath.Chains} {
		row(name+" of the node", func(c size) string { return whole(figures.Median(c.find(name, ""))) })
	}
	r.table(header, rows)
}
