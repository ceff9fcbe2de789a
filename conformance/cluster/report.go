package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// Report is what one run of the suite showed: of which cluster, and what of
// each test that was meant to run.
type Report struct {
	Facts Facts  `json:"facts"`
	Tests []Test `json:"tests"`

	// Beyond are our own tests, if they ran on the same cluster.
	Beyond []Test `json:"-"`

	// all are the names of all tests that there are.
	all []string
}

const passedState = "passed"

// Test is one test, with its verdict.
type Test struct {
	Name    string  `json:"name"`
	State   string  `json:"state"` // ginkgo's: passed, failed, timedout, …
	Seconds float64 `json:"seconds,omitempty"`
	Problem string  `json:"problem,omitempty"`
	Skip    string  `json:"skip,omitempty"` // the reason, from the file of skips
}

// readReport reads ginkgo's JSON report. Tests that are left out because of the
// focus alone are left out of ours.
func readReport(path string, skips []skip) (*Report, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var suites []struct {
		SpecReports []struct {
			LeafNodeType            string
			ContainerHierarchyTexts []string
			LeafNodeText            string
			State                   string
			RunTime                 time.Duration
			Failure                 struct{ Message string }
		}
	}
	if err := json.Unmarshal(data, &suites); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	r := &Report{}
	for _, s := range suites {
		for _, spec := range s.SpecReports {
			if spec.LeafNodeType != "It" {
				continue
			}
			message, _, _ := strings.Cut(strings.TrimSpace(spec.Failure.Message), "\n")
			t := Test{
				Name:    strings.Join(append(spec.ContainerHierarchyTexts, spec.LeafNodeText), " "),
				State:   spec.State,
				Seconds: spec.RunTime.Seconds(),
				Problem: message,
			}
			r.all = append(r.all, t.Name)
			if t.State == "skipped" && message == "" {
				line, ok := skipOf(skips, t.Name)
				if !ok {
					continue
				}
				t.Skip = line.reason
			}
			r.Tests = append(r.Tests, t)
		}
	}
	slices.SortFunc(r.Tests, func(a, b Test) int { return strings.Compare(a.Name, b.Name) })
	return r, nil
}

// failed are tests that neither passed nor have a reason not to run. A test
// that skips itself is one of them: it too needs a line in the file of skips.
func (r *Report) failed() []Test {
	var failed []Test
	for _, t := range r.Tests {
		if t.State != passedState && t.Skip == "" {
			failed = append(failed, t)
		}
	}
	return failed
}

func (r *Report) passed() int {
	return r.count(func(t Test) bool { return t.State == passedState })
}

func (r *Report) skipped() int {
	return r.count(func(t Test) bool { return t.Skip != "" })
}

func (r *Report) count(is func(Test) bool) int {
	n := 0
	for _, t := range r.Tests {
		if is(t) {
			n++
		}
	}
	return n
}

// unused are the skips that no test's name contains: the test was renamed or
// removed, and the line hides nothing any more.
func (r *Report) unused(skips []skip) []string {
	var names []string
	for _, s := range skips {
		if !slices.ContainsFunc(r.all, func(name string) bool { return strings.Contains(name, s.name) }) {
			names = append(names, s.name)
		}
	}
	return names
}

// print is the short form for a terminal: failures, and how many passed.
func (r *Report) print(out io.Writer) {
	for _, t := range r.failed() {
		fmt.Fprintf(out, "%s (%.0f s) %s\n    %s\n", t.State, t.Seconds, t.Name, t.Problem)
	}
	fmt.Fprintln(out, r.sum())
}

func (r *Report) sum() string {
	return fmt.Sprintf("%d of %d tests passed, %d skipped; %.0f s with %d at a time",
		r.passed(), len(r.Tests)-r.skipped(), r.skipped(), r.Facts.Seconds, r.Facts.Processes)
}
