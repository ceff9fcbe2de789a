package document

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-net/sluice/conformance/bench/figures"
)

// The summary stands between these lines of a text.
const (
	summaryBegins = "<!-- Figures: make bench-report writes them. -->\n"
	summaryEnds   = "<!-- End of the figures. -->\n"
)

// Summarized is the text with the summary of a run in its place. The links lead
// to the report at path.
func Summarized(text []byte, run *figures.Run, path string) ([]byte, error) {
	before, rest, begins := bytes.Cut(text, []byte(summaryBegins))
	_, after, ends := bytes.Cut(rest, []byte(summaryEnds))
	if !begins || !ends {
		return nil, errors.New("it has no place for the figures")
	}
	return bytes.Join([][]byte{before, []byte(summaryBegins), summary(run, path), []byte(summaryEnds), after}, nil), nil
}

// summary is the claims that were measured as a short table, each with a link
// to its line in the report. A quick run is not quoted.
func summary(run *figures.Run, path string) []byte {
	r := &report{run: run}
	var rows [][]string
	for _, c := range r.all() {
		if c.verdict == unknown {
			continue
		}
		value := c.figure
		if at := strings.LastIndex(value, " ("); at > 0 && strings.HasSuffix(value, ")") {
			value = value[:at] // under what it was worst is in the report
		}
		figure := fmt.Sprintf("[%s](%s#claim-%s)", value, path, c.anchor)
		if c.verdict == missed {
			figure += ", short of the target"
		}
		rows = append(rows, []string{c.short, figure})
	}
	if len(rows) == 0 || run.Quick {
		return nil
	}
	r.printf("| what | figure |\n| --- | --- |")
	for _, row := range rows {
		r.printf("| %s |", strings.Join(row, " | "))
	}
	return r.text.Bytes()
}
