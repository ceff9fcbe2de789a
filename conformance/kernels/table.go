package main

import (
	"fmt"
	"strings"
)

// column is a kernel with what became of the tests on it.
type column struct {
	kernel  kernel
	results map[testID]result
	// trouble is why not all was tried.
	trouble string
}

// failures counts the tests that did not pass and were not left out.
func (c *column) failures() int {
	n := 0
	for _, r := range c.results {
		if !r.Passed && r.LeftOut == "" {
			n++
		}
	}
	return n
}

func (c *column) cell(id testID, reasons *notes) string {
	r, known := c.results[id]
	switch {
	case !known:
		return "**not tried**"
	case r.LeftOut != "":
		return "left out " + reasons.mark(r.LeftOut)
	case r.Passed && r.Try > 1:
		return "passed, at the second try"
	case r.Passed:
		return "passed"
	}
	return "**failed** " + reasons.mark(r.Why)
}

// notes are reasons, by the number that the table names them with.
type notes struct{ list []string }

func (n *notes) mark(why string) string {
	for i, known := range n.list {
		if known == why {
			return fmt.Sprintf("(%d)", i+1)
		}
	}
	n.list = append(n.list, why)
	return fmt.Sprintf("(%d)", len(n.list))
}

// document is the table, with a summary of each kernel before it.
func document(s *selection, columns []column) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Kernels")
	line("")
	line("Written by `make kernel-matrix`, which boots each kernel in a machine that qemu emulates,")
	line("without the help of a processor, and runs there what [kernel-tests.txt](kernel-tests.txt)")
	line("and [kernels/tests.txt](kernels/tests.txt) name: [how](kernels/README.md). A test that did")
	line("not report has failed. An emulated processor is slow, so what fails is tried once more by")
	line("itself. Results may be of several runs, and then of several revisions.")
	line("")
	line("| kernel | Debian package | passed | at the second try | failed | left out | not tried | of revision |")
	line("| --- | --- | --- | --- | --- | --- | --- | --- |")
	for i := range columns {
		c := &columns[i]
		passed, second, left := 0, 0, 0
		for _, r := range c.results {
			switch {
			case r.LeftOut != "":
				left++
			case r.Passed && r.Try > 1:
				second++
			case r.Passed:
				passed++
			}
		}
		line("| %s | %s %s | %d | %d | %d | %d | %d | %s |", c.kernel, c.kernel.Deb, c.kernel.Version, passed, second, c.failures(), left,
			len(s.tests)-len(c.results), c.revisions())
	}
	for i := range columns {
		if c := &columns[i]; c.trouble != "" {
			line("")
			line("%s: %s", c.kernel, firstLine(c.trouble))
		}
	}
	reasons := &notes{}
	for _, pkg := range s.packages() {
		line("")
		line("## %s", strings.TrimPrefix(pkg, module))
		line("")
		for _, a := range s.given(pkg) {
			line("With `%s`: %s.", a.text, a.why)
			line("")
		}
		head, rule := "| test |", "| --- |"
		for i := range columns {
			head += " " + columns[i].kernel.String() + " |"
			rule += " --- |"
		}
		line("%s", head)
		line("%s", rule)
		for _, id := range s.of(pkg) {
			row := "| `" + id.test + "` |"
			for i := range columns {
				row += " " + columns[i].cell(id, reasons) + " |"
			}
			line("%s", row)
		}
	}
	if len(reasons.list) > 0 {
		line("")
		line("## Reasons")
		line("")
		for i, why := range reasons.list {
			line("%d. %s", i+1, strings.ReplaceAll(why, "|", "\\|"))
		}
	}
	return b.String()
}
