package app

import (
	"bytes"
	"fmt"
	"strings"
)

// survey is the answer to a question that may stand for several paths: one
// explanation for each way in which they end.
type survey struct {
	question string
	through  string
	notices  []string
	tally    tally
	outcomes []explainedOutcome
}

type explainedOutcome struct {
	outcome
	explanation
}

func (c *cluster) survey(r *routes) survey {
	outcomes, t := c.outcomes(r)
	s := survey{question: r.name, through: r.through, notices: r.notices, tally: t}
	for _, o := range outcomes {
		s.outcomes = append(s.outcomes, explainedOutcome{o, c.explainPath(o.first, nil)})
	}
	return s
}

// simple is the explanation of the only path, for a question between two Pods
// or addresses.
func (s *survey) simple() explanation {
	e := s.outcomes[0].explanation
	e.notices = append(s.notices[:len(s.notices):len(s.notices)], e.notices...)
	return e
}

// text writes the survey as a page: what was asked for, what became of it, and
// an example of each outcome.
func (s *survey) text(b *bytes.Buffer, p palette) {
	if !s.tally.plural {
		e := s.simple()
		e.text(b, p)
		return
	}
	verdict := p.verdict(s.tally.allowed > 0)
	if s.tally.mixed() {
		verdict = p.bold("PARTLY ALLOWED")
	}
	fmt.Fprintf(b, "%s  %s\n", verdict, p.bold(s.question))
	if s.through != "" {
		fmt.Fprintf(b, "  through %s\n", s.through)
	}
	fmt.Fprintf(b, "  %s allowed\n", s.tally)
	for _, n := range s.notices {
		fmt.Fprintf(b, "  note: %s\n", n)
	}
	for _, o := range s.outcomes {
		b.WriteByte('\n')
		if s.tally.total > 1 {
			fmt.Fprintf(b, "%d of %d %s, %s:\n", o.count, s.tally.total, s.tally.noun, o.example())
		}
		var part bytes.Buffer
		o.explanation.text(&part, p)
		for line := range strings.Lines(part.String()) {
			if line != "\n" {
				line = "  " + line
			}
			b.WriteString(line)
		}
	}
}

func (o *explainedOutcome) example() string {
	if o.count == 1 {
		return "this one"
	}
	return "such as this"
}

// The JSON form of a survey is that of the explanation of its first outcome,
// with more beside it.
type surveyDocument struct {
	explanationDocument
	// Question is the flow as it was asked for, with Services and workloads.
	Question string            `json:"question,omitempty"`
	Through  string            `json:"through,omitempty"`
	Paths    *pathsDocument    `json:"paths,omitempty"`
	Outcomes []outcomeDocument `json:"outcomes,omitempty"`
}

type pathsDocument struct {
	Allowed int `json:"allowed"`
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
	Notices []string          `json:"notices,omitempty"`
}

func (s *survey) document() surveyDocument {
	d := surveyDocument{explanationDocument: s.simple().document()}
	if !s.tally.plural {
		return d
	}
	d.Question, d.Through = s.question, s.through
	d.Paths = &pathsDocument{s.tally.allowed, s.tally.total}
	for _, o := range s.outcomes {
		e := o.explanation.document()
		doc := outcomeDocument{
			Count: o.count, Allowed: e.Allowed, Entry: o.first.entry,
			Flow: e.Flow, Egress: e.Egress, Ingress: e.Ingress, Notices: e.Notices,
		}
		if o.first.hidden {
			doc.Seen = o.first.ingress.Src.Addr.String()
		}
		d.Outcomes = append(d.Outcomes, doc)
	}
	return d
}
