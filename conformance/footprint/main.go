// Command footprint measures what an agent costs a node and an API server:
// memory, bytes read at the start, and bytes an hour of changes.
//
//	footprint -programs DIR -sluice bin/sluice -pods 10000,50000,150000
//
// It starts etcd and kube-apiserver out of DIR on 127.0.0.1, fills them with a
// cluster of package scale, runs the real agent in a network namespace of its
// own, and prints one line of JSON for each number of Pods. It needs root.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type options struct {
	programs, sluice string
	pods             []int
	bare, simple     bool
	local            int
	replaced         float64
	churn, rest      time.Duration
	keep             bool
	// log says what is not part of the result.
	log func(string)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "footprint:", err)
		os.Exit(1)
	}
}

func run() error {
	o := options{log: func(s string) { fmt.Fprintln(os.Stderr, s) }}
	var pods string
	flag.StringVar(&o.programs, "programs", "", "`directory` of etcd and kube-apiserver")
	flag.StringVar(&o.sluice, "sluice", "bin/sluice", "the `program` to measure")
	flag.StringVar(&pods, "pods", "10000,50000,150000", "`numbers` of Pods")
	flag.BoolVar(&o.bare, "bare", false, "Pods without containerStatuses, as simulations without a runtime have them")
	flag.BoolVar(&o.simple, "simple", false, "Pods with what policies are about and nothing else, as most simulations have them")
	flag.IntVar(&o.local, "local", 100, "`number` of Pods on the agent's node")
	flag.Float64Var(&o.replaced, "replaced", 10, "Pods replaced a second while changes are measured")
	flag.DurationVar(&o.churn, "churn", 30*time.Second, "how long changes are measured")
	flag.DurationVar(&o.rest, "rest", 20*time.Second, "how long the agent rests before its memory is read")
	flag.BoolVar(&o.keep, "keep", false, "leave logs and data behind, and say where")
	flag.Parse()
	for text := range strings.SplitSeq(pods, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return fmt.Errorf("-pods: %q is no number of Pods", text)
		}
		o.pods = append(o.pods, n)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	out := json.NewEncoder(os.Stdout)
	for _, n := range o.pods {
		result, err := o.measure(ctx, n)
		if err != nil {
			return fmt.Errorf("%d Pods: %w", n, err)
		}
		if err := out.Encode(result); err != nil {
			return err
		}
	}
	return nil
}
