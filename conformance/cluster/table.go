package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// table writes results in Markdown: the tests of one run, or of runs on several
// clusters side by side.
func table(out io.Writer, reports []*Report) {
	fmt.Fprintf(out, "# Conformance\n\n")
	for _, line := range conditions(reports) {
		fmt.Fprintf(out, "- %s\n", line)
	}
	fmt.Fprintf(out, "\nUpstream's Netpol tests, and ours of what these leave out, run by run:\n\n")
	fmt.Fprintf(out, "| CNI | kube-proxy | addresses | passed | failed | skipped | seconds | at a time | ours passed | ours failed |\n")
	fmt.Fprintf(out, "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, r := range reports {
		f := &r.Facts
		fmt.Fprintf(out, "| %s | %s | %s | %d | %d | %d | %.0f | %d | %s |\n", f.About.attachment(), f.About.Proxy, f.About.IP,
			r.passed(), len(r.failed()), r.skipped(), f.Seconds, f.Processes, r.ours())
	}
	reasons := map[string]bool{}
	for _, r := range reports {
		for _, t := range r.Tests {
			if t.Skip != "" {
				reasons[t.Skip] = true
			}
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		fmt.Fprintf(out, "\nSkipped: %s.\n", reason)
	}

	fmt.Fprintf(out, "\n## Upstream's tests\n\nVerdict, and the seconds of each run:\n\n")
	sideBySide(out, reports, func(r *Report) []Test { return r.Tests })
	if slices.ContainsFunc(reports, func(r *Report) bool { return r.Beyond != nil }) {
		fmt.Fprintf(out, "\n## Our own tests\n\nVerdict and seconds; [what they ask](cluster/beyond/doc.go):\n\n")
		sideBySide(out, reports, func(r *Report) []Test { return r.Beyond })
	}
}

// ours is how many of our own tests passed and failed; nothing where they did
// not run.
func (r *Report) ours() string {
	if r.Beyond == nil {
		return " | "
	}
	passed := 0
	for _, t := range r.Beyond {
		if t.State == passedState {
			passed++
		}
	}
	return fmt.Sprintf("%d | %d", passed, len(r.Beyond)-passed)
}

// sideBySide has a column for each combination, whose runs share it.
func sideBySide(out io.Writer, reports []*Report, of func(*Report) []Test) {
	var columns []string
	runs, names := map[string][][]Test{}, map[string]bool{}
	for _, r := range reports {
		tests, column := of(r), strings.ReplaceAll(r.Facts.About.String(), "-", " ")
		if !slices.Contains(columns, column) {
			columns = append(columns, column)
		}
		runs[column] = append(runs[column], tests)
		for _, t := range tests {
			names[t.Name] = true
		}
	}
	fmt.Fprintf(out, "| test | %s |\n| --- |%s\n", strings.Join(columns, " | "), strings.Repeat(" ---: |", len(columns)))
	for _, name := range slices.Sorted(maps.Keys(names)) {
		fmt.Fprintf(out, "| %s |", cell(short(name)))
		for _, column := range columns {
			fmt.Fprintf(out, " %s |", cell(verdict(runs[column], name)))
		}
		fmt.Fprintln(out)
	}
}

// verdict is what runs say of a test. A state is said where it changes.
func verdict(runs [][]Test, name string) string {
	var words []string
	state := ""
	for _, tests := range runs {
		i := slices.IndexFunc(tests, func(t Test) bool { return t.Name == name })
		if i < 0 {
			continue
		}
		t := tests[i]
		if t.State != state {
			state = t.State
			words = append(words, state)
		}
		if t.Skip == "" {
			words = append(words, fmt.Sprintf("%.1f", t.Seconds))
		}
	}
	return strings.Join(words, " ")
}

// conditions are the facts that the runs share, each once.
func conditions(reports []*Report) []string {
	var lines []string
	for _, r := range reports {
		for _, line := range r.Facts.lines() {
			if !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// short leaves out of a name what all of them have.
func short(name string) string {
	name = strings.TrimPrefix(name, "[sig-network] ")
	return strings.TrimSuffix(name, " [Feature:NetworkPolicy]")
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// tableOf writes the table of all runs whose results are in a directory, in the
// order of their paths.
func tableOf(dir string, out io.Writer) error {
	var reports []*Report
	files := os.DirFS(dir)
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "run.json" {
			return err
		}
		data, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		r := &Report{}
		if err := json.Unmarshal(data, r); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		reports = append(reports, r)
		r.Beyond, err = readBeyond(filepath.Join(dir, filepath.Dir(path), "beyond.json"))
		return err
	})
	if err != nil {
		return err
	}
	if len(reports) == 0 {
		return errors.New("there are no results in " + dir)
	}
	table(out, reports)
	return nil
}

// write saves a run's results beside ginkgo's own.
func (r *Report) write(dir string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "run.json"), data, 0o644); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "results.md"))
	if err != nil {
		return err
	}
	table(f, []*Report{r})
	return f.Close()
}
