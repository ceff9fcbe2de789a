// Command prober sends and answers packets inside a Pod, as the tests tell it
// on its standard input. They put it into Pods themselves; see package beyond.
package main

import (
	"fmt"
	"os"

	"github.com/sluice-net/sluice/conformance/cluster/beyond/probe"
)

func main() {
	if err := probe.Serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "prober:", err)
		os.Exit(1)
	}
}
