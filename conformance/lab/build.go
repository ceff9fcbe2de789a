package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/vishvananda/netlink"
	"k8s.io/apimachinery/pkg/types"
)

// Lab is a running cluster of network namespaces.
type Lab struct {
	spec    Spec
	layout  *layout
	fabric  *Namespace
	outside *Namespace
	nodes   map[string]*Namespace
	pods    map[types.NamespacedName]*PodNamespace
	// links are what connects each node, with its Pods, outsideLink the end of the
	// outside's own interface.
	links       map[string]*podLinks
	outsideLink int
	servers     *servers
	ports       ports
	unregister  func() bool

	// starting is held while a Pod is made that is late.
	starting sync.Mutex

	mu sync.Mutex
	// hosts says whose each address is; it and pods grow with Pods that are late.
	hosts     map[netip.Addr]*Namespace
	published []string
	closed    bool
}

// PodNamespace is the namespace of a Pod, with what connects it to its node.
type PodNamespace struct {
	*Namespace
	Pod Pod
	// Veth is the node's end, MAC the Pod's own hardware address and
	// GatewayMAC that of what it sends to. Empty for hostNetwork.
	Veth       string
	MAC        net.HardwareAddr
	GatewayMAC net.HardwareAddr

	eth0 int
	// number is the Pod's in Spec.Pods.
	number   int
	topology Topology
}

// uplinkName is the interface by which nodes, Pods and the outside reach the
// rest of the world.
const uplinkName = "eth0"

// bridgeName is the bridge that carries Pods, named as the CNI plugins do.
const bridgeName = "cni0"

// Build makes the namespaces, wires them up and starts the servers. The lab
// ends with Close or with ctx.
func Build(ctx context.Context, spec Spec) (*Lab, error) {
	if err := spec.Validate(); err != nil {
		return nil, fmt.Errorf("build lab: %w", err)
	}
	if err := reapStale(); err != nil {
		return nil, fmt.Errorf("build lab: %w", err)
	}
	if err := checkFileLimit(&spec); err != nil {
		return nil, fmt.Errorf("build lab: %w", err)
	}
	lay, err := newLayout(&spec)
	if err != nil {
		return nil, err
	}
	l := &Lab{
		spec: spec, layout: lay,
		nodes: map[string]*Namespace{},
		pods:  map[types.NamespacedName]*PodNamespace{},
		links: map[string]*podLinks{},
		hosts: map[netip.Addr]*Namespace{},
	}
	if err := l.build(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("build lab: %w", err), l.Close())
	}
	l.unregister = context.AfterFunc(ctx, func() { l.Close() })
	return l, nil
}

func (l *Lab) build(ctx context.Context) error {
	if err := l.buildFabric(); err != nil {
		return err
	}
	for i := range l.layout.nodes {
		if err := l.buildNode(ctx, i); err != nil {
			return err
		}
	}
	for _, a := range l.spec.External {
		if err := l.addExternal(a); err != nil {
			return err
		}
	}
	if err := l.settled(ctx); err != nil {
		return err
	}
	var err error
	if l.servers, err = startServers(); err != nil {
		return err
	}
	if err := l.installServices(); err != nil {
		return err
	}
	return l.serveSpec()
}

// buildFabric makes what lies between the nodes: a router, and behind it the
// outside, where all addresses live that nobody in the cluster has.
func (l *Lab) buildFabric() error {
	var err error
	if l.fabric, err = newRouter("fabric"); err != nil {
		return err
	}
	if l.outside, err = newHost("outside"); err != nil {
		return err
	}
	if err := l.fabric.addAddr(loopback, host(l.layout.fabric), netlink.SCOPE_LINK); err != nil {
		return err
	}
	w := wire{a: l.fabric, aName: "outside", b: l.outside, bName: uplinkName}
	w.aMAC, w.bMAC = outsideMACs()
	near, far, err := w.add(0)
	if err != nil {
		return err
	}
	if err := w.connect(near, far, l.layout.fabric, l.layout.outside); err != nil {
		return err
	}
	l.outsideLink = far
	for fam, via := range []netip.Addr{l.layout.outside, uplinkLL6} {
		if err := l.fabric.addRoute(everywhere(fam), hop{index: near, via: via}); err != nil {
			return err
		}
	}
	return l.addDefaultRoutes(l.outside, far, func(int) netip.Addr { return netip.Addr{} })
}

