package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/sluice-net/sluice/cmd/sluice/app/agents"
	"github.com/sluice-net/sluice/enforcer/denials"
	"github.com/sluice-net/sluice/enforcer/denials/observe"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/manifest"
	"github.com/sluice-net/sluice/policy/question"
)

// TryOptions asks what policies would deny of the flows that there are.
type TryOptions struct {
	IOStreams
	agentFlags
	notices   noticeFlags
	manifests manifestFlags
	lasting   time.Duration
	output    string
}

const tryLong = `Try says which of the flows that pass in the cluster now would be denied with the
policies of some manifests. Nothing is applied: the flows come from the agents, as
those of sluice observe --allowed do, the ones that are there included, and are judged
here, by the policies of the cluster and those that are tried together. A policy that
the cluster has already is tried as the manifests have it.

A flow that does not happen meanwhile is not tried: see sluice diff for what a change
allows and denies on paper, and docs/audit.md for policies that are tried for days.

` + agentsHelp + `

Exit codes:
  0  nothing of what was seen would be denied
  1  something would, or not all agents could be followed
  2  unusable flags or manifests, or no agent can be asked: none is found, or none answers`

func newTryCommand(streams IOStreams) *cobra.Command {
	o := &TryOptions{IOStreams: streams}
	cmd := &cobra.Command{
		Use:   "try -f PATH…",
		Short: "Say which flows of the cluster policies would deny, without applying them",
		Long:  tryLong,
		Example: `  sluice try -f policy.yaml
  sluice try -f deploy/policies -n shop --for 1h -o json > denials.jsonl`,
		Args:    cobra.NoArgs,
		PreRunE: check(o),
		RunE:    run(o),
	}
	flags := cmd.Flags()
	o.addColour(flags)
	o.agentFlags.add(flags)
	o.kube.without = "" // one agent is not enough
	o.manifests.add(flags)
	o.notices.add(flags)
	flags.Lookup("filename").Usage = "manifests of the policies to try: files, directories, or - for stdin"
	flags.Lookup("namespace").Usage = "namespace of policies that name none (default: the context's)"
	flags.DurationVar(&o.lasting, "for", 5*time.Minute, "how long to follow the flows")
	flags.StringVarP(&o.output, "output", "o", "text", "text, wide or json")
	return cmd
}

// Complete fills in the namespace that no flag gives.
func (o *TryOptions) Complete(*cobra.Command, []string) (err error) {
	if o.namespace == "" && o.socket == "" {
		o.namespace, err = o.kube.namespace()
	}
	return err
}

// Validate refuses what cannot be tried.
func (o *TryOptions) Validate() error {
	errs := []error{o.agentFlags.validate(), o.manifests.validate(), oneOf("output", o.output, "text", "wide", "json")}
	if !o.manifests.given() {
		errs = append(errs, errors.New("no policies: give files, directories or - for stdin with -f"))
	}
	if o.lasting <= 0 {
		errs = append(errs, errors.New("--for: must be a time above 0, such as 5m"))
	}
	if o.socket != "" {
		errs = append(errs, errors.New("--socket: one agent knows neither all objects nor all flows: try asks a cluster"))
	}
	return errors.Join(errs...)
}

// Run follows the flows and prints those that would be denied.
func (o *TryOptions) Run(ctx context.Context) error {
	tried, err := o.policies(ctx)
	if err != nil {
		return err
	}
	c, err := o.connect(ctx)
	if err != nil {
		return err
	}
	defer c.fleet.Close()
	live, err := liveReader{client: c.client, server: "the cluster"}.read(ctx)
	if err != nil {
		return err
	}
	t, err := newTrial(live.set, tried)
	if err != nil {
		return unusable(err)
	}
	ctx, cancel := context.WithTimeout(ctx, o.lasting)
	defer cancel()
	return o.follow(ctx, c.fleet, t)
}

// policies reads what is tried.
func (o *TryOptions) policies(ctx context.Context) (manifest.Set, error) {
	c, err := fileReader{manifestFlags: o.manifests, in: o.In, namespace: o.namespace, addition: true}.read(ctx)
	if err != nil {
		return manifest.Set{}, err
	}
	if o.notices.report(o.ErrOut, c.problems) {
		return manifest.Set{}, &exitError{code: exitUnusable}
	}
	if len(c.set.Policies) == 0 {
		return manifest.Set{}, unusablef("try: there is no NetworkPolicy in the manifests")
	}
	return c.set, nil
}

// trial judges flows without and with the policies that are tried.
type trial struct {
	now, then *policy.Index
	tried     map[types.NamespacedName]bool
	told      *denials.Recorder
	lines     *denials.Subscription
	seen      map[policy.Flow]bool
	flows     int
	denied    int
}

