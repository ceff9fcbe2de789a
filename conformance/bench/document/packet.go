package document

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/conformance/bench/figures"
	"github.com/sluice-net/sluice/conformance/bench/packetpath"
	"github.com/sluice-net/sluice/conformance/bench/plot"
)

// The shapes by the names that figures bear.
var (
	sluice    = string(packetpath.Sluice)
	unguarded = string(packetpath.Unguarded)
	conntrack = string(packetpath.Conntrack)
	// shapes are those that have a load.
	shapes = []string{
		sluice, unguarded, string(packetpath.NFTLinear), string(packetpath.IPTablesIPSet), string(packetpath.IPTablesLinear),
	}
	// rates3 are what the targets are about, more being better.
	rates3 = []packetpath.Metric{packetpath.Throughput, packetpath.Packets, packetpath.Connections}
)

// shapeNames are for readers.
var shapeNames = map[string]string{
	string(packetpath.None): "nothing", conntrack: "conntrack only", sluice: "Sluice",
	string(packetpath.Hooks):  "conntrack only, and guards without rules",
	string(packetpath.Guards): "conntrack only, and guards", unguarded: "Sluice without guards",
	string(packetpath.NFTLinear): "nft, linear", string(packetpath.IPTablesIPSet): "iptables with ipset",
	string(packetpath.IPTablesLinear): "iptables, linear",
}

func metricName(m packetpath.Metric) string {
	switch m {
	case packetpath.Throughput:
		return "throughput"
	case packetpath.Packets:
		return "packet rate"
	case packetpath.Connections:
		return "connection rate"
	}
	return string(m)
}

// packetCell is what the packet path was measured under.
type packetCell struct {
	topology, variant string
	at                figures.Setting
}

func (c packetCell) classic() bool {
	return c.variant != sluice && c.variant != unguarded && slices.Contains(shapes, c.variant)
}

// load is short: policies that select the Pod + elsewhere, on how many Pods.
func (c packetCell) load() string {
	if !slices.Contains(shapes, c.variant) {
		return ""
	}
	policies := "policies"
	if c.at["policies"] == 1 {
		policies = "policy"
	}
	return fmt.Sprintf("%s %s + %s elsewhere, %s Pods", whole(c.at["policies"]), policies, whole(c.at["elsewhere"]), whole(c.at["local"]))
}

func (c packetCell) String() string {
	if c.load() == "" {
		return fmt.Sprintf("%s, %s", c.topology, shapeNames[c.variant])
	}
	return fmt.Sprintf("%s, %s, %s", c.topology, shapeNames[c.variant], c.load())
}

