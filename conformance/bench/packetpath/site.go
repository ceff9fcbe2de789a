package packetpath

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/vishvananda/netlink"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/enforcer"
	"github.com/sluice-net/sluice/enforcer/source"
)

// outsiders are addresses that policies speak of by range: in a block, in its
// exception, and in a block with all ports.
var outsiders = []netip.Addr{
	netip.MustParseAddr("172.16.0.5"), netip.MustParseAddr("172.16.0.70"), netip.MustParseAddr("198.18.0.9"),
}

// site is a lab with as many Pods as the largest load has. Shapes come and go in
// it, the namespaces stay.
type site struct {
	*lab.Lab
	topology       lab.Topology
	node           *lab.Namespace
	client, server *lab.PodNamespace
	rulesets       map[cell]ruleset
	// processors are those that send and receive.
	processors []int
}

// ruleset is what a cell has in the node's kernel: what the engine's agent makes of
// objects of the API, then text for the programs that bring it there.
type ruleset struct {
	objects              []any
	nft, iptables, ipset string
}

func newSite(ctx context.Context, topology lab.Topology, pods int) (*site, error) {
	spec := lab.Spec{
		Topology: topology, External: outsiders,
		Nodes: []lab.Node{{Name: nodeName, Addrs: []netip.Addr{netip.MustParseAddr("192.168.99.1")}}},
	}
	for n := range pods {
		p := localPod(n)
		spec.Pods = append(spec.Pods, lab.Pod{Name: podName(p), Node: nodeName, Addrs: []netip.Addr{p.addr}})
	}
	cpus, err := processors()
	if err != nil {
		return nil, err
	}
	l, err := lab.Build(ctx, spec)
	if err != nil {
		return nil, err
	}
	s := &site{
		Lab: l, topology: topology, node: l.Node(nodeName),
		client: l.Pod(podName(localPod(0))), server: l.Pod(podName(localPod(1))),
		rulesets: map[cell]ruleset{}, processors: cpus,
	}
	if err := s.client.Sysctl("ipv4/tcp_syn_retries", synRetries); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return s, nil
}

func podName(p pod) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: p.name}
}

// conntrackOnly is a table that does nothing else.
func conntrackOnly(name string) string {
	return "table inet " + name + ` {
  chain forward {
    type filter hook forward priority filter
    ct state established,related accept
  }
}
`
}

// emptyHooks are the hooks of guards without their rules.
func (s *site) emptyHooks(w workload) string {
	var b strings.Builder
	if s.topology == lab.Bridge {
		for _, hook := range []string{"prerouting", "forward", "output"} {
			fmt.Fprintf(&b, "  chain at-%s {\n    type filter hook %[1]s priority -310\n  }\n", hook)
		}
		return "table bridge hooks {\n" + b.String() + "}\n"
	}
	for _, p := range w.local {
		fmt.Fprintf(&b, "  chain at-%s {\n    type filter hook ingress device %[1]s priority -10\n  }\n", s.Pod(podName(p)).Veth)
	}
	return "table netdev hooks {\n" + b.String() + "}\n"
}

// prepare makes a cell's ruleset.
func (s *site) prepare(c cell, w workload) error {
	var r ruleset
	switch c.shape {
	case None, Conntrack:
	case Hooks:
		r.nft = conntrackOnly("hooks") + s.emptyHooks(w)
	case Guards:
		selected := w.load
		selected.Policies = 1
		r.objects = newWorkload(selected).objects(true)
		r.nft = "delete table inet " + compiler.TableName + "\n" + conntrackOnly("guards")
	case NFTLinear:
		r.nft = nftLinear(w)
	case IPTablesIPSet, IPTablesLinear:
		text, sets := iptablesRules(w, c.shape == IPTablesIPSet)
		r.iptables = text
		if c.shape == IPTablesIPSet {
			r.ipset = sets.ipsetScript()
		}
	case Sluice, Unguarded:
		r.objects = w.objects(c.shape == Sluice)
		if c.shape == Unguarded && s.topology == lab.Bridge {
			// The hooks of a bridge are for all its ports: a Pod that is let off still
			// passes them.
			r.nft = "delete table bridge " + compiler.TableName
		}
	default:
		return fmt.Errorf("prepare %s: no such shape", c)
	}
	s.rulesets[c] = r
	return nil
}

