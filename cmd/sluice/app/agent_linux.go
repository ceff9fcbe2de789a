package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer"
	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/policy"
)

// AgentOptions run the agent of one node.
type AgentOptions struct {
	IOStreams
	manifests   string
	kubeconfig  string
	kubeContext string
	markMask    string
	unknownPods string
	nodeDNS     []string
	nriSocket   string
	denials     string
	events      bool
	verbosity   string
	untaint     bool

	config enforcer.Config
}

func newAgentCommand(streams IOStreams) *cobra.Command {
	return newAgentCommandOf(&AgentOptions{IOStreams: streams})
}

func newAgentCommandOf(o *AgentOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "agent",
		Short: agentShort,
		Long: `Agent enforces NetworkPolicy for the Pods of this node, as the DaemonSet runs it:
it watches the Kubernetes API, or a directory of manifests, and keeps the node's
nftables in step. It needs root (CAP_NET_ADMIN) in the node's network namespace.

When it stops, its rules stay in force; "sluice cleanup" removes them.

/metrics, and /readyz with the names of what stands in the way, are served on
--metrics-address: in plain text on a loopback address, and on any other over
TLS, to those whom the API server lets get these paths (nonResourceURLs; see
ClusterRole sluice-metrics-reader). /healthz and a /readyz without names are for
anybody on --health-address.

Exit codes:
  0  stopped as asked, by SIGTERM or SIGINT
  1  it could not start, or could not go on
  2  unusable flags`,
		Example: `  # in a DaemonSet, with the node's name from the downward API in NODE_NAME
  sluice agent

  # from outside of the cluster
  sudo sluice agent --kubeconfig ~/.kube/config --node-name worker-1

  # without a cluster: a directory that is watched
  sudo sluice agent --manifests /etc/sluice/manifests`,
		Args:    cobra.NoArgs,
		PreRunE: check(o),
		RunE:    run(o),
	}
	flags := cmd.Flags()
	flags.StringVar(&o.manifests, "manifests", "", "directory of manifests to enforce instead of a cluster's objects; it is watched")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "file to reach the cluster with (default: the Pod's service account)")
	flags.StringVar(&o.kubeContext, "context", "", "context of the kubeconfig")
	flags.StringVar(&o.config.Node, "node-name", "", "this node's name in the cluster (default: $NODE_NAME; one of them is needed, but with --manifests, where none means all Pods)")
	flags.StringSliceVar(&o.config.PodInterfaces, "pod-interfaces", nil, "patterns of interfaces that carry Pods, besides those that are found (such as cali*)")
	flags.StringSliceVar(&o.config.Uplinks, "uplinks", links.DefaultUplinks, "patterns of bridge ports that lead out of the node; ports that are no veths do in any case")
	flags.StringSliceVar(&o.config.OtherInterfaces, "other-interfaces", links.DefaultOtherInterfaces, "patterns of bridges and veths that carry no Pods: all others do, and are closed until their Pod is known")
	flags.StringSliceVar(&o.config.HarmlessPrograms, "harmless-programs", nil, "patterns of names of BPF programs at interfaces that send no packet elsewhere (an XDP program is xdp@INTERFACE): where packets of Pods come by any other, the node is not ready")
	flags.StringVar(&o.markMask, "ct-mark-mask", fmt.Sprintf("%#x", compiler.DefaultMask), "bits of the conntrack mark for Sluice, when others use the default's")
	flags.StringVar(&o.unknownPods, "unknown-pods", "drop", "traffic of addresses on Pod interfaces that are no known Pod's: drop or pass")
	flags.BoolVar(&o.config.Compiler.GuardOptOut, "guard-opt-out", false, "let Pods with the annotation "+policy.GuardAnnotation+"=off do without the guard on their interface: those that tag frames, send multicast or answer ARP for others; to send from addresses that are no Pod's they need --unknown-pods=pass, too")
	flags.BoolVar(&o.config.Compiler.PodTunnels, "allow-pod-tunnels", false, "let Pods send to the tunnels (VXLAN, Geneve, GRE, IPIP…) of nodes, and anybody to this node's: who can puts packets on the node in any name")
	flags.BoolVar(&o.config.Compiler.NodeEgress, "node-egress", false, "always allow Pods to reach their own node, whatever their egress policies say")
	flags.StringSliceVar(&o.nodeDNS, "node-dns", nil, "addresses on the node where NodeLocal DNSCache answers every Pod (usually 169.254.20.10)")
	flags.BoolVar(&o.config.Compiler.Reject, "reject", false, "answer denied packets (TCP reset, ICMP prohibited) instead of dropping them")
	flags.BoolVar(&o.untaint, "remove-startup-taint", false, "take the taint "+enforcer.StartupTaint+" from this Node when all policies are enforced here; the agent needs get and patch of nodes for it")
	o.addDenialFlags(flags)
	o.addNRIFlags(flags)
	o.addDoorFlags(flags)
	addLogFlags(cmd)
	return cmd
}

