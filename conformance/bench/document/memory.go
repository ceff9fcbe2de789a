package document

import (
	"fmt"

	"github.com/sluice-net/sluice/conformance/bench/figures"
	"github.com/sluice-net/sluice/conformance/bench/memory"
	"github.com/sluice-net/sluice/conformance/bench/plot"
)

// Names of figures that claims need.
const (
	heapPerPod       = memory.HeapPerPod
	resident         = memory.Resident
	peak             = memory.Peak
	changedPeak      = memory.ChangedPeak
	startBytesPerPod = memory.StartBytesPerPod
)

func (r *report) memory() {
	r.section("memory", "Memory and API load")
	r.paragraph(`
A real kube-apiserver on a real etcd, filled with a cluster of simulated Pods, and the
real agent in a namespace of its own. Bytes are what the agent read from the API
server's address, TLS included. *Peak* is the highest resident memory from the start
until the agent had enforced everything and rested, and then with the changes. Heap is
measured apart, as what the index grows by with each Pod of another node. nft, a process
of its own while it runs, is not counted.`)
	if !r.ran(Memory) {
		return
	}
	header := []string{""}
	type column struct {
		figures.Figures
		at figures.Setting
	}
	var columns []column
	for _, kind := range []string{memory.Full, memory.Simple} {
		fs := r.run.Of(Memory, kind)
		for _, pods := range fs.Values("pods") {
			columns = append(columns, column{fs, figures.Setting{"pods": pods}})
			name := whole(pods) + " Pods"
			if kind == memory.Simple {
				name += ", simple"
			}
			header = append(header, name)
		}
	}
	var rows [][]string
	for _, name := range memory.Names {
		row, found := []string{name[0] + ", " + name[1]}, false
		for _, c := range columns {
			samples := c.Find(name[0], "", c.at)
			found = found || len(samples) > 0
			row = append(row, digits(figures.Median(samples)))
		}
		if found {
			rows = append(rows, row)
		}
	}
	r.table(header, rows)
	r.paragraph(`
Pods are as the API server has them, with labels, owner, managed fields and the status
of their containers. *Simple* ones have what policies are about and little else, as
those of most simulations: the agent keeps the same of both, but what it must read to
get there differs, and no client can make it less than the API server's compression
does.`)
	fs := r.run.Of(Memory, memory.Simple)
	r.chart("memory.svg", &plot.Chart{
		Title:  "Memory of the agent",
		XLabel: "Pods in the cluster", YLabel: "MiB", XLog: true, YZero: true,
		Series: []plot.Series{line("resident, peak", fs, peak, "", "pods"), line("resident, at rest", fs, resident, "", "pods")},
	})
	// A larger cluster of simple Pods says less of real ones than a smaller one
	// of full ones does.
	r.extrapolation(r.run.Of(Memory, memory.Full))
}

// extrapolation shows its arithmetic.
func (r *report) extrapolation(fs figures.Figures) {
	sizes := fs.Values("pods")
	var start, replaced, idle float64
	found := false
	for _, pods := range sizes {
		at := figures.Setting{"pods": pods}
		if s := fs.Find(startBytesPerPod, "", at); len(s) > 0 {
			start, found = figures.Median(s), true
			replaced, idle = figures.Median(fs.Find(memory.ReplacedBytes, "", at)), figures.Median(fs.Find(memory.IdleBytes, "", at))
		}
	}
	if !found {
		return
	}
	r.printf("<a id=\"memory-extrapolated\"></a>\n\n### Extrapolated to whole clusters\n")
	r.paragraph(fmt.Sprintf(`
With 30 Pods a node, each replaced once a day, and the figures of the largest cluster of full Pods: %s bytes
a Pod at the start, %s bytes for each Pod that is replaced, %s bytes an hour without changes.
An agent reads all of the cluster's Pods, so the cluster's sum grows with the square of
its size.`, digits(start), digits(replaced), digits(idle)))
	var rows [][]string
	for _, nodes := range []float64{1_000, 5_000} {
		pods := 30 * nodes
		each, all := pods*start, nodes*pods*start
		hourly := pods/24*replaced + idle
		rows = append(rows, []string{
			whole(nodes),
			fmt.Sprintf("%s × %s = %s MB", whole(pods), digits(start), digits(each/1e6)),
			fmt.Sprintf("%s × %s MB = %s GB", whole(nodes), digits(each/1e6), digits(all/1e9)),
			fmt.Sprintf("%s / 24 × %s + %s = %s MB", whole(pods), digits(replaced), digits(idle), digits(hourly/1e6)),
			fmt.Sprintf("%s × %s MB / 3,600 s = %s MB/s", whole(nodes), digits(hourly/1e6), digits(nodes*hourly/3600/1e6)),
		})
	}
	r.table([]string{"nodes", "an agent's start", "all agents at once", "an agent's hour", "all agents, steadily"}, rows)
}