// addDefaultRoutes leads everything to the fabric.
func (l *Lab) addDefaultRoutes(n *Namespace, link int, source func(fam int) netip.Addr) error {
	for fam, via := range []netip.Addr{l.layout.fabric, gatewayLL6} {
		if err := n.addRoute(everywhere(fam), hop{index: link, via: via, src: source(fam)}); err != nil {
			return err
		}
	}
	return nil
}

// connect addresses the ends of a veth from the fabric (a) to something below it (b),
// whose addresses are on the interface far. Neighbours are permanent: this wire stands for
// a network that works.
func (w wire) connect(near, far int, fabric, below netip.Addr) error {
	steps := []func() error{
		func() error { return w.b.addAddr(far, host(below), netlink.SCOPE_LINK) },
		func() error { return w.b.addAddr(far, netip.PrefixFrom(uplinkLL6, 64), netlink.SCOPE_LINK) },
		func() error { return w.a.addAddr(near, netip.PrefixFrom(gatewayLL6, 64), netlink.SCOPE_LINK) },
		func() error { return w.a.addNeighbour(near, below, w.bMAC) },
		func() error { return w.a.addNeighbour(near, uplinkLL6, w.bMAC) },
		func() error { return w.b.addNeighbour(far, fabric, w.aMAC) },
		func() error { return w.b.addNeighbour(far, gatewayLL6, w.aMAC) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) buildNode(ctx context.Context, index int) error {
	lay := &l.layout.nodes[index]
	node, err := newRouter("node/" + lay.Name)
	if err != nil {
		return err
	}
	l.nodes[lay.Name] = node
	k := &podLinks{lab: l, lay: lay, node: node, index: index, shape: l.spec.Topology.shape()}
	l.links[lay.Name] = k
	if err := k.filterReverse(); err != nil {
		return err
	}
	if err := k.addUplink(); err != nil {
		return err
	}
	for _, a := range lay.Addrs {
		if err := node.addAddr(k.uplink, host(a), netlink.SCOPE_UNIVERSE); err != nil {
			return err
		}
		if err := l.own(a, node, lay, k.fabricLink); err != nil {
			return err
		}
	}
	if err := l.addDefaultRoutes(node, k.uplink, lay.source); err != nil {
		return err
	}
	return l.buildPods(ctx, k)
}

// addUplink connects the node to the fabric. Where its card is a port of the Pods' bridge,
// the bridge has its addresses, hardware address included.
func (k *podLinks) addUplink() error {
	w := wire{a: k.lab.fabric, aName: fmt.Sprintf("node%d", k.index), b: k.node, bName: uplinkName}
	w.aMAC, w.bMAC = nodeMACs(k.index)
	var err error
	if k.fabricLink, k.uplink, err = w.add(0); err != nil {
		return err
	}
	if k.shape.uplinked {
		if err := k.enslave(w.bMAC); err != nil {
			return err
		}
	}
	return w.connect(k.fabricLink, k.uplink, k.lab.layout.fabric, k.lay.uplink)
}

// enslave makes the node's card a port of its bridge.
func (k *podLinks) enslave(mac net.HardwareAddr) error {
	if err := k.node.Sysctl("ipv6/conf/"+uplinkName+"/disable_ipv6", "1"); err != nil {
		return err
	}
	if err := k.addBridge(mac); err != nil {
		return err
	}
	if err := k.node.link.LinkSetMasterByIndex(linkAt(k.uplink), k.bridge); err != nil {
		return fmt.Errorf("make %s of %s a port of %s: %w", uplinkName, k.node.Name, k.shape.bridge, err)
	}
	k.uplink = k.bridge
	return nil
}

// filterReverse has the node take packets only where it would send the answer to.
func (k *podLinks) filterReverse() error {
	if k.shape.reversePath == "" {
		return nil
	}
	return k.node.Sysctl("ipv4/conf/all/rp_filter", k.shape.reversePath)
}

// own routes an address from the fabric to its node and remembers whose it is.
func (l *Lab) own(a netip.Addr, ns *Namespace, node *nodeLayout, link int) error {
	via := uplinkLL6
	if a.Is4() {
		via = node.uplink
	}
	l.mu.Lock()
	l.hosts[a] = ns
	l.mu.Unlock()
	return l.fabric.addRoute(host(a), hop{index: link, via: via})
}

// source is the node's first address of a family, by which it speaks unless a
// program says otherwise.
func (n *nodeLayout) source(fam int) netip.Addr {
	for _, a := range n.Addrs {
		if family(a) == fam {
			return a
		}
	}
	return netip.Addr{}
}

// newHost makes a namespace with loopback up that forwards nothing.
func newHost(name string) (*Namespace, error) {
	return newStation(name, false)
}

// newRouter makes a namespace that forwards.
func newRouter(name string) (*Namespace, error) {
	return newStation(name, true)
}

func newStation(name string, forward bool) (*Namespace, error) {
	n, err := newNamespace(name)
	if err != nil {
		return nil, err
	}
	// Forwarding comes first: the kernel resets other settings with it.
	var s []sysctl
	if forward {
		s = append(s,
			sysctl{key: "ipv4/ip_forward", value: "1"},
			sysctl{key: "ipv6/conf/all/forwarding", value: "1"})
	}
	if err := n.sysctls(append(s, stationSysctls...)); err != nil {
		n.close()
		return nil, err
	}
	if err := n.up(loopback); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

var stationSysctls = []sysctl{
	{key: "ipv6/conf/all/disable_ipv6", value: "0"},
	{key: "ipv6/conf/default/disable_ipv6", value: "0"},
	{key: "ipv6/conf/lo/disable_ipv6", value: "0"},
	// Link-local addresses are there at once.
	{key: "ipv6/conf/default/accept_dad", value: "0"},
	{key: "ipv6/conf/all/accept_ra", value: "0"},
	{key: "ipv6/conf/default/accept_ra", value: "0"},
	// Spoofed packets must meet the engine, not the kernel's own filter.
	{key: "ipv4/conf/all/rp_filter", value: "0"},
	{key: "ipv4/conf/default/rp_filter", value: "0"},
	{key: "ipv4/conf/all/send_redirects", value: "0"},
	{key: "ipv4/conf/default/send_redirects", value: "0"},
	{key: "ipv4/conf/all/accept_redirects", value: "0"},
	{key: "ipv4/conf/default/accept_redirects", value: "0"},
	{key: "ipv6/conf/default/accept_redirects", value: "0"},
	// A refused flow must be told from a silent one, however many there are.
	{key: "ipv4/icmp_ratelimit", value: "0"},
	{key: "ipv4/icmp_msgs_per_sec", value: "1000000", optional: true},
	{key: "ipv4/icmp_msgs_burst", value: "1000000", optional: true},
	{key: "ipv6/icmp/ratelimit", value: "0"},
	// Unprivileged ICMP sockets, which the kernel demultiplexes for us.
	{key: "ipv4/ping_group_range", value: "0 2147483647"},
	{key: "core/somaxconn", value: "65535"},
	{key: "ipv4/tcp_max_syn_backlog", value: "65535"},
	// A connection that is allowed again is back within a second.
	{key: "ipv4/tcp_rto_max_ms", value: "1000", optional: true},
	// And it does not give up before.
	{key: "ipv4/tcp_retries2", value: "120"},
	{key: "ipv4/tcp_syn_retries", value: "120"},
}

// mac makes a locally administered hardware address, unique in the lab.
func mac(kind byte, index int, end byte) net.HardwareAddr {
	return net.HardwareAddr{0x02, kind, end, byte(index >> 16), byte(index >> 8), byte(index)}
}
