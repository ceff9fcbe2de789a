package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/sluice-net/sluice/cmd/sluice/app/agents"
	"github.com/sluice-net/sluice/enforcer/denials"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/manifest"
	"github.com/sluice-net/sluice/policy/suggest"
)

// SuggestOptions makes policies of flows that were seen.
type SuggestOptions struct {
	IOStreams
	sourceFlags
	clusters  clusterReader
	flows     []string
	lasting   time.Duration
	direction string
	mode      string
	output    string
}

const suggestLong = `Suggest makes NetworkPolicies of flows that were seen: for each workload of the
namespace the smallest policy that lets its flows pass, with the labels that select
it, names of ports, other workloads as peers and ranges for what is outside. The
evaluator has allowed each of the flows before a policy is printed, and says how
much else the policies allow.

Flows are lines of JSON, of ours (kind Flow) or of Hubble's, in files or on stdin.
Denied flows and replies among them are skipped. --for asks all agents for the flows
that pass meanwhile, those included that are there (sluice observe --allowed). The Pods and Namespaces are those
of the cluster, or of manifests with -f.

What did not happen while somebody looked is in no flow. So the policies are only
audited, unless --mode enforce: they count for no verdict, and what they would deny
can be asked with explain. Remove the annotation to enforce one. Policies that are
there stay as they are: none that is suggested has the name of one, but for one that
is audited and selects the same Pods, as one that was suggested before.

Exit codes:
  0  policies are printed
  1  no flow is about the namespace, so there are none; or, with --for, some agents did
     not answer, and policies are printed without their flows
  2  unusable input: flags, flows, manifests with errors, or the cluster; or no agent
     can be asked`

func newSuggestCommand(streams IOStreams) *cobra.Command {
	o := &SuggestOptions{IOStreams: streams}
	cmd := &cobra.Command{
		Use:   "suggest (--flows PATH | --for DURATION)",
		Short: "Make policies of flows that were seen",
		Long:  suggestLong,
		Example: `  # what the Pods of shop need, as recorded in a file
  sluice suggest -n shop --flows flows.jsonl

  # what they need in the next hour, asked of all agents
  sluice suggest -n shop --for 1h > policies.yaml

  # from Hubble, on files alone
  hubble observe -n shop -o jsonpb | sluice suggest -n shop --flows - -f dump.yaml`,
		Args:    cobra.NoArgs,
		PreRunE: check(o),
		RunE:    run(o),
	}
	flags := cmd.Flags()
	o.add(flags)
	o.completeNames(cmd, 0)
	flags.Lookup("namespace").Usage = "namespace whose Pods get policies (default: the context's; with -f \"default\")"
	flags.StringArrayVar(&o.flows, "flows", nil, "files of flows, a line of JSON each, or - for stdin")
	flags.DurationVar(&o.lasting, "for", 0, "ask all agents, for so long, which flows pass")
	flags.StringVar(&o.direction, "direction", "both", "isolate in the directions: both, ingress or egress")
	flags.StringVar(&o.mode, "mode", policy.ModeAudit, "audit or enforce: whether the policies count before somebody has tried them")
	flags.StringVarP(&o.output, "output", "o", "yaml", "yaml or json")
	return cmd
}

// Complete finds out where to read.
func (o *SuggestOptions) Complete(*cobra.Command, []string) (err error) {
	if o.lasting > 0 {
		o.kube.without = "" // manifests see no flows
	}
	if err := o.completeNamespace(); err != nil {
		return err
	}
	o.clusters, err = o.reader(o.In, []string{o.namespace})
	return err
}

// Validate refuses what nothing can be made of.
func (o *SuggestOptions) Validate() error {
	var none error
	switch {
	case o.lasting < 0:
		none = errors.New("--for: must be a time above 0, such as 1h")
	case o.lasting > 0 && o.fromFiles():
		none = errors.New("--for asks a cluster: leave out -f, or give flows with --flows")
	case len(o.flows) == 0 && o.lasting == 0:
		none = errors.New("no flows: give a file, or - for stdin, with --flows, or a time with --for")
	case o.manifests.stdin() && slices.Contains(o.flows, "-"):
		none = errors.New("-f - takes stdin for manifests: give the flows with --flows FILE")
	case stdins(o.flows) > 1:
		none = errors.New("--flows -: stdin can be read once")
	}
	return errors.Join(
		none, o.sourceFlags.validate(),
		oneOf("output", o.output, "yaml", "json"),
		oneOf("direction", o.direction, "both", "ingress", "egress"),
		oneOf("mode", o.mode, policy.ModeAudit, policy.ModeEnforce),
	)
}

