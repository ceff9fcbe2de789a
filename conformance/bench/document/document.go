// Package document makes the report out of the figures of a run, and of nothing
// else: Markdown, and a picture for each chart.
package document

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/conformance/bench/figures"
	"github.com/sluice-net/sluice/conformance/bench/plot"
)

// Names of parts and files.
const (
	Packet   = "packet"
	Watching = "watching"
	Control  = "control"
	Memory   = "memory"
	Analysis = "analysis"

	page = "README.md"
)

// Files are the report's by name.
type Files map[string][]byte

// Make makes the report.
func Make(run *figures.Run) (Files, error) {
	r := &report{run: run, files: Files{}}
	r.head()
	r.claims()
	r.missing()
	r.packet()
	r.watching()
	r.control()
	r.memory()
	r.analysis()
	r.raw()
	r.files[page] = r.text.Bytes()
	return r.files, r.err
}

// Write writes the report into a directory. Pictures that are no longer part
// of it go.
func Write(dir string, files Files) error {
	old, err := filepath.Glob(filepath.Join(dir, "*.svg"))
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	for _, path := range old {
		if files[filepath.Base(path)] == nil {
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("write report: %w", err)
			}
		}
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	return nil
}

// report is one while it is made.
type report struct {
	run   *figures.Run
	text  bytes.Buffer
	files Files
	err   error
}

func (r *report) printf(format string, args ...any) { fmt.Fprintf(&r.text, format+"\n", args...) }

// section begins a part. Its anchor does not change with its heading.
func (r *report) section(anchor, heading string) {
	r.printf("\n<a id=%q></a>\n\n## %s\n", anchor, heading)
}

// paragraph wraps nothing: text is written as it is to be read in the source.
func (r *report) paragraph(text string) { r.printf("%s\n", strings.TrimSpace(text)) }

// chart adds a picture, unless it would be empty.
func (r *report) chart(name string, c *plot.Chart) {
	c.Series = slices.DeleteFunc(c.Series, func(s plot.Series) bool { return len(s.Points) == 0 })
	if len(c.Series) == 0 {
		return
	}
	var out bytes.Buffer
	if err := c.Write(&out); err != nil {
		r.err = err
		return
	}
	r.files[name] = out.Bytes()
	r.printf("![%s](%s)\n", c.Title, name)
}

func (r *report) head() {
	m := r.run.Machine
	r.printf("# Figures\n")
	r.paragraph(`
Made by ` + "`make bench-report`" + ` on one machine. What is compared was measured in turns,
round by round, so that whatever else the machine did fell on all of it alike; a part may
be of another run than the others ([which](#raw)). Figures are medians; the spread is the median distance from the median (±),
or the interval in which 95 of 100 resamplings of the rounds fall (in brackets).
Absolute figures depend on the machine; the claims are about ratios within this run.`)
	r.printf("| | |\n| --- | --- |")
	for _, row := range [][2]string{
		{"Machine", fmt.Sprintf("%s, %d cores, %s MiB", m.CPU, m.Cores, whole(float64(m.Memory)))},
		{"Kernel", m.Kernel}, {"nft", m.NFT}, {"Go", m.Go}, {"Sluice", m.Revision},
		{"Measured", fmt.Sprintf("%s, in %s", r.run.Started.UTC().Format("2006-01-02 15:04 UTC"), duration(r.run.Took))},
		{"Load of the machine", fmt.Sprintf("%s before, %s after (one minute's average)", digits(m.LoadBefore), digits(m.LoadAfter))},
	} {
		r.printf("| %s | %s |", row[0], row[1])
	}
	r.printf("")
	if r.run.Quick {
		r.paragraph("**This was a quick run: it shows that everything can be measured, and is not to be quoted.**")
	}
}

// parts are all parts with what they are called.
var parts = [][2]string{{Packet, "Packet path"}, {Watching, "Watching"}, {Control, "Control path"}, {Memory, "Memory and API load"}, {Analysis, "Analysis"}}

// missing has a line for all that is not there.
func (r *report) missing() {
	r.section("missing", "What is missing")
	none := true
	for _, p := range parts {
		if !slices.ContainsFunc(r.run.Parts, func(q figures.Part) bool { return q.Name == p[0] }) {
			r.printf("- %s: was not asked for in this run", p[1])
			none = false
		}
	}
	for _, m := range r.run.Missing {
		r.printf("- %s, %s: could not be measured: %s", title(m.Part), m.What, strings.ReplaceAll(m.Why, "\n", "; "))
		none = false
	}
	if none {
		r.printf("Nothing: every part ran to its end.")
	}
}

func title(part string) string {
	for _, p := range parts {
		if p[0] == part {
			return p[1]
		}
	}
	return part
}

// ran reports whether a part has figures, and says so where it has none.
func (r *report) ran(part string) bool {
	if len(r.run.Of(part, "")) > 0 {
		return true
	}
	r.paragraph("Not measured in this run: see [what is missing](#missing).")
	return false
}

// of says which revision a part is of, and when it was measured if that was in another run.
func (r *report) of(p figures.Part) string {
	if p.Revision == "" {
		return r.run.Machine.Revision
	}
	return p.Revision + ", " + p.Started.UTC().Format("2006-01-02 15:04 UTC")
}

func (r *report) raw() {
	r.section("raw", "The raw data")
	r.paragraph(`
[data.jsonl](data.jsonl) has every sample, a figure on each line, in the order in
which they were taken. ` + "`go run ./conformance/bench render`" + ` makes this page and its
pictures anew from it.`)
	r.printf("| part | figures | samples | took | of |\n| --- | ---: | ---: | ---: | --- |")
	for _, p := range r.run.Parts {
		count, samples := 0, 0
		for _, f := range r.run.Of(p.Name, "") {
			count++
			samples += len(f.Samples)
		}
		r.printf("| %s | %s | %s | %s | %s |", title(p.Name), whole(float64(count)), whole(float64(samples)), duration(p.Took), r.of(p))
	}
}
