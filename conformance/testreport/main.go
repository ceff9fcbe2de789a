// Command testreport reads the output of "go test -json" and prints what a
// person wants of it: failures in full, then go test's own closing lines.
//
// It is stricter than go test: it also fails when a test was skipped, and when
// a test named in the -require file did not pass. The kernel tests are named
// there, so that a run which left them out, for whatever reason, is red. Where there is
// no root they are left out on purpose: then -left-out says how many there are and how
// to run them, and the run is as green as what it tested.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	require := flag.String("require", "", "`file` that names tests which must pass: a package and a test on each line")
	leftOut := flag.String("left-out", "", "`file` that names tests which this run leaves out, in the same form")
	flag.Parse()
	if err := run(*require, *leftOut, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(1)
	}
}
