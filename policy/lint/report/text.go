package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/sluice-net/sluice/policy/lint"
)

// Text writes a finding as two lines: what is, with its place first as compilers
// have it, and what to do. A summary is last.
func Text(w io.Writer, r lint.Result) error {
	out := bufio.NewWriter(w)
	for i := range r.Findings {
		f := &r.Findings[i]
		fmt.Fprintf(out, "%s\n    %s [%s]\n", sentence(f), f.Mend, f.ID)
	}
	fmt.Fprintln(out, Summary(r))
	return out.Flush()
}

// sentence is a finding in one line, without what to do.
func sentence(f *lint.Finding) string {
	var b strings.Builder
	if at := f.Place.String(); at != "" {
		b.WriteString(at + ": ")
	}
	b.WriteString(f.Severity.String() + ": " + about(f) + f.Message)
	return b.String()
}

// about is the object and the field.
func about(f *lint.Finding) string {
	out := ""
	if o := f.Object.String(); o != "" {
		out = o + ": "
	}
	if f.Field != "" {
		out += f.Field + ": "
	}
	return out
}

// Summary is one line that counts.
func Summary(r lint.Result) string {
	counted := fmt.Sprintf("%s, %s", count(r.Objects.Policies, "policy", "policies"), count(r.Objects.Workloads, "workload", "workloads"))
	found := "no findings"
	if len(r.Findings) > 0 {
		var parts []string
		for s := lint.Error; ; s-- {
			if n := r.Count(s); n > 0 {
				parts = append(parts, count(n, s.String(), s.String()+"s"))
			}
			if s == lint.Note {
				break
			}
		}
		found = strings.Join(parts, ", ")
	}
	if n := len(r.Silenced); n > 0 {
		found += fmt.Sprintf("; %d silenced", n)
	}
	return counted + ": " + found
}

func count(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}
