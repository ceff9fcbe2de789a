package app

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/cmd/sluice/app/agents"
	"github.com/sluice-net/sluice/enforcer/denials"
	"github.com/sluice-net/sluice/enforcer/denials/observe"
)

// ObserveOptions shows what was denied and why.
type ObserveOptions struct {
	IOStreams
	agentFlags
	query  denials.Query
	output string
	node   string
	// allowed: flows that pass, instead of denials; lasting is when to stop, 0: never.
	allowed bool
	lasting time.Duration
}

func newObserveCommand(streams IOStreams) *cobra.Command {
	o := &ObserveOptions{IOStreams: streams}
	cmd := &cobra.Command{
		Use:   "observe",
		Short: "Show what policies denied on all nodes, with both Pods and the reason",
		Long: `Observe asks all agents for the denials that they remember, and shows them in the
order of their time, grouped: a line for all denials between the same workloads, to
the same port, for the same reason. With -f it goes on with what comes; a group that
goes on is told of now and then, and a terminal gets a bounded number of lines a
second. -o json has every denial, one a line.

With --allowed it follows the flows that pass instead, those included that are there
when it begins. Agents read connections only meanwhile, a notice of the kernel for
each new one, and keep none.

--pod, --from and --to take a Pod (web, shop/web, web-*), a workload (deploy/web,
sts/shop/db), a namespace (ns/shop), an address or a block, a node (node/worker-1),
or "outside", which is also "internet". A denial tells no Services and no labels:
these are refused.

` + agentsHelp + `

Exit codes:
  0  all nodes answered
  1  some did not: they are named, and what the others said is shown
  2  unusable flags, or no agent can be asked: none is found, or none answers`,
		Example: `  sluice observe -n shop --last 10m
  sluice observe -f --pod deploy/web -n shop
  sluice observe --from ns/shop --to outside --reason Policy -o wide
  sluice observe -f -o json > denials.jsonl
  sluice observe -n shop --allowed --for 1h -o json > flows.jsonl`,
		Args:    cobra.NoArgs,
		PreRunE: check(o),
		RunE:    run(o),
	}
	o.add(cmd.Flags())
	flags := cmd.Flags()
	o.addColour(flags)
	flags.Lookup("namespace").Usage = "denials with a Pod of this namespace at an end (default: all)"
	flags.BoolVarP(&o.query.Follow, "follow", "f", false, "go on with what comes")
	flags.StringVar(&o.query.Pod, "pod", "", "denials with this Pod, or what is written so, at an end")
	flags.StringVar(&o.query.From, "from", "", "denials of what this end opened")
	flags.StringVar(&o.query.To, "to", "", "denials of what was for this end")
	flags.StringSliceVar(&o.query.Reasons, "reason", nil, "denials for these reasons, such as Policy or Guard")
	flags.DurationVar(&o.query.Last, "last", 0, "how far back to look (default: to where the agents remember)")
	flags.IntVar(&o.query.Tail, "tail", 0, "at most so many of the latest of each node (default: all)")
	flags.StringVar(&o.node, "node", "", "denials that this node told of")
	flags.BoolVar(&o.allowed, "allowed", false, "follow the flows that pass, instead of denials")
	flags.DurationVar(&o.lasting, "for", 0, "with -f or --allowed: stop after so long (default: when it is interrupted)")
	flags.StringVarP(&o.output, "output", "o", "text", "text, wide or json")
	return cmd
}

// Complete has the namespace mean what it says: none is all.
func (o *ObserveOptions) Complete(*cobra.Command, []string) error {
	o.query.Namespace = o.namespace
	return nil
}

// Validate refuses what agents would refuse.
func (o *ObserveOptions) Validate() error {
	errs := []error{o.validate(), oneOf("output", o.output, "text", "wide", "json")}
	if _, err := o.query.Filter(time.Time{}); err != nil {
		errs = append(errs, fmt.Errorf("--%w", err))
	}
	if o.lasting < 0 || o.lasting > 0 && !o.query.Follow && !o.allowed {
		errs = append(errs, errors.New("--for: says how long to follow: give a time above 0, and -f or --allowed"))
	}
	if o.allowed && (len(o.query.Reasons) > 0 || o.query.Last > 0 || o.query.Tail > 0) {
		errs = append(errs, errors.New("--allowed: flows that pass have no reason, and agents keep none: leave out --reason, --last and --tail"))
	}
	return errors.Join(errs...)
}

func (o *ObserveOptions) options() observe.Options {
	return observe.Options{Format: observe.Format(o.output), Colour: o.palette().on, Location: time.Local}
}

