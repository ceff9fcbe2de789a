package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/enforcer/nodestatus"
)

// WaitOptions waits until the nodes enforce an object.
type WaitOptions struct {
	IOStreams
	agentFlags
	wanted  string
	timeout time.Duration
	uid     string
	without bool

	target target
}

func newWaitCommand(streams IOStreams) *cobra.Command {
	o := &WaitOptions{IOStreams: streams}
	cmd := &cobra.Command{
		Use:   "wait netpol/NAME | pod/NAME | ns/NAME",
		Short: "Wait until every node enforces a policy, a Pod or a Namespace as it is now",
		Long: `Wait reads the object and returns when every node enforces that very
resourceVersion, or a later one of the same object: its rules are in the node's
kernel, connections that they forbid are cut, and nothing is known on the node that
would keep them from having effect. For a Pod, its own node knows its addresses,
too. For --for=deleted the rules without the object are.

The nodes are those of the cluster when wait begins. One without an agent enforces
nothing: it is named, and wait fails at its end, unless --ignore-nodes-without-agent
says that no Pods are there that matter. Nodes that cannot be asked, or say that
something stands in the way, are asked again until the time is over.

After --for=deleted of an object that a node had never heard of, that node is taken
to be without it.

` + agentsHelp + `

Exit codes:
  0  every node enforces it
  1  not so within the time, whatever the reason, or the object was deleted or made
     anew meanwhile: the nodes that are missing are named
  2  unusable flags, no such object, or no agent is found`,
		Example: `  kubectl apply -f policy.yaml && sluice wait netpol/db -n shop
  sluice wait pod/web-0 -n shop --timeout 30s
  kubectl delete -n shop netpol db && sluice wait netpol/db -n shop --for=deleted`,
		Args:    cobra.ExactArgs(1),
		PreRunE: check(o),
		RunE:    run(o),
	}
	o.add(cmd.Flags())
	cmd.Flags().StringVar(&o.wanted, "for", "enforced", "enforced or deleted")
	cmd.Flags().DurationVar(&o.timeout, "timeout", time.Minute, "how long to wait")
	cmd.Flags().StringVar(&o.uid, "uid", "", "metadata.uid that the object must have, or have had (default: that of the object as it is)")
	cmd.Flags().BoolVar(&o.without, "ignore-nodes-without-agent", false, "nodes that have no agent do not matter")
	return cmd
}

// Complete reads what to wait for.
func (o *WaitOptions) Complete(_ *cobra.Command, args []string) (err error) {
	if o.target, err = parseTarget(args[0], "netpol", "pod", "ns"); err != nil {
		return err
	}
	return o.completeNamespace()
}

// Validate refuses what cannot be waited for.
func (o *WaitOptions) Validate() error {
	errs := []error{o.validate(), oneOf("for", o.wanted, "enforced", "deleted")}
	if o.timeout <= 0 {
		errs = append(errs, fmt.Errorf("--timeout: %v is no time to wait: give one such as 30s", o.timeout))
	}
	if o.socket != "" {
		errs = append(errs, errors.New("--socket: what to wait for is read from the API, so give a kubeconfig instead"))
	}
	return errors.Join(errs...)
}

// kinds are what agents call the types.
var kinds = map[string]nodestatus.ObjectKind{
	"netpol": nodestatus.PolicyObject, "pod": nodestatus.PodObject, "ns": nodestatus.NamespaceObject,
}

// Run waits.
func (o *WaitOptions) Run(ctx context.Context) error {
	// The object first: what changes while the agents are looked for is later than that.
	config, err := o.kube.config()
	if err != nil {
		return unusable(err)
	}
	object, err := newObjectReader(config, o.target, o.namespace)
	if err != nil {
		return unusable(err)
	}
	first, err := object.read(ctx)
	deleted := o.wanted == "deleted"
	switch {
	case err != nil:
		return unusable(unreachable(config.Host, err))
	case deleted:
		if o.uid != "" {
			first.UID = types.UID(o.uid)
		}
	case first.UID == "":
		return unusablef("there is no %s", object)
	case o.uid != "" && first.UID != types.UID(o.uid):
		return unusablef("%s has the UID %s, not that of --uid", object, first.UID)
	}
	c, err := o.connect(ctx)
	if err != nil {
		return err
	}
	defer c.fleet.Close()
	if o.without {
		c.fleet.Without, c.fleet.WithoutErr = nil, nil
	}
	if c.fleet.WithoutErr != nil {
		fmt.Fprintf(o.ErrOut, "notice: whether there are nodes without an agent is not known: %v\n", c.fleet.WithoutErr)
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	w := &waiting{connection: c, again: o.connect, object: object, deleted: deleted, first: first}
	failures := w.all(ctx)
	if len(failures) > 0 {
		tellFailures(o.ErrOut, failures)
		fmt.Fprintf(o.ErrOut, "error: %s is not %s on %d of %d nodes\n", object, o.wanted, len(failures), len(c.fleet.Agents)+len(c.fleet.Without))
		return &exitError{code: exitFailed}
	}
	_, err = fmt.Fprintf(o.Out, "%s is %s on %d nodes, after %s\n", object, o.wanted, len(c.fleet.Agents), time.Since(began).Round(time.Millisecond))
	return err
}
