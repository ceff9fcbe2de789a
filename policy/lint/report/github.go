package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/sluice-net/sluice/policy/lint"
)

// GitHub writes a workflow command for each finding, by which it is shown at its
// line of a pull request.
// https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
func GitHub(w io.Writer, r lint.Result) error {
	out := bufio.NewWriter(w)
	for i := range r.Findings {
		f := &r.Findings[i]
		command := f.Severity.String()
		if f.Severity == lint.Note {
			command = "notice"
		}
		properties := ""
		if f.Place.File != "" {
			properties = "file=" + property.Replace(f.Place.File) + ","
			if f.Place.Line > 0 {
				properties += fmt.Sprintf("line=%d,", f.Place.Line)
			}
		}
		fmt.Fprintf(out, "::%s %stitle=%s::%s\n", command, properties, property.Replace("sluice lint: "+f.ID), data.Replace(about(f)+f.Message+"\n"+f.Mend))
	}
	return out.Flush()
}

// Commands end with their line, and properties at a comma or a colon.
var (
	data     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)
