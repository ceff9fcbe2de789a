package findings

import (
	"encoding/xml"
	"io"
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
func JUnit(w io.Writer, r Result) error {
	suite := junitSuite{Name: "sluice " + r.Tool}
	found := map[string]bool{}
	for i := range r.Findings {
		f := &r.Findings[i]
		found[f.ID] = true
		c := r.caseOf(f)
		if f.Level == Note {
			c.Out = f.told()
		} else {
			suite.Failures++
			c.Failure = &junitFailure{f.Level, f.Message, f.told()}
		}
		suite.Cases = append(suite.Cases, c)
	}
	for i := range r.Silenced {
		f := &r.Silenced[i]
		found[f.ID] = true
		c := r.caseOf(f)
		c.Skipped = &junitSkipped{"silenced by " + f.Silenced}
		suite.Skipped++
		suite.Cases = append(suite.Cases, c)
	}
	for _, c := range r.Checks {
		if !found[c.ID] {
			suite.Cases = append(suite.Cases, junitCase{Name: c.Says, ClassName: "sluice." + r.Tool + "." + c.ID})
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

func (r *Result) caseOf(f *Finding) junitCase {
	name := f.Object
	if name == "" {
		name = f.place()
	}
	if f.Field != "" {
		name += " " + f.Field
	}
	return junitCase{Name: name, ClassName: "sluice." + r.Tool + "." + f.ID, File: f.File, Line: f.Line}
}
