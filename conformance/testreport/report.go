package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// event is a line of "go test -json" (go doc cmd/test2json).
type event struct {
	Action, Package, Test, Output string
}

// testID names a test of a package.
type testID struct{ pkg, test string }

func (t testID) String() string { return t.pkg + " " + t.test }

// report is what the events said so far.
type report struct {
	out io.Writer
	// output is what a test printed, kept until it is known to have failed.
	output map[testID][]string
	// open are packages that started and have not ended.
	open map[string]bool
	// passed holds top-level tests only: these are what -require names.
	passed                   map[testID]bool
	skipped                  []testID
	passCount, failCount     int
	failedPackages, packages int
}

// run reports on the events in r, and says in its error why the run is red.
func run(requireFile, leftOutFile string, in io.Reader, out io.Writer) error {
	required, err := readTests(requireFile)
	if err != nil {
		return err
	}
	leftOut, err := readTests(leftOutFile)
	if err != nil {
		return err
	}
	r := &report{out: out, output: map[testID][]string{}, open: map[string]bool{}, passed: map[testID]bool{}}
	if err := r.read(in); err != nil {
		return err
	}
	return errors.Join(r.finish(required), r.sayLeftOut(leftOut))
}

// readTests reads the names of tests, none if no file is given.
func readTests(file string) ([]testID, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the names of tests: %w", err)
	}
	var ids []testID
	for i, line := range strings.Split(string(data), "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) != 2 {
			return nil, fmt.Errorf("%s:%d: want a package and a test, got %q", file, i+1, line)
		}
		ids = append(ids, testID{fields[0], fields[1]})
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("%s names no test", file)
	}
	return ids, nil
}

func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				// go prints its own errors as plain text.
				fmt.Fprint(r.out, string(line))
			} else {
				r.add(e)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the test output: %w", err)
		}
	}
}

func (r *report) add(e event) {
	id := testID{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "start":
		r.open[e.Package] = true
		r.packages++
	case "output":
		r.print(id, e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(e)
		} else {
			r.endTest(id, e.Action)
		}
	}
}

// print keeps the output of a test, and passes on that of a package, which is
// its closing line or, when it crashed, the reason.
func (r *report) print(id testID, output string) {
	if id.test != "" {
		r.output[id] = append(r.output[id], output)
		return
	}
	if output != "PASS\n" && output != "FAIL\n" && !strings.HasPrefix(output, "?   ") {
		fmt.Fprint(r.out, output)
	}
}

func (r *report) endTest(id testID, action string) {
	switch action {
	case "pass":
		r.passCount++
		if !strings.Contains(id.test, "/") {
			r.passed[id] = true
		}
	case "fail":
		r.failCount++
		r.replay(id)
	case "skip":
		r.skipped = append(r.skipped, id)
		r.replay(id)
	}
	delete(r.output, id)
}

func (r *report) replay(id testID) {
	for _, o := range r.output[id] {
		if !strings.HasPrefix(o, "=== ") {
			fmt.Fprint(r.out, o)
		}
	}
}

// endPackage also shows the tests that never ended: the package crashed or ran
// out of time in them.
func (r *report) endPackage(e event) {
	delete(r.open, e.Package)
	if e.Action != "fail" {
		return
	}
	r.failedPackages++
	for _, id := range r.unfinished(e.Package) {
		fmt.Fprintf(r.out, "--- UNFINISHED: %s\n", id)
		r.replay(id)
		delete(r.output, id)
	}
}

func (r *report) unfinished(pkg string) []testID {
	var ids []testID
	for id := range r.output {
		if id.pkg == pkg {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b testID) int { return strings.Compare(a.test, b.test) })
	return ids
}

func (r *report) finish(required []testID) error {
	var why []error
	if r.failCount > 0 || r.failedPackages > 0 {
		why = append(why, fmt.Errorf("%d tests failed in %d packages", r.failCount, r.failedPackages))
	}
	if r.packages == 0 {
		why = append(why, errors.New("no package was tested"))
	}
	for pkg := range r.open {
		why = append(why, fmt.Errorf("%s started and never ended", pkg))
	}
	for _, id := range r.skipped {
		why = append(why, fmt.Errorf("%s was skipped: a test runs or fails", id))
	}
	ran := 0
	for _, id := range required {
		if r.passed[id] {
			ran++
			continue
		}
		why = append(why, fmt.Errorf("%s is required and did not pass", id))
	}
	if len(required) > 0 {
		fmt.Fprintf(r.out, "kernel tests: %d of %d passed\n", ran, len(required))
	}
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n", r.passCount, r.failCount, len(r.skipped))
	return errors.Join(why...)
}

// sayLeftOut says plainly what the run did not test. One that tested some of it all the
// same had root after all, or a test needs none and is in the list without need.
func (r *report) sayLeftOut(tests []testID) error {
	if len(tests) == 0 {
		return nil
	}
	var passed []testID
	packages := map[string]bool{}
	for _, id := range tests {
		packages[id.pkg] = true
		if r.passed[id] {
			passed = append(passed, id)
		}
	}
	fmt.Fprintf(r.out, "LEFT OUT: %d tests of %d packages, which send packets or change nftables and need root: sudo make test\n", len(tests)-len(passed), len(packages))
	if len(passed) > 0 {
		return fmt.Errorf("%d tests passed that were to be left out, such as %s", len(passed), passed[0])
	}
	return nil
}