func newTrial(live manifest.Set, tried manifest.Set) (*trial, error) {
	t := &trial{tried: map[types.NamespacedName]bool{}, seen: map[policy.Flow]bool{}}
	t.now, t.then = live.Index(policy.Options{}), live.Index(policy.Options{})
	for _, np := range tried.Policies {
		np = np.DeepCopy()
		// Tried is what it does once it is enforced.
		np.Annotations = maps.Clone(np.Annotations)
		delete(np.Annotations, policy.ModeKey)
		if np.Annotations == nil {
			np.Annotations = map[string]string{}
		}
		np.Annotations[policy.ModeKey] = policy.ModeEnforce
		if err := t.then.SetPolicy(np); err != nil {
			return nil, fmt.Errorf("try: %w", err)
		}
		t.tried[types.NamespacedName{Namespace: np.Namespace, Name: np.Name}] = true
	}
	var err error
	if t.told, err = denials.New(denials.Config{Clock: clock.RealClock{}}); err != nil {
		return nil, err
	}
	t.told.Watch(t.then)
	t.lines, _, err = t.told.Store().Follow(nil, 0)
	return t, err
}

// judge judges a flow once, and returns what would be denied of it: at most one denial at
// each end.
func (t *trial) judge(d *denials.Denial) (out []*denials.Denial) {
	f, ok := t.flow(d)
	if ok && d.Src.Kind == denials.NodeEnd && f.Dst.Pod != nil && f.Dst.Pod.Node == d.Src.Node {
		return nil // a node always reaches its Pods
	}
	if !ok || t.seen[f] {
		return nil
	}
	if len(t.seen) < mostSeen {
		t.seen[f] = true
	}
	t.flows++
	is, would := t.now.Evaluate(f), t.then.Explain(f)
	for _, end := range []struct{ is, would *policy.DirectionVerdict }{{&is.Egress, &would.Egress}, {&is.Ingress, &would.Ingress}} {
		if !end.is.Allowed || end.would.Allowed {
			continue
		}
		for i := range end.would.Policies {
			p := &end.would.Policies[i]
			p.Audited = t.tried[p.Policy]
		}
		t.told.WouldDeny(d.Time, f, netip.AddrPort{}, end.would)
	}
	for {
		select {
		case told := <-t.lines.C():
			told.Node, told.Service = d.Node, d.Service
			out = append(out, told)
			continue
		default:
		}
		break
	}
	if len(out) > 0 {
		t.denied++
	}
	return out
}

func (t *trial) flow(d *denials.Denial) (policy.Flow, bool) {
	src, err := netip.ParseAddr(d.Src.Address)
	dst, err2 := netip.ParseAddr(d.Dst.Address)
	proto, err3 := question.ParseProtocol(d.Protocol)
	if err != nil || err2 != nil || err3 != nil {
		return policy.Flow{}, false
	}
	return policy.Flow{Src: denials.WholeEnd(t.then, src), Dst: denials.WholeEnd(t.then, dst), Protocol: proto, Port: d.Port}, true
}

// follow prints what would be denied until the time is over, and then how much that is.
func (o *TryOptions) follow(ctx context.Context, fleet *agents.Fleet, t *trial) error {
	arrived, ended := make(chan passed, 1000), make(chan []agents.Failure, 1)
	go func() { ended <- followFlows(ctx, fleet, denials.Query{}, arrived) }()
	p := observe.NewPrinter(o.Out, observe.Options{Format: observe.Format(o.output), Colour: o.palette().on, Location: time.Local})
	missed := uint64(0)
	for f := range arrived {
		missed += f.missed
		if f.trouble != nil {
			fmt.Fprintf(o.ErrOut, "error: %s; it is tried again\n", f.trouble.Error())
		}
		if f.flow == nil {
			continue
		}
		for _, d := range t.judge(f.flow) {
			if err := p.Denial(d, time.Now()); err != nil {
				return err
			}
		}
		if err := p.Tick(time.Now()); err != nil {
			return err
		}
	}
	err := answered(o.ErrOut, fleet, <-ended)
	if !fleet.AnyAnswered() {
		return err // of flows that nobody told of nothing is known
	}
	if missed > 0 {
		fmt.Fprintf(o.ErrOut, "notice: %d flows are missing: there were too many at a time\n", missed)
	}
	where := ""
	if err != nil {
		where = " on the nodes that answered"
	}
	fmt.Fprintf(o.ErrOut, "%s passed%s, %d of them would be denied\n", count(t.flows, "flow", "different flows"), where, t.denied)
	if t.denied > 0 {
		return &exitError{code: exitFailed}
	}
	return err
}
