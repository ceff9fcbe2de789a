package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/cmd/sluice/app/agents"
	"github.com/sluice-net/sluice/enforcer/nodestatus"
)

// StatusOptions shows what the nodes enforce.
type StatusOptions struct {
	IOStreams
	agentFlags
	output        string
	allNamespaces bool

	// target is what is asked about, the zero value for the cluster or a namespace.
	target target
	// objects: policies and Pods are shown, not only nodes.
	objects bool
}

func newStatusCommand(streams IOStreams) *cobra.Command {
	o := &StatusOptions{IOStreams: streams}
	cmd := &cobra.Command{
		Use:   "status [netpol/NAME | pod/NAME | node/NAME]",
		Short: "Say what each node enforces, and whether that is what the API says now",
		Long: `Status asks the agents what they enforce and compares it with what the API says
now. Problems come first, each with what to do about it. Without an argument it
shows the nodes; with -n or -A the policies and Pods of namespaces as well; with
an argument one policy, one Pod with the policies that it has, or one node.

What an agent has heard of and not brought into the kernel yet is "Behind", and so
is what it has in another version than the API. Both happen for an instant, so
status looks twice before it says so.

` + agentsHelp + `

Exit codes:
  0  all nodes that were asked answer, are ready and enforce what the API says
  1  some do not, or a policy cannot be understood as a whole: they are named
  2  unusable flags, or no agent can be asked: none is found, or none answers`,
		Example: `  sluice status
  sluice status -n shop
  sluice status netpol/db -n shop -o json
  sluice status pod/web-0 -n shop
  sluice status node/worker-1

  # on a node, without a cluster
  sudo sluice status -A --socket /run/sluice.sock`,
		Args:    cobra.MaximumNArgs(1),
		PreRunE: check(o),
		RunE:    run(o),
	}
	o.add(cmd.Flags())
	o.addColour(cmd.Flags())
	cmd.Flags().BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "policies and Pods of all namespaces")
	cmd.Flags().StringVarP(&o.output, "output", "o", "text", "text or json")
	return cmd
}

// Complete reads what is asked about.
func (o *StatusOptions) Complete(_ *cobra.Command, args []string) (err error) {
	o.objects = o.namespace != "" || o.allNamespaces || len(args) > 0
	if o.allNamespaces && (o.namespace != "" || len(args) > 0) {
		return errors.New("-A is for all objects of all namespaces: leave out -n and the argument, or -A")
	}
	if len(args) > 0 {
		if o.target, err = parseTarget(args[0], "netpol", "pod", "node"); err != nil {
			return err
		}
	}
	return o.completeNamespace()
}

// Validate refuses what cannot be meant.
func (o *StatusOptions) Validate() error {
	return errors.Join(o.validate(), oneOf("output", o.output, "text", "json"))
}

// statusWithin bounds the wait for one node.
const statusWithin = 20 * time.Second

// lookTwiceAfter is how long what looks wrong has to become right.
const lookTwiceAfter = time.Second

// Run asks and prints.
func (o *StatusOptions) Run(ctx context.Context) error {
	c, err := o.connect(ctx)
	if err != nil {
		return err
	}
	defer c.fleet.Close()
	if o.target.kind == "node" {
		if err := c.fleet.Only(o.target.name); err != nil {
			return unusable(err)
		}
	}
	report, failures, err := o.gather(ctx, c)
	if err == nil && report.behind() {
		select {
		case <-ctx.Done():
		case <-time.After(lookTwiceAfter):
		}
		report, failures, err = o.gather(ctx, c)
	}
	if err != nil {
		return err
	}
	if err := o.print(report); err != nil {
		return err
	}
	if c.fleet.WithoutErr != nil {
		fmt.Fprintf(o.ErrOut, "notice: whether there are nodes without an agent is not known: %v\n", c.fleet.WithoutErr)
	}
	if err := answered(o.ErrOut, c.fleet, failures); err != nil {
		return err
	}
	if !report.fine() {
		return &exitError{code: exitFailed}
	}
	return nil
}

// query is what the agents are asked.
func (o *StatusOptions) query() nodestatus.Query {
	name := types.NamespacedName{Namespace: o.namespace, Name: o.target.name}
	switch {
	case !o.objects:
		return nodestatus.Query{Summary: true}
	case o.target.kind == "netpol":
		return nodestatus.Query{Policy: name}
	case o.target.kind == "pod":
		return nodestatus.Query{Pod: name}
	case o.target.kind == "node" || o.allNamespaces:
		return nodestatus.Query{}
	}
	return nodestatus.Query{Namespace: o.namespace}
}

// gather asks the agents and then the API, which may be ahead of them but not behind.
func (o *StatusOptions) gather(ctx context.Context, c *connection) (*statusReport, []agents.Failure, error) {
	r := &statusReport{APIVersion: nodestatus.APIVersion, Kind: "Status"}
	var mu sync.Mutex
	failures := c.fleet.Each(ctx, func(ctx context.Context, a agents.Agent) error {
		ctx, cancel := context.WithTimeout(ctx, statusWithin)
		defer cancel()
		data, err := c.fleet.Read(ctx, a, nodestatus.StatusPath, o.query().Values(), nodestatus.MaxAnswer)
		if err != nil {
			return err
		}
		n, err := nodestatus.ParseNode(data)
		if err != nil {
			return err
		}
		if a.Node != "" {
			n.Node = a.Node
		}
		mu.Lock()
		defer mu.Unlock()
		r.Nodes = append(r.Nodes, n)
		return nil
	})
	slices.SortFunc(r.Nodes, func(a, b *nodestatus.Node) int { return strings.Compare(a.Node, b.Node) })
	for _, f := range failures {
		r.Unanswered = append(r.Unanswered, unanswered{f.Node, f.Err.Error()})
	}
	if !o.objects || len(r.Nodes) == 0 {
		return r, failures, nil
	}
	said, err := o.ofAPI(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	r.compare(said, o.target.kind == "netpol")
	return r, failures, nil
}

func (o *StatusOptions) print(r *statusReport) error {
	return o.printAnswer("the status", o.output, r, func(b *bytes.Buffer) { r.write(b, o.palette(), o.objects) })
}
