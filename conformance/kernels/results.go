package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// testID names a test of a package.
type testID struct{ pkg, test string }

func (t testID) String() string { return t.pkg + " " + t.test }

// result is what became of a test on a kernel.
type result struct {
	Passed bool
	// Try is at which try that was, of two.
	Try int
	// LeftOut is why it was not tried, Why why it did not pass.
	LeftOut, Why string `json:",omitempty"`
	// Revision is of which the test was.
	Revision string `json:",omitempty"`
}

// event is a line of test2json (go doc cmd/test2json), or the machine's last word.
type event struct {
	Action, Package, Test, Output string
}

// maxEvent bounds a line of what a machine says. A test's own lines are cut in pieces by
// then, for a console may bring anything.
const maxEvent = 1 << 20

// readResults reads what a machine said of tests. One of which nothing was said has not
// passed, nor has one that was skipped.
func readResults(r io.Reader, tests []string) (map[string]result, error) {
	out := map[string]result{}
	for _, t := range tests {
		out[t] = result{Why: "it did not report"}
	}
	said := map[string][]string{}
	ended := false
	lines := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := readLine(lines)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		var e event
		if json.Unmarshal(line, &e) == nil {
			ended = ended || e.Action == "machine"
			note(out, said, e)
		}
		if errors.Is(err, io.EOF) {
			break
		}
	}
	if !ended {
		for t, r := range out {
			if !r.Passed && r.Why == "it did not report" {
				out[t] = result{Why: "the machine ended before it reported"}
			}
		}
	}
	return out, nil
}

func note(out map[string]result, said map[string][]string, e event) {
	if e.Action == "machine" && e.Output != "" {
		for t, r := range out {
			if !r.Passed && r.Why == "it did not report" {
				out[t] = result{Why: "the machine failed: " + firstLine(e.Output)}
			}
		}
	}
	top, _, _ := strings.Cut(e.Test, "/")
	if _, asked := out[top]; !asked {
		return
	}
	switch {
	case e.Action == "output":
		if text := strings.TrimSpace(e.Output); text != "" && !strings.HasPrefix(text, "=== ") && !strings.HasPrefix(text, "--- ") && len(said[top]) < 3 {
			said[top] = append(said[top], text)
		}
	case e.Test != top:
	case e.Action == "pass":
		out[top] = result{Passed: true}
	case e.Action == "fail":
		out[top] = result{Why: "it failed: " + firstLine(strings.Join(said[top], "; "))}
	case e.Action == "skip":
		out[top] = result{Why: "it was skipped"}
	}
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	if len(s) > 300 {
		s = s[:300] + "…"
	}
	return s
}

// readLine reads a line; what goes beyond the bound is left out, and so is the line.
func readLine(r *bufio.Reader) ([]byte, error) {
	var out []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(out)+len(part) <= maxEvent {
			out = append(out, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return out, fmt.Errorf("read what the machine said: %w", err)
		}
		return out, err
	}
}
