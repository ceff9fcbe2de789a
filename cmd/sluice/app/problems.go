package app

import (
	"fmt"
	"io"

	"github.com/sluice-net/sluice/policy/manifest"
)

// reportProblems prints what is wrong with the input, and says whether any of it is an
// error.
func reportProblems(w io.Writer, problems []manifest.Problem) (bad bool) {
	for _, p := range problems {
		if p.Notice {
			fmt.Fprintln(w, p)
			continue
		}
		bad = true
		fmt.Fprintf(w, "error: %s\n", p)
	}
	return bad
}
