package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// status says what is up. It fails if that is not a whole cluster.
func status(ctx context.Context, out io.Writer) error {
	c, err := load()
	if err != nil {
		return err
	}
	if c == nil {
		return errors.New("there is no cluster")
	}
	fmt.Fprintf(out, "%s, %d nodes, programs from %s\n", &c.Options, c.Options.Nodes, c.Programs)
	for _, m := range c.Machines {
		state := fmt.Sprintf("process %d", m.PID)
		if !m.alive() {
			state = "not running"
		}
		fmt.Fprintf(out, "%-16s %s\n", m.Name, state)
	}
	if !c.whole() {
		return errors.New("the cluster is not whole: make cluster-up starts it anew")
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for _, args := range [][]string{
		{"get", "nodes", "--output=wide"},
		{"get", "daemonsets", "--all-namespaces"},
	} {
		text, err := c.kubectl(ctx, nil, args...)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "\n%s", text)
	}
	return nil
}
