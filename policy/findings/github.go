package findings

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// GitHub writes a workflow command for each finding, by which it is shown at its
// line of a pull request.
// https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
func GitHub(w io.Writer, r Result) error {
	out := bufio.NewWriter(w)
	for i := range r.Findings {
		f := &r.Findings[i]
		command := f.Level
		if f.Level == Note {
			command = "notice"
		}
		properties := ""
		if f.File != "" {
			properties = "file=" + property.Replace(f.File) + ","
			if f.Line > 0 {
				properties += fmt.Sprintf("line=%d,", f.Line)
			}
		}
		fmt.Fprintf(out, "::%s %stitle=%s::%s\n", command, properties, property.Replace("sluice "+r.Tool+": "+f.ID), data.Replace(strings.TrimSuffix(f.about()+f.Message+"\n"+f.Mend, "\n")))
	}
	return out.Flush()
}

// Commands end with their line, and properties at a comma or a colon.
var (
	data     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)