// cells are all cells, shape by shape, from the lightest load to the heaviest.
func (r *report) cells() []packetCell {
	var out []packetCell
	for _, f := range r.run.Of(Packet, "") {
		c := packetCell{f.Case, f.Variant, f.At}
		if !slices.ContainsFunc(out, func(o packetCell) bool {
			return o.topology == c.topology && o.variant == c.variant && maps.Equal(o.at, c.at)
		}) {
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(a, b packetCell) int {
		return cmp.Or(
			cmp.Compare(slices.Index(shapes, a.variant), slices.Index(shapes, b.variant)),
			cmp.Compare(a.at["elsewhere"], b.at["elsewhere"]), cmp.Compare(a.at["policies"], b.at["policies"]),
		)
	})
	return out
}

func (r *report) measured(c packetCell, m packetpath.Metric) figures.Figure {
	return r.run.Of(Packet, c.topology).Figure(string(m), c.variant, c.at)
}

// toConntrack is a cell's ratio to conntrack-only, with which it took turns.
func (r *report) toConntrack(c packetCell, m packetpath.Metric) figures.Ratio {
	return r.measured(c, m).Ratio()
}

// against is the ratio of a variant of ours to another shape under the same load.
func (r *report) against(ours string, c packetCell, m packetpath.Metric) figures.Ratio {
	return r.measured(packetCell{c.topology, ours, c.at}, m).Against(r.measured(c, m))
}

func (r *report) packet() {
	r.section("packet", "Packet path: what a packet pays")
	r.paragraph(`
Two Pods of the lab on one node, each topology by itself. *Conntrack only* is a table
that does nothing but accept what is established: the floor of any stateful engine,
and the base of all ratios. In each round each ruleset, in an order drawn anew, is
installed beside conntrack-only in the same namespaces; then the two take turns under
the same traffic, every few hundredths of a second, by flags of their tables. A ratio
is that of two neighbouring windows of time. Clients and servers stay on a processor
each, for where the scheduler puts them decides more than any ruleset: client and
server of a connection share one, so that its rate is what its path costs. The linear
shapes are the two classic ones, for the same policies: a jump for each Pod, then a
chain for each policy. Rules have single ports, ranges, named ports and blocks.
*Guards* see to it that a Pod uses its own addresses only; none of the other shapes
has such a thing. Three more rulesets show what that costs: conntrack only with a chain
without any rule at each hook that a guard needs, below which no guard can come;
conntrack only with the guards, which is what is left for judging; and Sluice with Pods
that are let off theirs. Before anything is measured, each ruleset
must have let through exactly what the policies allow.`)
	if !r.ran(Packet) {
		return
	}
	for _, topology := range []string{"bridge", "ptp"} {
		fs := r.run.Of(Packet, topology)
		if len(fs) == 0 {
			continue
		}
		r.printf("<a id=\"packet-%s\"></a>\n\n### %s\n", topology, topologyName(topology))
		r.packetTable(topology, "ratio to conntrack only", func(c packetCell, m packetpath.Metric) string {
			return times(r.toConntrack(c, m))
		}, rates3)
		for _, m := range []packetpath.Metric{packetpath.Connections, packetpath.Packets, packetpath.Throughput} {
			r.packetChart(topology, m)
		}
		r.packetTable(topology, "median ± spread", func(c packetCell, m packetpath.Metric) string {
			return spread(r.measured(c, m).Samples)
		}, []packetpath.Metric{
			packetpath.Throughput, packetpath.Packets, packetpath.Connections, packetpath.ConnectionP50,
			packetpath.ConnectionP99, packetpath.PacketCPU, packetpath.ConnectionCPU,
		})
		r.guardFloor(topology)
	}
	seen := map[string]bool{}
	for _, f := range r.run.Of(Packet, "") {
		if f.Note != "" && !seen[f.Note] {
			seen[f.Note] = true
			r.printf("%s: %s.\n", shapeNames[f.Variant], f.Note)
		}
	}
}

// guardFloor is what is left for an engine with guards, whatever its rules.
func (r *report) guardFloor(topology string) {
	packets := r.toConntrack(packetCell{topology, string(packetpath.Hooks), nil}, packetpath.Packets)
	rate := r.toConntrack(packetCell{topology, string(packetpath.Guards), nil}, packetpath.Connections)
	var cheapest figures.Ratio
	var what packetCell
	for _, c := range r.cells() {
		if v := r.toConntrack(c, packetpath.Connections); c.topology == topology && c.classic() && v.Value > cheapest.Value {
			cheapest, what = v, c
		}
	}
	if math.IsNaN(packets.Value) || math.IsNaN(rate.Value) || what.variant == "" {
		return
	}
	r.paragraph(fmt.Sprintf(`
What guards leave: their hooks alone, without a rule, come to %s of the packet rate,
and the guards, with nothing that judges, to %s of the connection rate. The classic
shape with the cheapest first packet (%s)
comes to %s, so guards and such a judgement together to %s.`,
		times(packets), times(rate), what, times(cheapest), digits(rate.Value*cheapest.Value)))
}

func topologyName(t string) string {
	if t == "bridge" {
		return "Pods behind a bridge"
	}
	return "Pods with a routed link each (ptp)"
}

// packetTable has a row for each cell, and a column for each metric.
func (r *report) packetTable(topology, what string, cell func(packetCell, packetpath.Metric) string, metrics []packetpath.Metric) {
	header := []string{what}
	for _, m := range metrics {
		header = append(header, string(m))
	}
	var rows [][]string
	for _, c := range r.cells() {
		if c.topology != topology || strings.HasPrefix(what, "ratio") && c.variant == conntrack {
			continue
		}
		name := shapeNames[c.variant]
		if l := c.load(); l != "" {
			name += ": " + l
		}
		row := []string{name}
		for _, m := range metrics {
			row = append(row, cell(c, m))
		}
		rows = append(rows, row)
	}
	r.table(header, rows)
}

// packetChart has a group of bars for each load, and a bar for each shape.
func (r *report) packetChart(topology string, m packetpath.Metric) {
	c := &plot.Chart{
		Title:  fmt.Sprintf("%s, %s", capital(metricName(m)), topologyName(topology)),
		XLabel: "policies that select the Pod, + elsewhere on the node", YLabel: "ratio to conntrack only",
		Lines: []plot.Line{{At: 1, Name: "conntrack only"}},
	}
	var loads []figures.Setting
	for _, cell := range r.cells() {
		if cell.topology == topology && cell.variant == sluice && len(r.measured(cell, m).Samples) > 0 {
			loads = append(loads, cell.at)
			name := whole(cell.at["policies"])
			if e := cell.at["elsewhere"]; e > 0 {
				name += " +" + whole(e)
			}
			c.Categories = append(c.Categories, name)
		}
	}
	for _, shape := range shapes {
		s := plot.Series{Name: shapeNames[shape]}
		for i, at := range loads {
			if v := r.toConntrack(packetCell{topology, shape, at}, m); !math.IsNaN(v.Value) {
				s.Points = append(s.Points, ratioPoint(float64(i), v))
			}
		}
		c.Series = append(c.Series, s)
	}
	name := strings.ReplaceAll(metricName(m), " ", "-")
	r.chart(fmt.Sprintf("packet-%s-%s.svg", topology, name), c)
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
