package controlpath

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/conformance/scale"
	"github.com/sluice-net/sluice/enforcer"
	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/enforcer/tables"
)

// node is the node under test with its Pods, and next to it the twin, which
// holds a copy of its ruleset and no agent.
type node struct {
	lab  *lab.Lab
	here *lab.Namespace
	twin *lab.Namespace
	// dir holds the copy.
	dir string

	feed  *feed
	agent *enforcer.Agent
	rec   *recorder
	stop  func() error
}

// The prober's Pods. They are local Pods of a namespace without policies.
const proberNamespace = "prober"

var proberAddrs = map[string]string{"from": "10.255.255.1", "to": "10.255.255.2"}

func proberPod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: proberNamespace, Name: name, UID: types.UID(name), Labels: map[string]string{"app": name}},
		Spec:       corev1.PodSpec{NodeName: scale.Node, Containers: []corev1.Container{{Name: "main"}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, HostIPs: []corev1.HostIP{{IP: "192.168.0.0"}},
			PodIPs: []corev1.PodIP{{IP: proberAddrs[name]}},
		},
	}
}

// newNode builds a node with these Pods.
func newNode(ctx context.Context, pods []*corev1.Pod, topology lab.Topology) (_ *node, err error) {
	n := &node{}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	if n.dir, err = os.MkdirTemp("", "sluice-bench-"); err != nil {
		return nil, fmt.Errorf("make room for the copy: %w", err)
	}
	spec, _, err := lab.SpecFromObjects(pods, lab.Placement{Topology: topology})
	if err != nil {
		return nil, err
	}
	spec.Nodes = append(spec.Nodes, lab.Node{Name: "twin", Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.77")}})
	for i := range spec.Pods {
		spec.Pods[i].Ports = nil // nobody is called
	}
	if n.lab, err = lab.Build(ctx, spec); err != nil {
		return nil, err
	}
	n.here, n.twin = n.lab.Node(scale.Node), n.lab.Node("twin")
	return n, nil
}

func (n *node) close() error {
	var errs []error
	if n.stop != nil {
		errs = append(errs, n.stop())
	}
	if n.lab != nil {
		errs = append(errs, n.lab.Close())
	}
	if n.dir != "" {
		errs = append(errs, os.RemoveAll(n.dir))
	}
	return errors.Join(errs...)
}

// start runs an agent on the node with what first delivers, and returns when
// all of it is enforced. The time counts from when the agent is told.
func (n *node) start(ctx context.Context, first []source.Event) (outcome, error) {
	n.feed, n.rec = &feed{first: first}, newRecorder(tables.New(n.here))
	cfg := enforcer.Config{
		Node: scale.Node, Transactor: n.rec, Grace: -1,
		Compiler: compiler.Config{LogGroup: 1},
	}
	agent, err := enforcer.New(cfg, n.feed, n.here, prometheus.NewRegistry())
	if err != nil {
		return outcome{}, err
	}
	running, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	n.agent = agent
	n.stop = func() error {
		cancel()
		n.stop = nil
		return <-ended
	}
	delivered := time.Now()
	go func() { ended <- agent.Run(running) }()
	select {
	case <-n.rec.begun:
	case <-time.After(settleTimeout):
	}
	if err := n.settle(ctx); err != nil {
		return outcome{}, errors.Join(err, n.stop())
	}
	return n.rec.since(delivered), nil
}

const settleTimeout = 3 * time.Minute

func (n *node) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	if err := n.agent.Settle(ctx); err != nil {
		return errors.Join(fmt.Errorf("bring it into the kernel: %w", err), n.agent.Ready())
	}
	return nil
}

// reset leaves the node without agent and rules.
func (n *node) reset(ctx context.Context) error {
	if n.stop != nil {
		if err := n.stop(); err != nil {
			return err
		}
	}
	_, err := enforcer.Cleanup(ctx, n.here, enforcer.CleanupOptions{})
	return err
}

// change delivers an event and waits for what it leads to. It returns when
// nothing is under way any more.
func (n *node) change(ctx context.Context, events ...source.Event) (outcome, error) {
	n.rec.reset()
	delivered := time.Now()
	for _, e := range events {
		n.feed.Deliver(e)
	}
	// Settle itself would make the agent look at all interfaces, so it comes
	// when the event's transactions have begun.
	select {
	case <-n.rec.begun:
	case <-time.After(time.Second):
	case <-ctx.Done():
		return outcome{}, ctx.Err()
	}
	if err := n.settle(ctx); err != nil {
		return outcome{}, err
	}
	return n.rec.since(delivered), nil
}

func (n *node) copyPath() string { return filepath.Join(n.dir, "ruleset.nft") }

// families are those of our tables; a node has the guards' one of its topology.
var families = []string{"inet", "netdev", "bridge"}

// copyRuleset writes the node's ruleset, guards included, to the file that the
// twin loads, and gives the twin interfaces of the names that the guards hang
// on.
func (n *node) copyRuleset(ctx context.Context) error {
	var text strings.Builder
	for _, family := range families {
		err := n.here.Do(func() error {
			tables, err := exec.CommandContext(ctx, "nft", "list", "tables", family).Output()
			if err != nil || !strings.Contains(string(tables), "table "+family+" "+compiler.TableName+"\n") {
				return err
			}
			cmd := exec.CommandContext(ctx, "nft", "--stateless", "list", "table", family, compiler.TableName)
			var stderr strings.Builder
			cmd.Stdout, cmd.Stderr = &text, &stderr
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("%w: %s", err, stderr.String())
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("copy table %s: %w", family, err)
		}
	}
	if err := n.twin.Do(func() error { return addInterfaces(text.String()) }); err != nil {
		return fmt.Errorf("copy the guards' interfaces: %w", err)
	}
	if err := os.WriteFile(n.copyPath(), []byte(text.String()), 0o600); err != nil {
		return fmt.Errorf("copy the ruleset: %w", err)
	}
	return nil
}

// named are interfaces: a guard's device, and ports in the sets of a bridge's guards.
var named = regexp.MustCompile(`device "([^"]+)"|"(veth[^"]*)"`)

// addInterfaces makes those that a ruleset names and that are missing. They are
// bridges, which every kernel has that the lab runs on.
func addInterfaces(ruleset string) error {
	for _, m := range named.FindAllStringSubmatch(ruleset, -1) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = m[1] + m[2]
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("add interface %s: %w", m[1], err)
		}
	}
	return nil
}

