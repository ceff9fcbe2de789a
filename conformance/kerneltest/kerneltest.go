// Package kerneltest leaves the tests that need root out of a run without it. Which ones
// they are, conformance/kernel-tests.txt says, and nothing else does: a test that is not
// named there runs, and fails if it cannot. Where root is there, nothing is left out, and
// make test fails unless each test of the list has passed.
package kerneltest

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// list is where the tests that need root are named, as seen from the module's root.
const list = "conformance/kernel-tests.txt"

// Run is for a TestMain: it runs the tests of a package, without root those that do
// without. It returns the code to exit with.
func Run(m *testing.M) int {
	if err := LeaveOut(os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "leave out what needs root:", err)
		return 1
	}
	return m.Run()
}

// LeaveOut has the run that follows leave out what needs root, if there is none, and
// says so.
func LeaveOut(out io.Writer) error {
	if os.Geteuid() == 0 {
		return nil
	}
	dir, err := os.Getwd() // go test runs in the package's directory
	if err != nil {
		return err
	}
	root, pkg, err := packageOf(dir)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(list)))
	if err != nil {
		return err
	}
	names := namesOf(string(data), pkg)
	if len(names) == 0 {
		return nil
	}
	if !flag.Parsed() {
		flag.Parse()
	}
	skip := flag.Lookup("test.skip")
	if skip == nil {
		return errors.New("the tests have no flag -test.skip")
	}
	fmt.Fprintf(out, "%s: %d tests need root and are left out: run them with \"sudo make test\"\n", pkg, len(names))
	return skip.Value.Set(pattern(skip.Value.String(), names))
}

// packageOf finds the module's root above a directory, and the directory's import path.
func packageOf(dir string) (root, pkg string, err error) {
	for root = dir; ; root = filepath.Dir(root) {
		data, err := os.ReadFile(filepath.Join(root, "go.mod"))
		if errors.Is(err, os.ErrNotExist) && filepath.Dir(root) != root {
			continue
		}
		if err != nil {
			return "", "", fmt.Errorf("find the module of %s: %w", dir, err)
		}
		module := moduleLine.FindSubmatch(data)
		if module == nil {
			return "", "", fmt.Errorf("find the module of %s: its go.mod names none", dir)
		}
		below, err := filepath.Rel(root, dir)
		return root, path.Join(string(module[1]), filepath.ToSlash(below)), err
	}
}

var moduleLine = regexp.MustCompile(`(?m)^module\s+(\S+)`)

// namesOf are the tests of a package that the list names.
func namesOf(text, pkg string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == pkg {
			out = append(out, fields[1])
		}
	}
	return out
}

// pattern leaves out what was asked to be left out, and these tests.
func pattern(asked string, names []string) string {
	out := "^(" + strings.Join(names, "|") + ")$"
	if asked != "" {
		out = asked + "|" + out
	}
	return out
}
