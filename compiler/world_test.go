package compiler_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/compiler/rulesim"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/spectest"
)

const (
	uplink = "eth0"
	bridge = "cni0"
)

// world is a cluster with a simulated kernel on each node.
type world struct {
	cluster *spectest.Cluster
	config  compiler.Config
	// bridged nodes have one interface for all their Pods.
	bridged bool
	// ipvs: whatever a Pod sends to another end than its node goes to a Service, and
	// IPVS sends it on.
	ipvs bool
	// whole sees every Pod as local.
	whole *policy.Index
	nodes map[string]*host
}

type host struct {
	name     string
	index    *policy.Index
	compiler *compiler.Compiler
	kernel   *rulesim.Kernel
	links    compiler.Links
	epoch    uint32
}

func worldConfig(r *rand.Rand) compiler.Config {
	masks := []uint32{compiler.DefaultMask, 0x1fff0000, 0x8000007f}
	return compiler.Config{
		Mark:        compiler.MarkLayout{Mask: masks[r.IntN(len(masks))]},
		UnknownPods: r.IntN(4) == 0,
		NodeEgress:  r.IntN(4) == 0,
		Reject:      r.IntN(2) == 0,
		LogGroup:    77,
	}
}

const firstEpoch = 1

// newWorld makes the nodes of a cluster, with nothing in their indexes.
func newWorld(t testing.TB, cfg compiler.Config, bridged bool, c *spectest.Cluster, nodes []string) *world {
	t.Helper()
	w := &world{cluster: c, config: cfg, bridged: bridged, nodes: map[string]*host{}}
	c.NodeEgress = w.config.NodeEgress
	w.whole = policy.NewIndex(policy.Options{NodeEgress: w.config.NodeEgress})
	for _, name := range nodes {
		n := &host{name: name, epoch: firstEpoch, index: policy.NewIndex(policy.Options{Node: name, NodeEgress: w.config.NodeEgress})}
		n.compiler = newCompiler(t, w.config)
		w.nodes[name] = n
	}
	return w
}

// crowd has the compilers take most allow sets for too large to be cut into classes.
func (w *world) crowd(r *rand.Rand) {
	classes, leaf, leaves := r.IntN(2), 1+r.IntN(3), 1+r.IntN(8)
	for _, n := range w.nodes {
		n.compiler.SmallLimits(classes, leaf, leaves)
	}
}

// leaves has the compilers take most allow sets for many stretches.
func (w *world) leaves(r *rand.Rand) {
	compared, branch, apart := 1+r.IntN(3), 1+r.IntN(4), r.IntN(3)
	for _, n := range w.nodes {
		n.compiler.SmallLeaves(compared, branch, apart)
	}
}

func newCompiler(t testing.TB, cfg compiler.Config) *compiler.Compiler {
	t.Helper()
	c, err := compiler.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.SetEpoch(firstEpoch, false)
	return c
}

// nodeNames are the nodes that Pods of the events are ever on.
func nodeNames(events []spectest.Event) []string {
	var out []string
	for _, e := range events {
		if e.Pod != nil && !slices.Contains(out, e.Pod.Spec.NodeName) && e.Pod.Spec.NodeName != "" {
			out = append(out, e.Pod.Spec.NodeName)
		}
	}
	slices.Sort(out)
	return out
}

// deliver hands an event to an index. Invalid parts are part of the game:
// policy's own tests look at the errors.
func deliver(x *policy.Index, e spectest.Event) {
	name := e.Name()
	switch {
	case e.Pod != nil && e.Delete:
		x.DeletePod(name)
	case e.Pod != nil:
		if p, _ := policy.PodFromAPI(e.Pod); p != nil {
			x.SetPod(p)
		}
	case e.Policy != nil && e.Delete:
		x.DeletePolicy(name)
	case e.Policy != nil:
		_ = x.SetPolicy(e.Policy)
	case e.Delete:
		x.DeleteNamespace(name.Name)
	default:
		x.SetNamespace(name.Name, e.Namespace.Labels)
	}
}

// load brings the final cluster to all nodes from scratch.
func (w *world) load(t testing.TB) {
	t.Helper()
	for _, e := range w.cluster.Final() {
		deliver(w.whole, e)
		for _, n := range w.nodes {
			deliver(n.index, e)
		}
	}
	for _, n := range w.nodes {
		n.links = w.links(w.cluster, n.name)
		n.compiler.Update(n.index, n.index.Changes(), n.links)
		n.install(t)
	}
}

// install puts the whole ruleset in the node's kernel, read from its text.
func (n *host) install(t testing.TB) {
	t.Helper()
	kernel, err := rulesim.Load(n.compiler.Ruleset().String())
	if err != nil {
		t.Fatalf("the kernel refuses the ruleset of %s: %v\n%s", n.name, err, n.compiler.Ruleset())
	}
	n.kernel = kernel
}

// links are the interfaces of a node's Pods.
func (w *world) links(c *spectest.Cluster, nodeName string) compiler.Links {
	l := compiler.Links{Binds: map[netip.Addr]compiler.Bind{}, IPVS: w.ipvs}
	for _, pod := range c.Pods {
		if pod.Spec.NodeName != nodeName || pod.Spec.HostNetwork {
			continue
		}
		p, _ := policy.PodFromAPI(pod)
		for _, a := range p.Addrs {
			if scheduled(c, a) == pod {
				l.Binds[a] = w.bind(pod)
				l.PodInterfaces = append(l.PodInterfaces, w.bind(pod).Interface)
			}
		}
	}
	slices.Sort(l.PodInterfaces)
	l.PodInterfaces = slices.Compact(l.PodInterfaces)
	return l
}

