package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// table writes results in Markdown: the tests of one run, or of runs on several
// clusters side by side.
func table(out io.Writer, reports []*Report) {
	fmt.Fprintf(out, "# Upstream Netpol tests\n\n")
	for _, line := range conditions(reports) {
		fmt.Fprintf(out, "- %s\n", line)
	}
	fmt.Fprintf(out, "\n| CNI | kube-proxy | addresses | passed | failed | skipped | seconds | at a time |\n| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |\n")
	for _, r := range reports {
		f := &r.Facts
		fmt.Fprintf(out, "| %s | %s | %s | %d | %d | %d | %.0f | %d |\n", f.About.CNI, f.About.Proxy, f.About.IP,
			r.passed(), len(r.failed()), r.skipped(), f.Seconds, f.Processes)
	}

	fmt.Fprintf(out, "\nVerdict and seconds of each test:\n\n| test |")
	names, reasons := map[string]bool{}, map[string]bool{}
	for _, r := range reports {
		fmt.Fprintf(out, " %s |", strings.ReplaceAll(r.Facts.About.String(), "-", " "))
		for _, t := range r.Tests {
			names[t.Name] = true
			if t.Skip != "" {
				reasons[t.Skip] = true
			}
		}
	}
	fmt.Fprintf(out, "\n| --- |%s\n", strings.Repeat(" ---: |", len(reports)))
	for _, name := range slices.Sorted(maps.Keys(names)) {
		fmt.Fprintf(out, "| %s |", cell(short(name)))
		for _, r := range reports {
			fmt.Fprintf(out, " %s |", cell(r.verdict(name)))
		}
		fmt.Fprintln(out)
	}
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		fmt.Fprintf(out, "\nskipped: %s.\n", reason)
	}
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

func (r *Report) verdict(name string) string {
	for _, t := range r.Tests {
		switch {
		case t.Name != name:
		case t.Skip != "":
			return "skipped"
		default:
			return fmt.Sprintf("%s %.1f", t.State, t.Seconds)
		}
	}
	return ""
}

// short leaves out of a name what all of them have.
func short(name string) string {
	name = strings.TrimPrefix(name, "[sig-network] ")
	return strings.TrimSuffix(name, " [Feature:NetworkPolicy]")
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// tableOf writes the table of all runs whose results are in a directory.
func tableOf(dir string, out io.Writer) error {
	paths, err := filepath.Glob(filepath.Join(dir, "*", "run.json"))
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return errors.New("there are no results in " + dir)
	}
	var reports []*Report
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		r := &Report{}
		if err := json.Unmarshal(data, r); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		reports = append(reports, r)
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
