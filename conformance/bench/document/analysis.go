package document

import (
	"github.com/sluice-net/sluice/conformance/bench/analysis"
	"github.com/sluice-net/sluice/conformance/bench/figures"
	"github.com/sluice-net/sluice/conformance/bench/plot"
)

func (r *report) analysis() {
	r.section("analysis", "Analysis: questions on paper")
	r.paragraph(`
Each workload is a Pod with policies as in the control path's clusters, two for each
15 Pods. *Naive* is the evaluator that the tests take for the truth, written from the
documentation without an index; it judges random flows until its time is up, which at
its speed is a sample of all pairs, not all of them. *Reach* judges all pairs at one
port at once, from the allow sets that Pods share. *verify* is the command with
manifests and flows to read. Before anything is measured, index and naive evaluator
must have agreed on a sample.`)
	if !r.ran(Analysis) {
		return
	}
	fs := r.run.Of(Analysis, "")
	var flows, pairs [][]string
	for _, n := range fs.Values("workloads") {
		at := figures.Setting{"workloads": n}
		index, naive := fs.Find(analysis.Flows, analysis.Index, at), fs.Find(analysis.Flows, analysis.Naive, at)
		flows = append(flows, []string{
			whole(n), spread(index), spread(naive), times(figures.RatioOf(index, naive)), spread(fs.Find(analysis.Verify, "command", at)),
		})
		reach, each, slow := fs.Find(analysis.Pairs, analysis.Reach, at), fs.Find(analysis.Pairs, analysis.OneByOne, at), fs.Find(analysis.Pairs, analysis.Naive, at)
		seconds := func(samples []float64) string { return digits(n * n / figures.Median(samples)) }
		pairs = append(pairs, []string{
			whole(n), seconds(reach), seconds(each), seconds(slow), times(figures.RatioOf(reach, slow)), times(figures.RatioOf(reach, each)),
		})
	}
	r.printf("<a id=\"analysis-flows\"></a>\n\nSingle flows, a second:\n")
	r.table([]string{"workloads", "index", "naive", "ratio", "verify, all told"}, flows)
	r.printf("<a id=\"analysis-pairs\"></a>\n\nAll pairs at one port, in seconds; those of Evaluate and of the naive evaluator are extrapolated from their rate:\n")
	r.table([]string{"workloads", "Reach", "Evaluate one by one", "naive", "Reach to naive", "Reach to Evaluate"}, pairs)
	naive := line("naive", fs, analysis.Flows, analysis.Naive, "workloads")
	naive.Dashed = true
	r.chart("analysis.svg", &plot.Chart{
		Title:  "Flows judged a second",
		XLabel: "workloads", YLabel: "flows a second", XLog: true, YLog: true,
		Series: []plot.Series{
			line("all pairs with Reach", fs, analysis.Pairs, analysis.Reach, "workloads"),
			line("index, single flows", fs, analysis.Flows, analysis.Index, "workloads"),
			line("verify, files and all", fs, analysis.Verify, "command", "workloads"), naive,
		},
	})
	r.commands()
	const key = "policies of the namespace"
	var selected [][]string
	for _, n := range fs.Values(key) {
		at := figures.Setting{key: n}
		selected = append(selected, []string{whole(n), spread(fs.Find(analysis.Selected, analysis.OneByOne, at)), spread(fs.Find(analysis.Selected, analysis.Reach, at))})
	}
	if len(selected) > 0 {
		r.printf("<a id=\"analysis-policies\"></a>\n\nA flow of Pods that many policies select, in µs. Half of the policies of a namespace select each Pod:\n")
		r.table([]string{"policies in each namespace", "Evaluate", "Reach, for each pair"}, selected)
	}
}

// commands are those that answer about all workloads at once.
func (r *report) commands() {
	all := r.run.Of(Analysis, analysis.Connections)
	var rows [][]string
	for _, n := range all.Values("deployments") {
		for _, p := range all.Values("policies") {
			at := figures.Setting{"deployments": n, "policies": p}
			for _, name := range analysis.Commands {
				if cpu := all.Find(analysis.CPU, name, at); len(cpu) > 0 {
					rows = append(rows, []string{name, whole(n), whole(p), spread(cpu), spread(all.Find(analysis.Resident, name, at))})
				}
			}
		}
	}
	if len(rows) == 0 {
		return
	}
	r.printf("<a id=\"analysis-commands\"></a>\n\nCommands about all workloads at once, on all ports, from Deployments and policies in files to the answer in JSON. The goal for 2,000 workloads and 500 policies is less than 3 s of CPU and 500 MB:\n")
	r.table([]string{"command", "workloads", "policies", "seconds of CPU", "MiB resident at most"}, rows)
}