func (w *world) bind(pod *corev1.Pod) compiler.Bind {
	key := types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}.String()
	h := uint32(2166136261)
	for _, c := range []byte(key) {
		h = (h ^ uint32(c)) * 16777619
	}
	veth := fmt.Sprintf("veth%08x", h)
	b := compiler.Bind{Interface: veth, Veth: veth,
		MAC:       fmt.Sprintf("02:00:%02x:%02x:%02x:%02x", byte(h>>24), byte(h>>16), byte(h>>8), byte(h)),
		LinkLocal: []netip.Addr{netip.MustParseAddr(fmt.Sprintf("fe80::ff:fe%02x:%04x", byte(h>>16), uint16(h)))},
	}
	if w.bridged {
		b.Interface, b.Port = bridge, int(h>>1)
	}
	return b
}

// leg is one node's part in a flow's way.
type leg struct {
	there, back []rulesim.Hop
	// src and dst are the Pods on this node.
	src, dst *corev1.Pod
	// epoch is the node's.
	epoch uint32
	// deny is what counts the flow's denial here, empty if it is allowed.
	deny string
}

// legs are the hooks that a flow passes. A node's own packets pass none of ours
// on their way to its Pods, and neither do its answers to them.
func (w *world) legs(f spectest.Flow) []leg {
	src, dst := w.scheduled(f.Src), w.scheduled(f.Dst)
	if src != nil && dst != nil && src.Spec.NodeName == dst.Spec.NodeName {
		in, out := w.bind(src).Interface, w.bind(dst).Interface
		return []leg{{there: w.there(src, f, out), back: w.hop(src, rulesim.Forward, out, in), src: src, dst: dst, epoch: w.epoch(src)}}
	}
	var out []leg
	if src != nil {
		veth := w.bind(src).Interface
		l := leg{there: w.there(src, f, uplink), back: w.hop(src, rulesim.Forward, uplink, veth), src: src, epoch: w.epoch(src)}
		if dst == nil && w.cluster.OnOwnNode(src, f.Dst) {
			l.there, l.back = w.hop(src, rulesim.Input, veth, ""), nil
		}
		out = append(out, l)
	}
	if dst != nil {
		veth := w.bind(dst).Interface
		l := leg{there: w.hop(dst, rulesim.Forward, uplink, veth), back: w.hop(dst, rulesim.Forward, veth, uplink), dst: dst, epoch: w.epoch(dst)}
		if src == nil && w.cluster.OnOwnNode(dst, f.Src) {
			l.there, l.back = nil, w.hop(dst, rulesim.Input, veth, "")
		}
		out = append(out, l)
	}
	return out
}

// there are the hooks that what a Pod sends passes on its own node.
func (w *world) there(src *corev1.Pod, f spectest.Flow, out string) []rulesim.Hop {
	in := w.bind(src).Interface
	if !w.ipvs {
		return w.hop(src, rulesim.Forward, in, out)
	}
	service := netip.MustParseAddr("10.96.0.10")
	if f.Src.Is6() {
		service = netip.MustParseAddr("fd00:96::10")
	}
	taken := w.hop(src, rulesim.Input, in, "")[0]
	taken.Service, taken.Before = service, ipvsPriority
	return append([]rulesim.Hop{taken}, w.hop(src, rulesim.Output, "", out)...)
}

// ipvsPriority is where IPVS takes packets at input.
const ipvsPriority = 99

// scheduled is the newest Pod that claims an address and is on a node: only a
// node can enforce anything. It is the one that has the address in this world.
func scheduled(c *spectest.Cluster, a netip.Addr) *corev1.Pod {
	return spectest.Newest(slices.DeleteFunc(c.Claimants(a), func(p *corev1.Pod) bool { return p.Spec.NodeName == "" }))
}

func (w *world) scheduled(a netip.Addr) *corev1.Pod { return scheduled(w.cluster, a) }

// misplaced reports whether a node takes an address for that of a Pod of its
// own, though another node has it: then what comes from there is dropped.
func (w *world) misplaced(a netip.Addr, node string) bool {
	at := w.scheduled(a)
	return at != nil && at.Spec.NodeName != node && slices.ContainsFunc(w.cluster.Claimants(a), func(p *corev1.Pod) bool { return p.Spec.NodeName == node })
}

func (w *world) epoch(pod *corev1.Pod) uint32 { return w.nodes[pod.Spec.NodeName].epoch }

func (w *world) hop(pod *corev1.Pod, h rulesim.Hook, in, out string) []rulesim.Hop {
	return []rulesim.Hop{{Kernel: w.nodes[pod.Spec.NodeName].kernel, Hook: h, In: in, Out: out}}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// vethOf is the interface of the Pod that has an address.
func (n *host) vethOf(t testing.TB, address string) string {
	t.Helper()
	b, ok := n.links.Binds[addr(address)]
	if !ok {
		t.Fatalf("%s has no interface on %s", address, n.name)
	}
	return b.Interface
}
