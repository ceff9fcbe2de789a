package app

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/enforcer/diagnosis"
)

// located is a finding with the nodes that have it.
type located struct {
	diagnosis.Finding
	nodes []string
}

// mostFindings bounds what is shown of a state: one screen is what anybody reads.
const mostFindings = 40

// writeDiagnosis writes for people: the worst first, what is well last, a line for each.
func writeDiagnosis(b *bytes.Buffer, p palette, r *diagnosis.Report, quiet bool) {
	all := locate(r)
	counts := map[diagnosis.State]int{}
	for _, f := range all {
		counts[f.State]++
	}
	if !quiet {
		writeSummary(b, p, r, counts)
	}
	for _, state := range []diagnosis.State{diagnosis.Problem, diagnosis.Warning, diagnosis.Note} {
		if quiet && state == diagnosis.Note {
			return
		}
		shown := 0
		for _, f := range all {
			if f.State != state {
				continue
			}
			if shown++; shown <= mostFindings {
				writeFinding(b, p, r, f)
			}
		}
		if more := shown - mostFindings; more > 0 {
			fmt.Fprintf(b, "and %d more of this kind: see -o json\n\n", more)
		}
	}
	writeWell(b, p, r, all)
}

// locate puts what several nodes have in common together, in the order of the checks.
func locate(r *diagnosis.Report) []located {
	var out []located
	at := map[diagnosis.Finding]int{}
	add := func(node string, f diagnosis.Finding) {
		i, seen := at[f]
		if !seen {
			i = len(out)
			at[f] = i
			out = append(out, located{Finding: f})
		}
		if node != "" {
			out[i].nodes = append(out[i].nodes, node)
		}
	}
	for _, f := range r.Findings {
		add("", f)
	}
	for _, n := range r.Nodes {
		for _, f := range n.Findings {
			add(n.Node, f)
		}
	}
	rank := map[string]int{}
	for i, c := range diagnosis.Checks {
		rank[c.ID] = i
	}
	slices.SortStableFunc(out, func(a, b located) int { return rank[a.Check] - rank[b.Check] })
	return out
}

func writeSummary(b *bytes.Buffer, p palette, r *diagnosis.Report, counts map[diagnosis.State]int) {
	where := "this machine"
	if r.Scope == "cluster" {
		where = count(len(r.Nodes), "node", "nodes") + " of the cluster"
	} else if len(r.Nodes) > 0 && r.Nodes[0].Node != "" {
		where += " (" + printable(r.Nodes[0].Node) + ")"
	}
	var parts []string
	for _, s := range []struct {
		state     diagnosis.State
		one, many string
	}{{diagnosis.Problem, "problem", "problems"}, {diagnosis.Warning, "warning", "warnings"}, {diagnosis.Note, "note", "notes"}} {
		if n := counts[s.state]; n > 0 {
			parts = append(parts, count(n, s.one, s.many))
		}
	}
	if len(parts) == 0 {
		parts = []string{"all is well"}
	}
	fmt.Fprintf(b, "%s\n\n", p.bold(where+": "+strings.Join(parts, ", ")))
}

func writeFinding(b *bytes.Buffer, p palette, r *diagnosis.Report, f located) {
	word := p.bold(strings.ToUpper(string(f.State)))
	if f.State == diagnosis.Problem {
		word = p.red(word)
	}
	head := word + "  " + printable(f.Check)
	if f.Object != "" {
		head += ": " + printable(f.Object)
	}
	if f.Condition != "" {
		head += " (" + printable(f.Condition) + ")"
	}
	if r.Scope == "cluster" && len(f.nodes) > 0 {
		head += p.faint("  on " + onNodes(f.nodes, len(r.Nodes)))
	}
	fmt.Fprintf(b, "%s\n  %s\n", head, printable(f.Found))
	// An agent's condition says itself what follows.
	if f.Consequence != "" && f.Condition == "" {
		fmt.Fprintf(b, "  so:   %s\n", printable(f.Consequence))
	}
	if f.Mend != "" {
		fmt.Fprintf(b, "  mend: %s\n", printable(f.Mend))
	}
	if f.Run != "" {
		fmt.Fprintf(b, "  $ %s\n", p.bold(printable(f.Run)))
	}
	b.WriteByte('\n')
}

// onNodes names some of the nodes that have something in common.
func onNodes(nodes []string, of int) string {
	if len(nodes) == of && of > 1 {
		return fmt.Sprintf("all %d nodes", of)
	}
	const most = 4
	var out []string
	for _, n := range nodes[:min(len(nodes), most)] {
		out = append(out, printable(n))
	}
	if more := len(nodes) - most; more > 0 {
		out = append(out, fmt.Sprintf("%d more", more))
	}
	return strings.Join(out, ", ")
}

// writeWell tells what is well: on one machine with what was seen, over a cluster by the
// checks' names, for what is seen differs from node to node.
func writeWell(b *bytes.Buffer, p palette, r *diagnosis.Report, all []located) {
	bad := map[string]bool{}
	for _, f := range all {
		if f.State != diagnosis.OK {
			bad[f.Check] = true
		}
	}
	if r.Scope == "cluster" {
		var names []string
		for _, f := range all {
			if !bad[f.Check] && !slices.Contains(names, f.Check) {
				names = append(names, f.Check)
			}
		}
		if len(names) > 0 {
			fmt.Fprintf(b, "%s    %s\n", p.green("ok"), strings.Join(names, ", "))
		}
		return
	}
	var rows [][]string
	for _, f := range all {
		if f.State != diagnosis.OK {
			continue
		}
		text := f.Found
		if f.Object != "" {
			text = f.Object + ": " + text
		}
		rows = append(rows, []string{"ok", f.Check, printable(text)})
	}
	if len(rows) > 0 {
		writeColumns(b, rows)
	}
}
