// Package enforced is a lab with the engine at work on each of its nodes, for
// tests that ask what gets through.
package enforced

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/enforcer"
	"github.com/sluice-net/sluice/enforcer/source"
)

// Options say what to build.
type Options struct {
	// Placement is topology, spread over nodes, external addresses and
	// Services. The zero value is one node with a bridge.
	Placement lab.Placement
	// Pods get namespaces; those without node or host addresses get them.
	Pods []*corev1.Pod
	// Late are Pods with addresses that the lab keeps for them. They are neither there
	// nor delivered: StartPod makes one, and its object is in Pods of the cluster.
	Late []*corev1.Pod
	// Objects are delivered besides the Pods: Namespaces, NetworkPolicies.
	Objects []any
	// Config changes the configuration of each node's agent, if not nil.
	Config func(*enforcer.Config)
	// NoAgents leaves the agents for StartAgents.
	NoAgents bool
}

// Cluster is a lab under enforcement.
type Cluster struct {
	*lab.Lab
	// Pods are the lab's Pods as they were delivered, or will be, with node and host
	// addresses filled in.
	Pods map[types.NamespacedName]*corev1.Pod

	t       testing.TB
	ctx     context.Context
	options Options
	// sources are per node: one agent runs on a source.
	sources map[string]*source.Memory
	agents  map[string]*agent
}

type agent struct {
	*enforcer.Agent
	registry *prometheus.Registry
	stop     context.CancelFunc
	ended    chan error
}

// settleTimeout is how long a change may take on a machine that is busy with other tests,
// or whose processors are emulated (conformance/kernels). Nothing waits for it but what
// fails.
const settleTimeout = 5 * time.Minute

// Start builds the lab and the agents and returns when everything is enforced.
// Everything ends with the test. It fails the test rather than return an
// error.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	ctx := klog.NewContext(t.Context(), testr.NewWithInterface(t, testr.Options{}))
	spec, pods, err := lab.SpecFromObjects(slices.Concat(o.Pods, o.Late), o.Placement)
	if err != nil {
		t.Fatalf("derive the lab: %v", err)
	}
	late := map[types.NamespacedName]bool{}
	for _, p := range o.Late {
		late[types.NamespacedName{Namespace: p.Namespace, Name: p.Name}] = true
	}
	for i := range spec.Pods {
		spec.Pods[i].Late = late[spec.Pods[i].Name]
	}
	// Not the test's context: that ends before its cleanups.
	l, err := lab.Build(context.WithoutCancel(ctx), spec)
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{
		Lab: l, Pods: map[types.NamespacedName]*corev1.Pod{},
		t: t, ctx: context.WithoutCancel(ctx), options: o,
		sources: map[string]*source.Memory{}, agents: map[string]*agent{},
	}
	t.Cleanup(c.close)
	var objects []any
	for _, p := range pods {
		name := types.NamespacedName{Namespace: p.Namespace, Name: p.Name}
		c.Pods[name] = p
		if !late[name] {
			objects = append(objects, p)
		}
	}
	for _, n := range spec.Nodes {
		c.sources[n.Name] = &source.Memory{}
		if err := c.sources[n.Name].Set(append(objects, o.Objects...)...); err != nil {
			t.Fatal(err)
		}
	}
	if !o.NoAgents {
		c.StartAgents()
	}
	return c
}

// StartAgents starts an agent on each node that has none, and settles.
func (c *Cluster) StartAgents() {
	c.t.Helper()
	for node := range c.sources {
		if c.agents[node] == nil {
			c.startAgent(node)
		}
	}
	c.Settle()
}