// Run prints the policies on Out, and what is to be known of them on ErrOut.
func (o *SuggestOptions) Run(ctx context.Context) error {
	// Flows first: their Pods are then those that are, or were lately.
	seen, unanswered, err := o.watch(ctx)
	if err != nil {
		return err
	}
	done := o.busy("reading the objects")
	c, err := o.clusters.read(ctx)
	done()
	if err != nil {
		return err
	}
	if o.notices.report(o.ErrOut, c.problems) {
		return unusablef("suggest: what cannot be read may be a Pod that a policy must name, or a policy that must not be replaced: mend the manifests first")
	}
	in, err := o.input(&c.set, seen)
	if err != nil {
		return unusable(err)
	}
	if len(in.Flows) == 0 {
		return o.noFlows()
	}
	result, err := suggest.Make(in)
	if err != nil {
		return unusable(fmt.Errorf("suggest: %w", err))
	}
	o.notes(result)
	if len(result.Policies) == 0 {
		return &exitError{code: exitFailed, err: fmt.Errorf("none of the %d flows gives a policy in namespace %s", len(in.Flows), o.namespace)}
	}
	o.noteWithoutPolicies(in)
	if err := o.print(result); err != nil {
		return err
	}
	return unanswered
}

// noFlows is what becomes of an hour in which nothing passed, or of files without flows.
func (o *SuggestOptions) noFlows() error {
	if o.lasting > 0 {
		return &exitError{code: exitFailed, err: fmt.Errorf("no flow of namespace %s passed within %s on the nodes that answered", o.namespace, o.lasting)}
	}
	return unusablef("read flows: there is none that passed")
}

// noteWithoutPolicies says of manifests without policies what is not known by them.
func (o *SuggestOptions) noteWithoutPolicies(in *suggest.Input) {
	if o.fromFiles() && !o.notices.quiet && !slices.ContainsFunc(in.Existing, func(np *networkingv1.NetworkPolicy) bool { return np.Namespace == o.namespace }) {
		fmt.Fprintf(o.ErrOut, "notice: the manifests have no NetworkPolicy of namespace %s: one that the cluster has by the name of one of these is replaced when these are applied\n", o.namespace)
	}
}

// input gathers the flows, and the objects that say who their ends are.
func (o *SuggestOptions) input(set *manifest.Set, seen []suggest.Flow) (*suggest.Input, error) {
	in := &suggest.Input{
		Flows: seen, Namespaces: []string{o.namespace}, NamespaceLabels: map[string]map[string]string{},
		Existing: set.Policies, Audited: o.mode == policy.ModeAudit,
	}
	switch o.direction {
	case "ingress":
		in.Directions = []policy.Direction{policy.Ingress}
	case "egress":
		in.Directions = []policy.Direction{policy.Egress}
	}
	for _, ns := range set.Namespaces {
		in.NamespaceLabels[ns.Name] = ns.Labels
	}
	for _, p := range set.Pods {
		pod, err := policy.PodFromAPI(p)
		if err != nil {
			fmt.Fprintf(o.ErrOut, "notice: %v\n", err)
		}
		if pod != nil {
			in.Pods = append(in.Pods, pod)
		}
	}
	for _, path := range o.flows {
		if err := o.read(path, in); err != nil {
			return nil, err
		}
	}
	return in, nil
}

// mostSeen bounds the different flows that are gathered.
const mostSeen = 1_000_000