// load has nft load the copy into the twin, and says how long it took.
func (n *node) load(ctx context.Context) (time.Duration, error) {
	for _, family := range families {
		table := family + " " + compiler.TableName + "\n"
		if _, err := n.nft(ctx, "add table "+table+"delete table "+table); err != nil {
			return 0, err
		}
	}
	return n.run(ctx, "", "-f", n.copyPath())
}

// nft runs a transaction on the twin.
func (n *node) nft(ctx context.Context, text string) (time.Duration, error) {
	return n.run(ctx, text, "-f", "-")
}

func (n *node) run(ctx context.Context, stdin string, args ...string) (took time.Duration, err error) {
	err = n.twin.Do(func() error {
		cmd := exec.CommandContext(ctx, "nft", args...)
		cmd.Stdin = strings.NewReader(stdin)
		began := time.Now()
		out, err := cmd.CombinedOutput()
		took = time.Since(began)
		if err != nil {
			return fmt.Errorf("nft %s: %w: %.300s", strings.Join(args, " "), err, out)
		}
		return nil
	})
	return took, err
}

// elements is the text that adds or deletes so many elements, which no Pod has.
func elements(verb string, count int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s element inet %s local-v4 { ", verb, compiler.TableName)
	for i := range count {
		fmt.Fprintf(&b, "203.0.%d.%d, ", i/256, i%256)
	}
	b.WriteString("}\n")
	return b.String()
}
