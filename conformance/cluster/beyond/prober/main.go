// Command prober sends and answers packets inside a Pod, as the tests tell it
// on its standard input, or as "prober REQUEST SECONDS". They put it into Pods
// themselves; see package beyond.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/sluice-net/sluice/conformance/cluster/beyond/probe"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "prober:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return probe.Serve(os.Stdin, os.Stdout)
	}
	limit, err := time.ParseDuration(args[1] + "s")
	if err != nil {
		return err
	}
	return probe.Once(args[0], limit, os.Stdout)
}
