package app

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-net/sluice/cmd/sluice/app/agents"
	"github.com/sluice-net/sluice/enforcer/denials/observe"
)

// followAllowed prints flows that pass, until it is stopped.
func (o *ObserveOptions) followAllowed(ctx context.Context, fleet *agents.Fleet) error {
	query := o.query
	query.Reasons, query.Last, query.Tail = nil, 0, 0
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	arrived, ended := make(chan passed, 1000), make(chan []agents.Failure, 1)
	go func() { ended <- followFlows(ctx, fleet, query, arrived) }()
	p := observe.NewPrinter(o.Out, o.options())
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		var err error
		select {
		case now := <-tick.C:
			err = p.Tick(now)
		case f, more := <-arrived:
			if !more {
				return o.stopped(fleet, p.Tick(time.Now()), <-ended)
			}
			err = o.printPassed(p, f)
		}
		if err != nil {
			cancel()
			for range arrived { // its writers end when they see it
			}
			<-ended
			return err
		}
	}
}

func (o *ObserveOptions) printPassed(p *observe.Printer, f passed) error {
	switch {
	case f.trouble != nil:
		fmt.Fprintf(o.ErrOut, "error: %s; it is tried again\n", f.trouble.Error())
	case o.output == "json":
		if _, err := fmt.Fprintf(o.Out, "%s\n", f.line); err != nil {
			return fmt.Errorf("write flows: %w", err)
		}
	case f.flow != nil:
		return p.Denial(f.flow, time.Now())
	default:
		return p.Missed(f.missed)
	}
	return nil
}
