package report

import (
	"encoding/xml"
	"io"

	"github.com/sluice-net/sluice/policy/lint"
)

// The parts of JUnit's report that its readers agree on.
// https://github.com/testmoapp/junitxml
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name      string        `xml:"name,attr"`
		ClassName string        `xml:"classname,attr"`
		File      string        `xml:"file,attr,omitempty"`
		Line      int           `xml:"line,attr,omitempty"`
		Failure   *junitFailure `xml:"failure,omitempty"`
		Skipped   *junitSkipped `xml:"skipped,omitempty"`
		Out       string        `xml:"system-out,omitempty"`
	}
	junitFailure struct {
		Type    string `xml:"type,attr"`
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	junitSkipped struct {
		Message string `xml:"message,attr"`
	}
)

// JUnit writes a test suite: a case that passes for each check that found nothing,
// and one for each finding. Errors and warnings fail, notes pass with what they say
// as output, what was silenced counts as skipped.
func JUnit(w io.Writer, r lint.Result) error {
	suite := junitSuite{Name: "sluice lint"}
	found := map[string]bool{}
	for i := range r.Findings {
		f := &r.Findings[i]
		found[f.ID] = true
		c := caseOf(f)
		if f.Severity == lint.Note {
			c.Out = sentence(f) + "\n" + f.Mend
		} else {
			suite.Failures++
			c.Failure = &junitFailure{f.Severity.String(), f.Message, sentence(f) + "\n" + f.Mend}
		}
		suite.Cases = append(suite.Cases, c)
	}
	for i := range r.Silenced {
		f := &r.Silenced[i]
		found[f.ID] = true
		c := caseOf(f)
		c.Skipped = &junitSkipped{"silenced by " + f.Silenced}
		suite.Skipped++
		suite.Cases = append(suite.Cases, c)
	}
	for _, c := range lint.Checks() {
		if !found[c.ID] {
			suite.Cases = append(suite.Cases, junitCase{Name: c.Says, ClassName: "sluice.lint." + c.ID})
		}
	}
	suite.Tests = len(suite.Cases)
	all := junitSuites{Name: suite.Name, Tests: suite.Tests, Failures: suite.Failures, Suites: []junitSuite{suite}}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func caseOf(f *lint.Finding) junitCase {
	name := f.Object.String()
	if name == "" {
		name = f.Place.String()
	}
	if f.Field != "" {
		name += " " + f.Field
	}
	return junitCase{Name: name, ClassName: "sluice.lint." + f.ID, File: f.Place.File, Line: f.Place.Line}
}