// watch gathers the flows that pass, for as long as it was asked for. Where only some
// agents answered, unanswered is the exit code of that.
func (o *SuggestOptions) watch(ctx context.Context) (out []suggest.Flow, unanswered, err error) {
	if o.lasting == 0 {
		return nil, nil, nil
	}
	asking := agentFlags{kube: o.kube, where: agents.Options{Namespace: agents.Namespace}}
	c, err := asking.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer c.fleet.Close()
	ctx, cancel := context.WithTimeout(ctx, o.lasting)
	defer cancel()
	arrived := make(chan passed, 1000)
	ended := make(chan []agents.Failure, 1)
	go func() { ended <- followFlows(ctx, c.fleet, denials.Query{Namespace: o.namespace}, arrived) }()
	lines, missed := map[string]bool{}, uint64(0)
	for p := range arrived {
		missed += p.missed
		if p.trouble != nil {
			fmt.Fprintf(o.ErrOut, "error: %s; it is tried again\n", p.trouble.Error())
		}
		if p.flow == nil {
			continue
		}
		key := fmt.Sprint(p.flow.Src, p.flow.Dst, p.flow.Target())
		f, err := suggest.ParseRecord(p.line)
		switch {
		case err != nil:
			fmt.Fprintf(o.ErrOut, "error: read flows: %v\n", err)
		case lines[key]:
		case len(out) == mostSeen:
			missed++
		default:
			lines[key] = true
			out = append(out, f)
		}
	}
	if missed > 0 {
		fmt.Fprintf(o.ErrOut, "notice: %d flows are missing: there were too many at a time\n", missed)
	}
	unanswered = answered(o.ErrOut, c.fleet, <-ended)
	if !c.fleet.AnyAnswered() {
		return nil, nil, unanswered
	}
	if unanswered != nil {
		fmt.Fprintln(o.ErrOut, "notice: the flows of these nodes are missing")
	}
	return out, unanswered, nil
}

// mostUnread is how many lines that cannot be read are named.
const mostUnread = 5

func (o *SuggestOptions) read(path string, in *suggest.Input) error {
	name, from := path, o.In
	if path == "-" {
		name = "stdin"
	} else {
		file, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("read flows: %w", err)
		}
		defer file.Close()
		from = file
	}
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	unread := 0
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		f, err := suggest.ParseRecord(lines.Bytes())
		switch {
		case err == nil:
			in.Flows = append(in.Flows, f)
		case errors.Is(err, suggest.ErrSkip):
		default:
			if unread++; unread <= mostUnread {
				fmt.Fprintf(o.ErrOut, "error: %s:%d: %v\n", name, n, err)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read flows: %s: %w", name, err)
	}
	if unread > 0 {
		return fmt.Errorf("read flows: %s: %d lines are no flows", name, unread)
	}
	return nil
}

// notes says what the policies are made of, and what they are not.
func (o *SuggestOptions) notes(r *suggest.Result) {
	say := func(format string, args ...any) { fmt.Fprintf(o.ErrOut, format+"\n", args...) }
	say("%s, %s: each flow is allowed by them", count(r.Used, "flow", "different flows"), count(len(r.Policies), "policy", "policies"))
	if r.Possible > 0 {
		say("of %d pairs of workloads and ports %d are allowed (%.1f %%)", r.Possible, r.Allowed, 100*float64(r.Allowed)/float64(r.Possible))
	}
	for _, why := range slices.Sorted(maps.Keys(r.Left)) {
		say("notice: %s not counted: %s", count(r.Left[why], "flow is", "flows are"), why)
	}
	for _, n := range r.Notes {
		say("notice: %s", n)
	}
	if len(r.Unseen) > 0 {
		say("notice: no flow was seen of %s: they get no policy", strings.Join(r.Unseen, ", "))
	}
}

func (o *SuggestOptions) print(r *suggest.Result) error {
	list := networkingv1.NetworkPolicyList{}
	list.APIVersion, list.Kind = "networking.k8s.io/v1", "NetworkPolicyList"
	var out bytes.Buffer
	for i, np := range r.Policies {
		list.Items = append(list.Items, *np)
		text, err := yaml.Marshal(np)
		if err != nil {
			return fmt.Errorf("write policies: %w", err)
		}
		if i > 0 {
			out.WriteString("---\n")
		}
		out.Write(text)
	}
	if o.output == "json" {
		text, err := json.MarshalIndent(list, "", "  ")
		if err != nil {
			return fmt.Errorf("write policies: %w", err)
		}
		out.Reset()
		out.Write(append(text, '\n'))
	}
	if _, err := io.Copy(o.Out, &out); err != nil {
		return fmt.Errorf("write policies: %w", err)
	}
	return nil
}
