package app

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/connectivity/report"
	"github.com/sluice-net/sluice/policy/question"
)

// ExposureOptions says to whom workloads are open.
type ExposureOptions struct {
	IOStreams
	connectionFlags
}

// exposureOutputs are the formats of exposure.
var exposureOutputs = outputs[*exposed]{
	"text":    func(w io.Writer, x *exposed) error { return x.Text(w) },
	"json":    func(w io.Writer, x *exposed) error { return x.JSON(w) },
	"yaml":    func(w io.Writer, x *exposed) error { return x.YAML(w) },
	"csv":     func(w io.Writer, x *exposed) error { return x.CSV(w) },
	"md":      func(w io.Writer, x *exposed) error { return x.Markdown(w) },
	"dot":     func(w io.Writer, x *exposed) error { return x.DOT(w) },
	"mermaid": func(w io.Writer, x *exposed) error { return x.Mermaid(w) },
	"html":    func(w io.Writer, x *exposed) error { return x.page(w) },
}

const exposureLong = `Exposure says to whom workloads are open whom nobody in the cluster has to be: what no
policy isolates, and what policies open to the internet, to every namespace, to any
Pod of a namespace, or to Pods with labels that nobody may have yet, each with the
rule and its file and line. It asks the cluster of the kubeconfig, or reads manifests
with -f.

Only a workload's own policies are asked: whether the other end may connect is the
matter of its policies, and sluice list says what both allow together.

Who may not read the whole cluster is answered about namespaces that they may read if
they name them, with -n or --focus.

Exit codes:
  0  the answer is complete
  2  unusable input: flags, manifests or the cluster`

func newExposureCommand(streams IOStreams) *cobra.Command {
	o := &ExposureOptions{IOStreams: streams}
	cmd := &cobra.Command{
		Use:   "exposure [-f PATH…]",
		Short: "Say what no policy isolates, and what policies open to strangers",
		Long:  exposureLong,
		Example: `  sluice exposure -f deploy/

  # who may come in, of one namespace of a cluster
  sluice exposure --focus ns/shop --direction ingress --context staging`,
		Args:    cobra.NoArgs,
		PreRunE: check(o),
		RunE:    run(o),
	}
	o.connectionFlags.add(cmd, exposureOutputs.usage(), "only these workloads, as explain names ends", "ingress, egress or both")
	return cmd
}

// Complete reads the ends of --focus.
func (o *ExposureOptions) Complete(cmd *cobra.Command, args []string) error {
	return o.complete(cmd, args, o.IOStreams)
}

// Validate refuses what cannot be answered.
func (o *ExposureOptions) Validate() error {
	return errors.Join(o.validate(), exposureOutputs.validate(o.output))
}

// presentWorkloads refuses ends that are nobody, and those that are no workload, of which
// nothing would be said.
func (o *ExposureOptions) presentWorkloads(ends []connectivity.End) error {
	if err := o.present(ends); err != nil {
		return err
	}
	for _, e := range o.ends {
		if e.Kind != question.KindAny && !slices.ContainsFunc(ends, func(c connectivity.End) bool { return len(c.Workloads) > 0 && e.Among(&c) }) {
			return unusablef("--focus: %s is no workload's address, and exposure says to whom workloads are open: name a workload, ns/NAME or labels; \"sluice list --focus %s\" says what it reaches and who reaches it", e, e)
		}
	}
	return nil
}

// Run prints the exposure.
func (o *ExposureOptions) Run(ctx context.Context) error {
	in, bad, err := o.input(ctx, o.IOStreams)
	if err != nil {
		return err
	}
	done := o.busy("judging who is exposed")
	defer done()
	c := in.cluster()
	x := &report.Exposure{Exposure: connectivity.NewExposure(c), Places: in.place, Namespaces: in.only}
	switch o.direction {
	case "ingress":
		x.Directions = []policy.Direction{policy.Ingress}
	case "egress":
		x.Directions = []policy.Direction{policy.Egress}
	}
	if len(o.ends) > 0 {
		x.Only = o.among
	}
	if err := o.presentWorkloads(x.Ends); err != nil {
		return err
	}
	if len(in.set.Entries) > 0 && o.direction != "egress" {
		none := func(*connectivity.End) bool { return false }
		x.Entries = in.ways(c, connectivity.New(c)).About(x.Only, none, nil)
	}
	found := &exposed{x, func(w io.Writer) error { return exposurePage(w, x, pageOptions(o.typed, in)) }}
	done()
	if err := exposureOutputs.write(o.Out, o.output, found); err != nil {
		return err
	}
	return concluded(bad)
}
