package report

import (
	"io"

	"github.com/sluice-net/sluice/policy/findings"
	"github.com/sluice-net/sluice/policy/lint"
)

// docs is where the checks are documented, each under its ID.
const docs = "https://github.com/sluice-net/sluice/blob/main/docs/lint.md"

// GitHub writes a workflow command for each finding, by which it is shown at its
// line of a pull request.
func GitHub(w io.Writer, r lint.Result) error { return findings.GitHub(w, found(r)) }

// SARIF writes the result as a log of one run. What was silenced is in it, as
// suppressed in the source. The version is the program's, and may be empty.
func SARIF(w io.Writer, r lint.Result, version string) error {
	return findings.SARIF(w, found(r), version)
}

// JUnit writes a test suite: a case that passes for each check that found nothing,
// and one for each finding.
func JUnit(w io.Writer, r lint.Result) error { return findings.JUnit(w, found(r)) }

// found is the result as machines read it.
func found(r lint.Result) findings.Result {
	out := findings.Result{Tool: "lint", Findings: each(r.Findings), Silenced: each(r.Silenced)}
	for _, c := range lint.Checks() {
		out.Checks = append(out.Checks, findings.Check{
			ID: c.ID, Says: c.Says, Why: c.Why, Mend: c.Mend, Level: c.Severity.String(), HelpURI: docs + "#" + c.ID,
		})
	}
	return out
}

func each(list []lint.Finding) []findings.Finding {
	out := make([]findings.Finding, len(list))
	for i := range list {
		f := &list[i]
		out[i] = findings.Finding{
			ID: f.ID, Level: f.Severity.String(), Object: f.Object.String(), Field: f.Field,
			File: f.Place.File, Line: f.Place.Line, Message: f.Message, Mend: f.Mend, Silenced: f.Silenced,
		}
	}
	return out
}