func (c *Cluster) startAgent(node string) {
	c.t.Helper()
	cfg := enforcer.Config{Node: node}
	if c.options.Config != nil {
		c.options.Config(&cfg)
	}
	registry := prometheus.NewRegistry()
	a, err := enforcer.New(cfg, c.sources[node], c.Node(node), registry)
	if err != nil {
		c.t.Fatalf("node %s: %v", node, err)
	}
	ctx, stop := context.WithCancel(c.ctx)
	running := &agent{Agent: a, registry: registry, stop: stop, ended: make(chan error, 1)}
	c.agents[node] = running
	go func() { running.ended <- a.Run(ctx) }()
}

// StopAgents stops the agents. The rules stay.
func (c *Cluster) StopAgents() {
	c.t.Helper()
	for node, a := range c.agents {
		a.stop()
		if err := <-a.ended; err != nil {
			c.t.Errorf("agent on %s: %v", node, err)
		}
		delete(c.agents, node)
	}
}

// Agent is the agent of a node, nil if none runs.
func (c *Cluster) Agent(node string) *enforcer.Agent {
	if a := c.agents[node]; a != nil {
		return a.Agent
	}
	return nil
}

// Registry has the metrics of the agent of a node.
func (c *Cluster) Registry(node string) *prometheus.Registry {
	c.t.Helper()
	a := c.agents[node]
	if a == nil {
		c.t.Fatalf("no agent runs on node %s", node)
	}
	return a.registry
}

// Deliver changes or adds objects on all nodes and returns at once.
func (c *Cluster) Deliver(objects ...any) {
	c.t.Helper()
	for node, s := range c.sources {
		if err := s.Set(objects...); err != nil {
			c.t.Fatalf("node %s: %v", node, err)
		}
	}
}

// DeliverTo is Deliver to one node alone.
func (c *Cluster) DeliverTo(node string, objects ...any) {
	c.t.Helper()
	if err := c.sources[node].Set(objects...); err != nil {
		c.t.Fatalf("node %s: %v", node, err)
	}
}

// Set changes or adds objects and returns when the kernels know.
func (c *Cluster) Set(objects ...any) {
	c.t.Helper()
	c.Deliver(objects...)
	c.Settle()
}

// Delete removes objects and returns when the kernels know.
func (c *Cluster) Delete(objects ...any) {
	c.t.Helper()
	for node, s := range c.sources {
		if err := s.Delete(objects...); err != nil {
			c.t.Fatalf("node %s: %v", node, err)
		}
	}
	c.Settle()
}

// Settle returns when all that was delivered is in the kernels.
func (c *Cluster) Settle() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, settleTimeout)
	defer cancel()
	for node, a := range c.agents {
		if err := a.settle(ctx); err != nil {
			c.t.Fatalf("node %s: the policies did not get into the kernel: %v", node, err)
		}
	}
}

// settle says why, when it fails.
func (a *agent) settle(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	settled := make(chan error, 1)
	go func() { settled <- a.Settle(ctx) }()
	select {
	case err := <-a.ended:
		a.ended <- err
		return fmt.Errorf("the agent ended: %w", errors.Join(err, a.Ready()))
	case err := <-settled:
		if err != nil {
			return errors.Join(err, a.Ready())
		}
		return nil
	}
}

// NodeOf is the namespace of the node that a Pod is on.
func (c *Cluster) NodeOf(pod types.NamespacedName) *lab.Namespace {
	c.t.Helper()
	p := c.Pod(pod)
	if p == nil {
		c.t.Fatalf("no Pod %s in the lab", pod)
	}
	return c.Node(p.Pod.Node)
}

// Addr is the Pod's address of a family.
func (c *Cluster) Addr(pod types.NamespacedName, is6 bool) netip.Addr {
	c.t.Helper()
	if p := c.Pod(pod); p != nil {
		for _, a := range p.Pod.Addrs {
			if a.Is6() == is6 {
				return a
			}
		}
	}
	c.t.Fatalf("Pod %s has no address of that family", pod)
	return netip.Addr{}
}

func (c *Cluster) close() {
	c.StopAgents()
	if err := c.Close(); err != nil {
		c.t.Error(err)
	}
}