// enforce has an agent bring objects into the kernel, as it does on any node.
// It leaves when that is done: its rules stay.
func (s *site) enforce(ctx context.Context, objects []any) error {
	given := &source.Memory{}
	if err := given.Set(objects...); err != nil {
		return err
	}
	// Without the grace of a first install: what is measured is a node at work.
	agent, err := enforcer.New(enforcer.Config{Node: nodeName, Grace: -1, Compiler: compiler.Config{GuardOptOut: true}}, given, s.node, prometheus.NewRegistry())
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(klog.NewContext(ctx, logr.Discard()), 2*time.Minute)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- agent.Run(ctx) }()
	err = errors.Join(agent.Settle(ctx), agent.Ready())
	stop()
	return errors.Join(err, <-ended)
}

// load brings a cell's ruleset into the kernel in place of whatever was there.
// Conntrack-only has none of its own: it is what all others take turns with.
func (s *site) load(ctx context.Context, c cell) error {
	r := s.rulesets[c]
	if err := s.clear(ctx); err != nil {
		return err
	}
	if r.objects != nil {
		if err := s.enforce(ctx, r.objects); err != nil {
			return fmt.Errorf("install %s: %w", c, err)
		}
	}
	for _, step := range []struct {
		text    string
		command []string
	}{
		{r.nft, []string{"nft", "-f", "-"}},
		{r.ipset, []string{"ipset", "restore"}},
		{r.iptables, []string{"iptables-nft-restore"}},
	} {
		if step.text == "" {
			continue
		}
		if _, err := s.run(ctx, step.text, step.command...); err != nil {
			return fmt.Errorf("install %s: %w", c, err)
		}
	}
	return nil
}

// clear leaves the node without rules, sets and connections.
func (s *site) clear(ctx context.Context) error {
	if _, err := s.run(ctx, "flush ruleset\n", "nft", "-f", "-"); err != nil {
		return fmt.Errorf("clear: %w", err)
	}
	if ipsetError() == nil {
		if _, err := s.run(ctx, "", "ipset", "destroy"); err != nil {
			return fmt.Errorf("clear: %w", err)
		}
	}
	return s.node.Do(func() error { return netlink.ConntrackTableFlush(netlink.ConntrackTable) })
}

// bridgeNetfilter has packets between two ports of the bridge pass the forward
// hook, which all shapes need.
func (s *site) bridgeNetfilter(on bool) error {
	if s.topology != lab.Bridge {
		return nil
	}
	value := "0"
	if on {
		value = "1"
	}
	return errors.Join(
		s.node.Sysctl("bridge/bridge-nf-call-iptables", value),
		s.node.Sysctl("bridge/bridge-nf-call-ip6tables", value),
		s.node.Sysctl("bridge/bridge-nf-call-arptables", "0"),
	)
}

// run runs a command in the node.
func (s *site) run(ctx context.Context, input string, command ...string) (string, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin = strings.NewReader(input)
	var out, problems strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := s.node.Do(cmd.Run); err != nil {
		said := problems.String()
		if len(said) > 500 {
			said = said[:500] + "…"
		}
		return "", fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, said)
	}
	return out.String(), nil
}

// ipsetError is why sets cannot be made, nil if they can.
func ipsetError() error {
	if _, err := exec.LookPath("ipset"); err != nil {
		return err
	}
	_, _, err := netlink.IpsetProtocol()
	if err != nil {
		return fmt.Errorf("the kernel's ipset does not answer: %w", err)
	}
	return nil
}
