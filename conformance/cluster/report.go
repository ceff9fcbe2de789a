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

// report is what ginkgo's JSON report says of the tests themselves.
type report struct {
	tests []test
}

type test struct {
	name    string
	state   string // passed, failed, skipped, timedout, …
	seconds float64
	problem string
}

func readReport(path string) (*report, error) {
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
	r := &report{}
	for _, s := range suites {
		for _, spec := range s.SpecReports {
			if spec.LeafNodeType != "It" {
				continue
			}
			message, _, _ := strings.Cut(strings.TrimSpace(spec.Failure.Message), "\n")
			r.tests = append(r.tests, test{
				name:    strings.Join(append(spec.ContainerHierarchyTexts, spec.LeafNodeText), " "),
				state:   spec.State,
				seconds: spec.RunTime.Seconds(),
				problem: message,
			})
		}
	}
	slices.SortFunc(r.tests, func(a, b test) int { return strings.Compare(a.name, b.name) })
	return r, nil
}

func (t *test) ran() bool { return t.state != "skipped" && t.state != "pending" }

func (r *report) ran() int {
	n := 0
	for i := range r.tests {
		if r.tests[i].ran() {
			n++
		}
	}
	return n
}

func (r *report) passed() int {
	n := 0
	for _, t := range r.tests {
		if t.state == "passed" {
			n++
		}
	}
	return n
}

// unused are the skips that no test's name contains: the test was renamed or
// removed, and the line hides nothing any more.
func (r *report) unused(skips []skip) []string {
	var names []string
	for _, s := range skips {
		if !slices.ContainsFunc(r.tests, func(t test) bool { return strings.Contains(t.name, s.name) }) {
			names = append(names, s.name)
		}
	}
	return names
}

// print is the short form for a terminal: failures, and how many passed.
func (r *report) print(out io.Writer, took time.Duration) {
	for i := range r.tests {
		if t := &r.tests[i]; t.ran() && t.state != "passed" {
			fmt.Fprintf(out, "%s (%.0f s) %s\n    %s\n", t.state, t.seconds, t.name, t.problem)
		}
	}
	fmt.Fprintf(out, "%d of %d tests passed in %.0f s; %d skipped\n", r.passed(), r.ran(), took.Seconds(), len(r.tests)-r.ran())
}

// table is the whole result, in Markdown.
func (r *report) table(f facts, skips []skip) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Upstream Netpol: CNI %s, kube-proxy %s, %s\n\n", f.about.CNI, f.about.Proxy, f.about.IP)
	fmt.Fprintf(&b, "%d of %d tests passed, %d skipped; %.0f s with %d at a time, %d nodes.\n\n",
		r.passed(), r.ran(), len(r.tests)-r.ran(), f.took.Seconds(), f.processes, f.nodes)
	fmt.Fprintf(&b, "Kubernetes %s, %s, Linux %s (%s)", f.kubernetes, f.runtime, f.kernel, f.system)
	if f.nftables != "" {
		fmt.Fprintf(&b, ", %s", f.nftables)
	}
	fmt.Fprintln(&b, ".")
	if len(f.daemonSets) > 0 {
		fmt.Fprintf(&b, "DaemonSets: %s.\n", strings.Join(f.daemonSets, ", "))
	} else {
		fmt.Fprintln(&b, "DaemonSets: none, so no policy engine from one.")
	}
	if !f.local {
		fmt.Fprintln(&b, "The CNI plugin, kube-proxy's mode and the family are what the user stated of this cluster.")
	}
	fmt.Fprint(&b, "\n| test | verdict | seconds |\n| --- | --- | ---: |\n")
	for i := range r.tests {
		t := &r.tests[i]
		verdict, seconds := t.state, fmt.Sprintf("%.1f", t.seconds)
		if !t.ran() {
			seconds = ""
			if s, ok := skipOf(skips, t.name); ok {
				verdict = "skipped: " + s.reason
			} else {
				verdict = "skipped: not asked for"
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", cell(t.name), cell(verdict), seconds)
	}
	return b.String()
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