// addLogFlags takes of klog's flags those that serve a purpose.
func addLogFlags(cmd *cobra.Command) {
	var logging flag.FlagSet
	klog.InitFlags(&logging)
	for _, name := range []string{"v", "vmodule"} {
		cmd.Flags().AddGoFlag(logging.Lookup(name))
	}
}

// Complete reads what the flags give as text and what the environment says.
func (o *AgentOptions) Complete(cmd *cobra.Command, _ []string) error {
	layout, err := compiler.ParseMask(o.markMask)
	if err != nil {
		return fmt.Errorf("--ct-mark-mask: %w", err)
	}
	o.config.Compiler.Mark = layout
	o.config.Compiler.UnknownPods = o.unknownPods == "pass"
	if o.config.Compiler.NodeDNS, err = parseNodeDNS(o.nodeDNS); err != nil {
		return err
	}
	o.completeDenials()
	if cmd != nil {
		o.completeDoor(cmd.Flags())
	}
	if o.config.Node == "" {
		o.config.Node = os.Getenv("NODE_NAME")
	}
	if cmd != nil {
		o.verbosity = cmd.Flags().Lookup("v").Value.String()
	}
	o.config.Defaults()
	return nil
}

// Validate names everything that is wrong with the flags.
func (o *AgentOptions) Validate() error {
	return errors.Join(
		o.validateSource(),
		o.validateNode(),
		oneOf("unknown-pods", o.unknownPods, "drop", "pass"),
		validateInterfaces("pod-interfaces", "cali*", o.config.PodInterfaces),
		validateInterfaces("uplinks", "eth[0-9]*", o.config.Uplinks),
		validateInterfaces("other-interfaces", "docker0", o.config.OtherInterfaces),
		o.validateDoor(),
		o.validateDenials(),
		o.validateUntaint(),
		o.validateNRI(),
		validateVerbosity(o.verbosity),
		o.config.Validate(),
	)
}

func (o *AgentOptions) validateUntaint() error {
	if o.untaint && o.manifests != "" {
		return errors.New("--remove-startup-taint: a directory of manifests has no Node to take it from")
	}
	return nil
}

// Run enforces until ctx ends.
func (o *AgentOptions) Run(ctx context.Context) error {
	if err := needKernel(); err != nil {
		return err
	}
	from, err := o.source()
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	agent, err := enforcer.New(o.config, from, nil, registry)
	if err != nil {
		return err
	}
	limitGarbage()
	klog.FromContext(ctx).Info("Starting", "version", versionName())
	defer klog.Flush()
	stop, err := o.hearRuntime(ctx, agent, registry)
	if err != nil {
		return err
	}
	defer stop()
	return endWithin(ctx, stopTimeout, agent.Run)
}

// stopTimeout is how long an agent may take to stop. The kubelet kills it after the
// manifest's terminationGracePeriodSeconds, and says nothing of the reason.
const stopTimeout = 4 * time.Second

// endWithin runs the agent and, once the context has ended, waits for it no longer
// than patience: a kernel or an nft that does not answer must not keep the process,
// which its successor waits for. What the agent did last is one transaction, so that
// the rules are as they were before it or as it made them.
func endWithin(ctx context.Context, patience time.Duration, run func(context.Context) error) error {
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(patience):
		return fmt.Errorf("the agent did not stop within %v, because nft or the kernel did not answer; it was ended, and the rules stay in force", patience)
	}
}

// garbagePercent is how much garbage may come on top of what is in use before it
// is collected. Go's default, 100, is for programs that make much of it. An
// agent's heap is the cluster: it lives long, and changes a little at a time, so
// that collecting six times as often costs a quiet node nothing, and one with
// 100 changes a second in a cluster of 150,000 Pods one or two percent of a core.
const garbagePercent = 15

// limitGarbage leaves the decision to the operator's GOGC, if there is one.
func limitGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}

func (o *AgentOptions) source() (source.Source, error) {
	if o.manifests != "" {
		return source.NewDir(o.manifests), nil
	}
	config, err := o.clientConfig()
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w", err)
	}
	config = source.KubeClientConfig(config)
	config.UserAgent = "sluice-agent/" + versionName()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for the cluster: %w", err)
	}
	if err := o.openDoor(config); err != nil {
		return nil, err
	}
	if o.untaint {
		o.config.Nodes = client.CoreV1().Nodes()
	}
	if o.events {
		o.config.Denials.Events = client.CoreV1()
	}
	return source.NewKube(client, o.config.Node), nil
}

func (o *AgentOptions) clientConfig() (*rest.Config, error) {
	if o.kubeconfig == "" && o.kubeContext == "" {
		config, err := rest.InClusterConfig()
		if errors.Is(err, rest.ErrNotInCluster) {
			return nil, errors.New("this is no Pod of a cluster: give --kubeconfig FILE, or --manifests DIRECTORY")
		}
		return config, err
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.kubeconfig
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: o.kubeContext}).ClientConfig()
}
