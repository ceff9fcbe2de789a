package app

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/connectivity/report"
	"github.com/sluice-net/sluice/policy/question"
)

// ExposureOptions says to whom workloads are open.
type ExposureOptions struct {
	IOStreams
	sourceFlags
	output    string
	focus     []string
	direction string

	ends    []question.End
	objects objectReader
	// typed is the command line, for a page.
	typed typedCommand
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
	flags := cmd.Flags()
	o.sourceFlags.add(flags)
	o.completeNames(cmd, 0)
	flags.StringVarP(&o.output, "output", "o", "text", exposureOutputs.usage())
	flags.StringArrayVar(&o.focus, "focus", nil, "only these workloads, as explain names ends; may be repeated")
	flags.StringVar(&o.direction, "direction", "both", "ingress, egress or both")
	return cmd
}

// Complete reads the ends of --focus.
func (o *ExposureOptions) Complete(cmd *cobra.Command, args []string) error {
	o.typed = typed(cmd, args)
	err := o.completeNamespace()
	if err != nil {
		return err
	}
	if o.ends, err = focusEnds(o.focus, o.namespace); err != nil {
		return err
	}
	o.objects, err = o.objectReader(o.In)
	return err
}

// Validate refuses what cannot be answered.
func (o *ExposureOptions) Validate() error {
	return errors.Join(o.sourceFlags.validate(), exposureOutputs.validate(o.output), oneOf("direction", o.direction, "both", "ingress", "egress"))
}

// Run prints the exposure.
func (o *ExposureOptions) Run(ctx context.Context) error {
	in, err := o.objects.objects(ctx)
	if err != nil {
		return err
	}
	bad := o.notices.report(o.ErrOut, in.problems)
	x := &report.Exposure{Exposure: connectivity.NewExposure(in.cluster()), Places: in.place}
	switch o.direction {
	case "ingress":
		x.Directions = []policy.Direction{policy.Ingress}
	case "egress":
		x.Directions = []policy.Direction{policy.Egress}
	}
	if len(o.ends) > 0 {
		x.Only = func(c *connectivity.End) bool { return among(o.ends, c) }
	}
	for _, e := range o.ends {
		if err := question.Present(x.Ends, e); err != nil {
			return unusable(err)
		}
	}
	found := &exposed{x, func(w io.Writer) error { return exposurePage(w, x, pageOptions(o.typed, in)) }}
	if err := exposureOutputs.write(o.Out, o.output, found); err != nil {
		return err
	}
	if bad {
		return &exitError{code: exitUnusable}
	}
	return nil
}
