package app

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/findings"
	"github.com/sluice-net/sluice/policy/question"
)

// verifyDocs is where the checks are documented.
const verifyDocs = "https://github.com/sluice-net/sluice/blob/main/docs/analysis.md#sluice-verify"

// verifyChecks are what can be wrong with a flow.
var verifyChecks = []findings.Check{
	{ID: "mismatch", Says: "A flow is not as expected.", Mend: "Change the policies, or the expectation.", Level: findings.Error, HelpURI: verifyDocs},
	{ID: "unusable", Says: "A flow cannot be read, or its ends are nobody.", Mend: "As the message says.", Level: findings.Error, HelpURI: verifyDocs},
}

// collect keeps answers for a format that is written as a whole.
func (v *verification) collect(answers []answer) {
	v.found.Tool, v.found.Checks = "verify", verifyChecks
	for i := range answers {
		a := &answers[i]
		f := findings.Finding{ID: "mismatch", Level: findings.Error, File: v.options.flowsName(), Line: a.line.number}
		switch m := a.mismatch(); {
		case a.err != nil:
			f.ID, f.Message = "unusable", a.err.Error()
			f.Key = string(a.input)
		case m != "":
			f.Message, f.Mend, f.Key = a.Name()+": "+m+a.because(), strings.Join(v.reasons(a), "\n"), a.Name()
		case !v.printed(a):
			continue
		default:
			v.found.Passed = append(v.found.Passed, findings.Pass{Name: a.Name() + a.because(), Class: string(a.Result())})
			continue
		}
		v.found.Findings = append(v.found.Findings, f)
	}
}

// because is what the flow's author says of it, in brackets.
func (a *answer) because() string {
	for _, f := range a.line.fields {
		if f.key == "why" || f.key == "name" {
			if text := strings.Trim(string(f.value), `"`); text != "" {
				return " (" + text + ")"
			}
		}
	}
	return ""
}

// reasons say in sentences what decided, each with its direction.
func (v *verification) reasons(a *answer) []string {
	v.cluster.world.Explain(&a.Answer)
	verdict := a.First().Verdict
	var out []string
	for _, d := range []policy.DirectionVerdict{verdict.Egress, verdict.Ingress} {
		// An allowed flow needs both its reasons, a denied one those against.
		if d.Allowed == verdict.Allowed {
			out = append(out, fmt.Sprintf("%s: %s", d.Direction, question.FullReason(a.First().Path.Flow(), d)))
		}
	}
	return out
}

// deciders are the policies that had a say, and the rule that came nearest.
func deciders(v *policy.Verdict) (policies []string, nearest string) {
	for _, d := range []policy.DirectionVerdict{v.Egress, v.Ingress} {
		if d.Allowed != v.Allowed {
			continue
		}
		for _, p := range d.Policies {
			if name := p.Policy.String(); !slices.Contains(policies, name) {
				policies = append(policies, name)
			}
		}
		if d.Nearest != nil && nearest == "" {
			nearest = d.Nearest.String()
		}
	}
	return policies, nearest
}

// markdown writes what is not as expected as a table, and counts.
func (v *verification) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "### Flows\n\n%s\n", v.counts())
	if len(v.found.Findings) > 0 {
		b.WriteString("\n| Line | Flow | Because |\n| --- | --- | --- |\n")
	}
	for i, f := range v.found.Findings {
		row := fmt.Sprintf("| %d | %s | %s |\n", f.Line, markdownCell(f.Message), strings.ReplaceAll(markdownCell(f.Mend), "\n", "<br>"))
		if b.Len()+len(row) > mostMarkdown {
			fmt.Fprintf(&b, "\n%d more have no room here.\n", len(v.found.Findings)-i)
			break
		}
		b.WriteString(row)
	}
	return b.String()
}

// mostMarkdown is a comment's room.
const mostMarkdown = 60_000

func markdownCell(s string) string {
	return strings.NewReplacer("|", `\|`, "*", `\*`, "_", `\_`, "<", "&lt;", "[", `\[`, "`", "\\`").Replace(s)
}

func (v *verification) json(answers []answer) {
	v.buffer.Reset()
	for i := range answers {
		a := &answers[i]
		if !v.printed(a) {
			continue
		}
		var reasons []string
		if a.err == nil {
			reasons = v.reasons(a)
		}
		a.json(&v.buffer, v.options.inKernel, reasons)
	}
	_, _ = v.out.Write(v.buffer.Bytes()) // a bufio.Writer keeps its error for Flush
}

func (v *verification) text(answers []answer) {
	var rows [][]string
	for i := range answers {
		if v.printed(&answers[i]) {
			rows = append(rows, answers[i].row(v.options.inKernel))
		}
	}
	v.buffer.Reset()
	writeColumns(&v.buffer, rows)
	_, _ = v.out.Write(v.buffer.Bytes())
}

// row is an answer for the reader of a table.
func (a *answer) row(inKernel bool) []string {
	if a.err != nil {
		return []string{"UNUSABLE", fmt.Sprintf("line %d", a.line.number), a.err.Error()}
	}
	result, verdict, detail := a.Result(), a.First().Verdict, ""
	switch {
	case result == question.Allowed:
	case result == question.Depends:
		detail = "on whether " + strings.Join(a.doubts(), " or ")
	case result == question.Partly:
		detail = "allowed for " + a.Tally()
	case !verdict.Egress.Allowed && !verdict.Ingress.Allowed:
		detail = "by egress and ingress"
	case !verdict.Egress.Allowed:
		detail = "by egress"
	default:
		detail = "by ingress"
	}
	row := []string{string(result), a.Name(), detail}
	if inKernel {
		switch {
		case a.kernel == nil:
			row = append(row, "kernel: not sent")
		case *a.kernel:
			row = append(row, "kernel: allowed")
		default:
			row = append(row, "kernel: denied")
		}
	}
	if m := a.mismatch(); m != "" {
		return append(row, "MISMATCH: "+m)
	}
	if a.line.expected != nil {
		return append(row, "as expected")
	}
	return row
}

// summary closes the run. It is for people: with -o json it goes to ErrOut,
// where it does not disturb the lines.
func (v *verification) summary() {
	w := v.out
	if v.options.output == "json" {
		w = v.options.ErrOut
	}
	if len(v.mismatches) > 0 {
		fmt.Fprintf(w, "\nMismatches:\n")
		for _, m := range v.mismatches {
			fmt.Fprintln(w, m)
		}
	}
	if v.options.output == "json" && len(v.mismatches) == 0 && v.unusable == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s", v.counts())
	if v.options.inKernel {
		fmt.Fprintf(w, ", %d sent as packets", v.flows-v.unusable-v.unsent)
	}
	fmt.Fprintln(w)
}

// counts says how many flows there were, and of what kind.
func (v *verification) counts() string {
	return fmt.Sprintf("%s: %d with an expectation, %s, %d unusable", count(v.flows, "flow", "flows"), v.expected, count(len(v.mismatches), "mismatch", "mismatches"), v.unusable)
}
