package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/findings"
)

// longestComment keeps a Markdown difference within a comment of a pull request: GitHub
// takes 65,536 characters, and others about as many.
const longestComment = 60_000

// Markdown writes what changed as a comment of a pull request has room for it. What has
// no room is counted.
func (d *Diff) Markdown(w io.Writer) error {
	var out strings.Builder
	fmt.Fprintf(&out, "### Who can reach whom\n\n%s\n", d.Summary())
	left := 0
	for _, g := range d.groups() {
		head := fmt.Sprintf("\n#### %s\n\n| From | To | Ports | Because |\n| --- | --- | --- | --- |\n", g.title)
		for _, c := range g.changes {
			var causes []string
			for _, text := range d.causes(c) {
				causes = append(causes, cell(text))
			}
			row := fmt.Sprintf("| %s | %s | %s | %s |\n", cell(d.names.short(c.Sources)), cell(d.names.short(c.Destinations)), cell(ports(c)), strings.Join(causes, "<br>"))
			if out.Len()+len(head)+len(row) > longestComment {
				left++
				continue
			}
			out.WriteString(head + row)
			head = ""
		}
	}
	left += d.Entries.markdown(&out)
	if left > 0 {
		fmt.Fprintf(&out, "\n%s: `sluice diff` without `-o md` writes all.\n", countedOf(left, "change more has no room here", "changes more have no room here"))
	}
	if idle := d.idle(); len(idle) > 0 {
		var names []string
		for i := range idle[:min(len(idle), mostNames)] {
			names = append(names, cell(idle[i].Policy.String())+" ("+policyChange(&idle[i])+")")
		}
		if len(idle) > mostNames {
			names = append(names, fmt.Sprintf("%d more", len(idle)-mostNames))
		}
		fmt.Fprintf(&out, "\nPolicies that changed and change nothing: %s.\n", strings.Join(names, ", "))
	}
	if len(d.Added) > 0 {
		fmt.Fprintf(&out, "\nWorkloads added: %s.\n", cell(nameList(d.Added)))
	}
	if len(d.Removed) > 0 {
		fmt.Fprintf(&out, "\nWorkloads removed: %s.\n", cell(nameList(d.Removed)))
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// diffDocs is where the checks are documented.
const diffDocs = "https://github.com/sluice-net/sluice/blob/main/docs/analysis.md#sluice-diff"

// diffChecks are what a difference can be.
var diffChecks = []findings.Check{
	{ID: "newly-allowed", Says: "A connection is allowed that was denied.", Why: "It may be meant; a reviewer should see it.", Mend: "Look at the rule that allows it.", Level: findings.Warning, HelpURI: diffDocs},
	{ID: "changed-ports", Says: "A connection is allowed on other ports than before.", Why: "It may be meant; a reviewer should see it.", Mend: "Look at the rule that changed.", Level: findings.Warning, HelpURI: diffDocs},
	{ID: "changed-addresses", Says: "A connection is allowed, on the same ports, for other addresses than before.", Why: "It may be meant; a reviewer should see it.", Mend: "Look at the ipBlock that changed.", Level: findings.Warning, HelpURI: diffDocs},
	{ID: "newly-denied", Says: "A connection is denied that was allowed.", Why: "Whoever uses it will be cut off.", Mend: "Look at the policy that isolates, and at the rule that is gone.", Level: findings.Warning, HelpURI: diffDocs},
	{ID: "workload-added", Says: "A new workload can be reached, or reaches others.", Why: "It was not there before.", Mend: "Nothing, if it is meant.", Level: findings.Note, HelpURI: diffDocs},
	{ID: "workload-removed", Says: "A connection is gone with its workload.", Why: "It was there before.", Mend: "Nothing, if it is meant.", Level: findings.Note, HelpURI: diffDocs},
	{ID: "entry-allowed", Says: "An Ingress, Gateway or route lets in what it did not.", Why: "It may be meant; a reviewer should see it.", Mend: "Look at the entry, and at the policies of the workload behind it.", Level: findings.Warning, HelpURI: diffDocs},
	{ID: "entry-changed", Says: "An Ingress, Gateway or route lets in otherwise than before.", Why: "It may be meant; a reviewer should see it.", Mend: "Look at its hosts and paths, and at the policies of the workload behind it.", Level: findings.Warning, HelpURI: diffDocs},
	{ID: "entry-denied", Says: "An Ingress, Gateway or route does not let in what it did.", Why: "Whoever uses it will be cut off.", Mend: "Look at the entry, and at the policies of the workload behind it.", Level: findings.Warning, HelpURI: diffDocs},
	{ID: "policy-without-effect", Says: "A policy changed, and nobody reaches anybody by it that did not before, nor the other way.", Why: "It may select nothing, or say what others say already.", Mend: "Nothing, if it is meant; sluice lint says more.", Level: findings.Note, HelpURI: diffDocs},
}

// found is the difference as machines read it, at the lines of the new side.
func (d *Diff) found() findings.Result {
	out := findings.Result{Tool: "diff", Checks: diffChecks}
	levels := map[string]string{}
	for _, c := range diffChecks {
		levels[c.ID] = c.Level
	}
	for _, g := range d.groups() {
		for _, c := range g.changes {
			who := d.names.short(c.Sources) + " → " + d.names.short(c.Destinations)
			f := findings.Finding{ID: g.id, Level: levels[g.id], Message: who + ": " + ports(c), Mend: strings.Join(d.causes(c), "\n"), Key: who}
			d.at(&f, c)
			out.Findings = append(out.Findings, f)
		}
	}
	out.Findings = append(out.Findings, d.Entries.findings()...)
	for _, p := range d.idle() {
		at := d.policyPlace(&p)
		f := findings.Finding{
			ID: "policy-without-effect", Level: findings.Note, Object: "NetworkPolicy " + p.Policy.String(),
			Message: "it was " + policyChange(&p) + ", and that changes nothing", Mend: "nothing, if it is meant",
		}
		if p.New {
			f.File, f.Line = at.File, at.Line
		}
		out.Findings = append(out.Findings, f)
	}
	return out
}

// at gives a finding the object and the place of the first cause that has one in the
// new cluster: old files are not in a pull request.
func (d *Diff) at(f *findings.Finding, c *connectivity.Change) {
	for i := range c.Stretches {
		for j := range c.Stretches[i].Causes {
			cause := &c.Stretches[i].Causes[j]
			if cause.Policy.Name == "" {
				continue
			}
			if f.Object == "" {
				f.Object = "NetworkPolicy " + cause.Policy.String()
			}
			at := Place{}
			if cause.Effect == connectivity.Allows || cause.Effect == connectivity.Isolates {
				at = d.New.of(&cause.Grant)
			} else if d.New != nil {
				at = d.New(cause.Policy) // where the rule was
			}
			if at.File != "" {
				f.Object, f.Field, f.File, f.Line = "NetworkPolicy "+cause.Policy.String(), cause.Path(), at.File, at.Line
				return
			}
		}
	}
}

// GitHub writes annotations for a pull request.
func (d *Diff) GitHub(w io.Writer) error { return findings.GitHub(w, d.found()) }

// JUnit writes a test suite, in which a change fails and a note passes.
func (d *Diff) JUnit(w io.Writer) error { return findings.JUnit(w, d.found()) }

// SARIF writes the changes as a log of one run, with the program's version.
func (d *Diff) SARIF(w io.Writer, version string) error { return findings.SARIF(w, d.found(), version) }
