package app

import (
	"bytes"
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/policy/question"
)

// ExplainOptions explains one flow.
type ExplainOptions struct {
	IOStreams
	sourceFlags
	output string
	// exitCode makes the answer the exit code.
	exitCode bool

	question question.Question
	clusters clusterReader
}

func newExplainCommand(streams IOStreams) *cobra.Command {
	o := &ExplainOptions{IOStreams: streams}
	cmd := &cobra.Command{
		Use:   "explain SRC DST[:PORT[/PROTO]] [-f PATH…]",
		Short: "Say whether a flow is allowed, and why, rule by rule",
		Long: `Explain walks through every policy that has a say in a flow, in both directions,
rule by rule: what matches, what does not and why, and which rule came nearest.
It asks the cluster of the kubeconfig, or reads manifests with -f.

` + endsHelp + `

PORT is a number or a name; without one it is the first that DST declares. PROTO
is TCP when absent; protocols without ports are written DST:/ICMP. An IPv6
address with a port stands in brackets.

A Service, also by its ClusterIP, leads to the Pods and ports behind it; so does
node/NAME with a NodePort or a hostPort. Where an end stands for several Pods, those with the
same outcome are counted, and one of each outcome is explained. Where a node puts
its own address in place of the client's, that is said, and judged; so is the
address of its tunnel, by which the Pods of other nodes see a node of an overlay
network, and NodeLocal DNSCache at the DNS Service's address.

Exit codes:
  0  the question is answered, whatever the verdict; with --exit-code, allowed
  1  with --exit-code: denied, or allowed only in part or depending on addresses
  2  the question or a manifest is unusable`,
		Example: `  sluice explain shop/frontend shop/db:5432
  sluice explain -n shop deploy/frontend svc/api:http --context staging
  sluice explain 203.0.113.7 node/worker-1:30080

  # what an Ingress lets in, from its controller
  sluice explain ingress/shop/web ingress/shop/web

  # without a cluster
  sluice explain shop/frontend shop/db:5432 -f manifests/
  sluice explain -n shop frontend api:http -f manifests/
  sluice explain 10.9.8.7 '[2001:db8::5]:53/UDP' -f manifests/ -o json`,
		Args:    cobra.ExactArgs(2),
		PreRunE: check(o),
		RunE:    run(o),
	}
	flags := cmd.Flags()
	o.sourceFlags.add(flags)
	o.addColour(flags)
	flags.StringVarP(&o.output, "output", "o", "text", "text or json")
	o.completeNames(cmd, 2)
	flags.BoolVar(&o.exitCode, "exit-code", false, "exit with 1 if the flow is not allowed, as kubectl auth can-i does")
	return cmd
}

// Complete reads the flow.
func (o *ExplainOptions) Complete(_ *cobra.Command, args []string) error {
	err := o.completeNamespace()
	if err != nil {
		return err
	}
	if o.question, err = question.Parse(args[0], args[1], o.namespace); err != nil {
		return err
	}
	o.question.GuessPort = true
	o.clusters, err = o.reader(o.In, named(o.question.Src, o.question.Dst))
	return err
}

// Validate refuses what cannot be read.
func (o *ExplainOptions) Validate() error {
	return errors.Join(o.sourceFlags.validate(), oneOf("output", o.output, "text", "json"))
}

// Run prints the explanation.
func (o *ExplainOptions) Run(ctx context.Context) error {
	done := o.busy("reading the objects")
	defer done()
	c, err := o.clusters.read(ctx)
	if err != nil {
		return err
	}
	done()
	bad := o.notices.report(o.ErrOut, c.problems)
	done = o.busy("answering")
	defer func() { done() }()
	a, err := c.ask(ctx, o.question)
	if err != nil {
		return unusable(err)
	}
	c.world.Explain(&a)
	c.world.FindNearly(&a)
	done()
	if err := o.printAnswer("the explanation", o.output, documentOf(&a), func(b *bytes.Buffer) { writeAnswer(b, o.palette(), &a) }); err != nil {
		return err
	}
	switch {
	case bad:
		return &exitError{code: exitUnusable}
	case o.exitCode && a.Result() != question.Allowed:
		return &exitError{code: exitFailed}
	}
	return nil
}
