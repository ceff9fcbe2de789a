package app

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/connectivity/report"
)

// ListOptions lists who can reach whom.
type ListOptions struct {
	IOStreams
	connectionFlags
	why   bool
	ports []string
}

// listOutputs are the formats of list.
var listOutputs = outputs[*listed]{
	"text":    func(w io.Writer, l *listed) error { return l.Text(w) },
	"json":    func(w io.Writer, l *listed) error { return l.JSON(w) },
	"yaml":    func(w io.Writer, l *listed) error { return l.YAML(w) },
	"csv":     func(w io.Writer, l *listed) error { return l.CSV(w) },
	"md":      func(w io.Writer, l *listed) error { return l.Markdown(w) },
	"dot":     func(w io.Writer, l *listed) error { return l.DOT(w) },
	"mermaid": func(w io.Writer, l *listed) error { return l.Mermaid(w) },
	"html":    func(w io.Writer, l *listed) error { return l.page(w) },
}

const listLong = `List says who can reach whom, on which ports: workload to workload, from outside
and to it. It asks the cluster of the kubeconfig, or reads manifests with -f.
Workloads are enough: Pods need not run, nor have addresses.

What has the same answer is one line: "shop/*" is every workload of the namespace
shop, "internet" all addresses that are no Pod's. What hangs on an address that is
not known yet is said to depend, and --why says on which; --why also names each
rule that allows, with its file and line.

Ingresses, Gateways and routes are followed to the workloads behind them, with whether
policies let in whoever speaks for them.

--focus lists only what one of its ends has a part in; ends are written as for
explain, and --direction ingress is what reaches them, egress what they reach.
--port is a number, a range or a name, with a protocol if it is not TCP: 443,
8000-8100, 53/UDP, http. A name is of the port that each destination itself has by it.

Who may not read the whole cluster is answered about namespaces that they may read if
they name them, with -n or --focus: what reaches Pods of other namespaces, or comes from
there, is not known then, and said not to be.

Exit codes:
  0  the list is complete
  2  unusable input: flags, manifests or the cluster`

func newListCommand(streams IOStreams) *cobra.Command {
	o := &ListOptions{IOStreams: streams}
	cmd := &cobra.Command{
		Use:   "list [-f PATH…]",
		Short: "List who can reach whom, on which ports and by which rules",
		Long:  listLong,
		Example: `  sluice list -f deploy/

  # who reaches the database, and by which rules
  sluice list -f deploy/ --focus shop/db --direction ingress --why

  # what may leave for the internet, of a cluster
  sluice list --focus internet --direction ingress --context staging

  # for a document, and as a page to search and to click through
  sluice list -f deploy/ -o mermaid
  sluice list -f deploy/ -o html > policies.html`,
		Args:    cobra.NoArgs,
		PreRunE: check(o),
		RunE:    run(o),
	}
	o.connectionFlags.add(cmd, listOutputs.usage(), "only connections of this end", "of the ends of --focus: ingress, egress or both")
	flags := cmd.Flags()
	flags.BoolVar(&o.why, "why", false, "name the rules that allow, and what something depends on")
	flags.StringArrayVar(&o.ports, "port", nil, "only this port, range of ports or named port; may be repeated")
	return cmd
}

// Complete reads the ends of --focus.
func (o *ListOptions) Complete(cmd *cobra.Command, args []string) error {
	return o.complete(cmd, args, o.IOStreams)
}

// Validate refuses what cannot be listed.
func (o *ListOptions) Validate() error {
	errs := []error{o.validate(), listOutputs.validate(o.output)}
	if o.direction != "both" && len(o.focus) == 0 {
		errs = append(errs, errors.New("--direction is that of the ends of --focus: give --focus, too"))
	}
	for _, p := range o.ports {
		if _, err := parsePorts(p); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Run prints the list.
func (o *ListOptions) Run(ctx context.Context) error {
	in, bad, err := o.input(ctx, o.IOStreams)
	if err != nil {
		return err
	}
	done := o.busy("judging all pairs")
	defer done()
	c := in.cluster()
	m := connectivity.New(c)
	options, err := o.narrow(m)
	if err != nil {
		return unusable(err)
	}
	list := report.NewList(m, in.place, options...)
	list.Namespaces = in.only
	to, from := o.asked()
	list.Entries = in.ways(c, m).About(to, from, o.askedPorts(&options[0]))
	found := &listed{list, func(w io.Writer) error {
		return listPage(w, m, options, withEntries(pageOptions(o.typed, in), list.Entries.Lines()))
	}}
	done()
	if err := listOutputs.write(o.Out, o.output, found); err != nil {
		return err
	}
	return concluded(bad)
}

// asked is what of the entries is of interest: those that lead to an end of --focus, and
// those for which one speaks.
func (o *ListOptions) asked() (to, from func(*connectivity.End) bool) {
	if len(o.ends) == 0 {
		return nil, nil
	}
	none := func(*connectivity.End) bool { return false }
	switch o.direction {
	case "ingress":
		return o.among, none
	case "egress":
		return none, o.among
	}
	return o.among, o.among
}

// askedPorts are those of --port; nil for all.
func (o *ListOptions) askedPorts(options *connectivity.ListOptions) func(*connectivity.End, connectivity.Ports) bool {
	if len(o.ports) == 0 {
		return nil
	}
	return options.OfInterest
}

// narrow is what is to be listed.
func (o *ListOptions) narrow(m *connectivity.Matrix) ([]connectivity.ListOptions, error) {
	all := connectivity.ListOptions{Why: o.why}
	for _, p := range o.ports {
		wanted, _ := parsePorts(p) // validated
		if err := wanted.narrow(&all, m.Ends()); err != nil {
			return nil, err
		}
	}
	if len(o.ends) == 0 {
		return []connectivity.ListOptions{all}, nil
	}
	if err := o.present(m.Ends()); err != nil {
		return nil, err
	}
	in := o.among
	out := func(c *connectivity.End) bool { return !in(c) }
	from, to := all, all
	from.From, to.To = in, in
	switch o.direction {
	case "egress":
		return []connectivity.ListOptions{from}, nil
	case "ingress":
		return []connectivity.ListOptions{to}, nil
	}
	to.From = out
	return []connectivity.ListOptions{from, to}, nil
}