// Run asks and prints.
func (o *ObserveOptions) Run(ctx context.Context) error {
	c, err := o.connect(ctx)
	if err != nil {
		return err
	}
	defer c.fleet.Close()
	if o.node != "" {
		if err := c.fleet.Only(o.node); err != nil {
			return unusable(err)
		}
	}
	if c.fleet.WithoutErr != nil {
		fmt.Fprintf(o.ErrOut, "notice: whether there are nodes without an agent is not known: %v\n", c.fleet.WithoutErr)
	}
	if o.lasting > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.lasting)
		defer cancel()
	}
	if o.allowed {
		return o.followAllowed(ctx, c.fleet)
	}
	s := newDenialStream(c.fleet, o.query)
	if o.query.Follow {
		return o.follow(ctx, s)
	}
	return o.show(ctx, s)
}

// mostShown bounds the denials that are held to be sorted, of all nodes together.
const mostShown = 200_000

// show prints what the agents remember.
func (o *ObserveOptions) show(ctx context.Context, s *denialStream) error {
	var list []*denials.Denial
	var missed uint64
	failures := s.read(ctx, func(d *denials.Denial, n uint64) {
		missed += n
		switch {
		case d == nil:
		case len(list) == mostShown:
			missed++
		default:
			list = append(list, d)
		}
	})
	slices.SortStableFunc(list, inTime)
	if err := o.write(list, missed); err != nil {
		return err
	}
	nodes := len(s.fleet.Agents) + len(s.fleet.Without)
	switch {
	case o.output == "json" || len(list) > 0 || len(failures) == nodes:
		// Where nobody has told all, there may be some.
	case len(failures) > 0:
		fmt.Fprintln(o.ErrOut, "No denials are remembered by the nodes that answered.")
	default:
		fmt.Fprintln(o.ErrOut, "No denials are remembered.")
	}
	return answered(o.ErrOut, s.fleet, failures)
}

func inTime(a, b *denials.Denial) int {
	return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Node, b.Node))
}

func (o *ObserveOptions) write(list []*denials.Denial, missed uint64) error {
	options := o.options()
	if options.Format == observe.JSON {
		p := observe.NewPrinter(o.Out, options)
		for _, d := range list {
			if err := p.Denial(d, d.Time); err != nil {
				return err
			}
		}
		if missed > 0 {
			return p.Missed(missed)
		}
		return nil
	}
	var b bytes.Buffer
	if len(list) > 0 {
		b.WriteString(options.Table(observe.Grouped(list)))
	}
	if _, err := o.Out.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write denials: %w", err)
	}
	if missed > 0 {
		fmt.Fprintf(o.ErrOut, "notice: %d denials are missing: narrow it down with -n, --pod, --reason or --last\n", missed)
	}
	return nil
}

const (
	// sortWithin is how long a denial is held for those of other nodes before it.
	sortWithin = 250 * time.Millisecond
	// mostHeld bounds what is held.
	mostHeld = 10_000
)

// follow prints what comes, until it is stopped.
func (o *ObserveOptions) follow(ctx context.Context, s *denialStream) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	arrived := make(chan told, 1000)
	ended := make(chan []agents.Failure, 1)
	go func() {
		ended <- s.followAll(ctx, arrived, func(f agents.Failure) { arrived <- told{trouble: &f} })
		close(arrived)
	}()
	p := observe.NewPrinter(o.Out, o.options())
	var held []*denials.Denial
	flush := func(now time.Time) error {
		slices.SortStableFunc(held, inTime)
		for _, d := range held {
			if err := p.Denial(d, now); err != nil {
				return err
			}
		}
		held = held[:0]
		return p.Tick(now)
	}
	tick := time.NewTicker(sortWithin)
	defer tick.Stop()
	for {
		var err error
		select {
		case t, more := <-arrived:
			if !more {
				return o.stopped(s.fleet, flush(time.Now()), <-ended)
			}
			switch {
			case t.trouble != nil:
				fmt.Fprintf(o.ErrOut, "error: %s; it is tried again\n", t.trouble.Error())
			case t.denial != nil:
				if held = append(held, t.denial); len(held) == mostHeld {
					err = flush(time.Now())
				}
			default:
				err = p.Missed(t.missed)
			}
		case now := <-tick.C:
			err = flush(now)
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

// stopped ends a follow: whoever stops it has seen enough.
func (o *ObserveOptions) stopped(fleet *agents.Fleet, err error, failures []agents.Failure) error {
	if err != nil {
		return err
	}
	return answered(o.ErrOut, fleet, failures)
}
