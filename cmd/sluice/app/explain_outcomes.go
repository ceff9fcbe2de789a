package app

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/question"
)

// explanation is a verdict with its reasoning, ready to be shown.
type explanation struct {
	// name is the flow on one line.
	name    string
	flow    policy.Flow
	verdict policy.Verdict
	// audited is nil where no audited policy selects an end.
	audited *policy.Verdict
	// nearly are policies that only just do not select an end.
	nearly  []question.Nearly
	notices []string
	// depends is on what it hangs, where an address is not known.
	depends []string
	// stands says for which range an address stands.
	stands map[netip.Addr]string
}

// explanationOf is that of the paths that end alike.
func explanationOf(a *question.Answer, o *question.Outcome) explanation {
	return explanation{name: o.Name(), flow: o.Path.Flow(), verdict: o.Verdict, audited: o.Audited, nearly: o.Nearly, notices: o.Path.Notices, depends: o.Depends, stands: a.Stands}
}

// simple is the explanation of the only path, for a question between two Pods
// or addresses.
func simple(a *question.Answer) explanation {
	e := explanationOf(a, a.First())
	e.notices = append(a.Notices[:len(a.Notices):len(a.Notices)], e.notices...)
	return e
}

// writeAnswer writes an explained answer as a page: what was asked for, what became
// of it, and an example of each outcome.
func writeAnswer(b *bytes.Buffer, p palette, a *question.Answer) {
	if !a.Plural {
		simple(a).text(b, p)
		return
	}
	verdict := p.verdict(a.Allowed > 0)
	if a.Result() == question.Partly {
		verdict = p.bold("PARTLY ALLOWED")
	}
	if a.Result() == question.Depends {
		verdict = p.bold("DEPENDS")
	}
	fmt.Fprintf(b, "%s  %s\n", verdict, p.bold(a.Question))
	if a.Through != "" {
		fmt.Fprintf(b, "  through %s\n", a.Through)
	}
	unsure := ""
	if a.Unsure > 0 {
		unsure = fmt.Sprintf(", and %d hang on what is not known", a.Unsure)
	}
	fmt.Fprintf(b, "  %s allowed%s\n", a.Tally(), unsure)
	for _, n := range a.Notices {
		fmt.Fprintf(b, "  note: %s\n", n)
	}
	for i := range a.Outcomes {
		o := &a.Outcomes[i]
		b.WriteByte('\n')
		if a.Total > 1 {
			fmt.Fprintf(b, "%d of %d %s, %s:\n", o.Count, a.Total, a.Noun, example(o))
		}
		var part bytes.Buffer
		explanationOf(a, o).text(&part, p)
		for line := range strings.Lines(part.String()) {
			if line != "\n" {
				line = "  " + line
			}
			b.WriteString(line)
		}
	}
}

func example(o *question.Outcome) string {
	if o.Count == 1 {
		return "this one"
	}
	return "such as this"
}

// The JSON form of an answer is that of the explanation of its first outcome, with
// more beside it where it stands for several.
type answerDocument struct {
	explanationDocument
	// Question is the flow as it was asked for, with Services and workloads.
	Question string            `json:"question,omitempty"`
	Through  string            `json:"through,omitempty"`
	Paths    *pathsDocument    `json:"paths,omitempty"`
	Outcomes []outcomeDocument `json:"outcomes,omitempty"`
}

type pathsDocument struct {
	Allowed int `json:"allowed"`
	// Depends is how many hang on an address that is not known.
	Depends int `json:"depends,omitempty"`
	Total   int `json:"total"`
}

// outcomeDocument explains one of Count paths that end alike.
type outcomeDocument struct {
	Count   int               `json:"count"`
	Allowed bool              `json:"allowed"`
	Entry   string            `json:"entryNode,omitempty"`
	Seen    string            `json:"clientSeenAs,omitempty"`
	Flow    flowDocument      `json:"flow"`
	Egress  directionDocument `json:"egress"`
	Ingress directionDocument `json:"ingress"`
	Audit   *auditDocument    `json:"audit,omitempty"`
	Notices []string          `json:"notices,omitempty"`
	Depends []string          `json:"dependsOn,omitempty"`
	Nearly  []nearlyDocument  `json:"nearly,omitempty"`
}

func documentOf(a *question.Answer) answerDocument {
	d := answerDocument{explanationDocument: simple(a).document()}
	if !a.Plural {
		return d
	}
	d.Question, d.Through = a.Question, a.Through
	d.Paths = &pathsDocument{a.Allowed, a.Unsure, a.Total}
	for i := range a.Outcomes {
		o := &a.Outcomes[i]
		e := explanationOf(a, o).document()
		doc := outcomeDocument{
			Count: o.Count, Allowed: e.Allowed, Entry: o.Path.Entry,
			Flow: e.Flow, Egress: e.Egress, Ingress: e.Ingress, Audit: e.Audit, Notices: e.Notices, Depends: e.Depends, Nearly: e.Nearly,
		}
		if o.Path.Hidden {
			doc.Seen = o.Path.Ingress.Src.Addr.String()
		}
		d.Outcomes = append(d.Outcomes, doc)
	}
	return d
}
