package app

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/service"
)

// overlay is what a Node object tells of the network between the nodes' Pods.
type overlay struct {
	// network names it, empty if nothing tells which it is.
	network string
	// tunnels are the node's addresses on it; links are the subnets in which its
	// nodes may do without.
	tunnels []netip.Addr
	links   []netip.Prefix
	// depends says what a tunnel's address hangs on that is not known.
	depends string
}

// Annotations by which network plugins tell their nodes of each other.
const (
	flannelBackend = "flannel.alpha.coreos.com/backend-type"
	calicoPrefix   = "projectcalico.org/"
)

// overlayOf reads the annotations of a node. backend is flannel's, which all nodes
// have in common, as another node tells it.
func overlayOf(n *corev1.Node, backend string) overlay {
	if o, ok := calicoOverlay(n); ok {
		return o
	}
	if own := n.Annotations[flannelBackend]; own != "" {
		backend = own
	}
	o := overlay{network: "flannel " + backend}
	switch backend {
	case "":
		return overlay{}
	case "vxlan", "wireguard", "ipip", "udp":
		// Its device has the first address of the node's range, in each family.
		for _, cidr := range podCIDRs(n) {
			o.tunnels = append(o.tunnels, cidr.Addr())
		}
		if len(o.tunnels) == 0 {
			o.depends = "the Node has no podCIDR, whose first address its tunnel has"
		}
	case "host-gw", "aws-vpc", "gce", "ali-vpc", "tencent-vpc":
	default:
		o.depends = "which address this kind of network takes"
	}
	return o
}

// calicoOverlay reads Calico's annotations. Those of flannel beside it, as with
// Canal, tell more where Calico names no tunnel.
func calicoOverlay(n *corev1.Node) (overlay, bool) {
	o := overlay{network: "Calico"}
	addr := func(name string) {
		if a, err := netip.ParseAddr(n.Annotations[calicoPrefix+name]); err == nil {
			o.tunnels = append(o.tunnels, a.Unmap())
		}
	}
	own := false
	for _, family := range []string{"IPv4", "IPv6"} {
		before := len(o.tunnels)
		addr(family + "WireguardInterfaceAddr")
		if len(o.tunnels) > before {
			continue // it takes all that goes to other nodes' Pods
		}
		addr(family + "VXLANTunnelAddr")
		addr(family + "IPIPTunnelAddr")
		if p, err := netip.ParsePrefix(n.Annotations[calicoPrefix+family+"Address"]); err == nil {
			own = true
			if p.Bits() < p.Addr().BitLen() {
				o.links = append(o.links, p.Masked())
			}
		}
	}
	return o, len(o.tunnels) > 0 || own && n.Annotations[flannelBackend] == ""
}

// podCIDRs are the ranges that a node gives its Pods addresses from.
func podCIDRs(n *corev1.Node) []netip.Prefix {
	list := n.Spec.PodCIDRs
	if len(list) == 0 {
		list = []string{n.Spec.PodCIDR}
	}
	var out []netip.Prefix
	for _, s := range list {
		if p, err := netip.ParsePrefix(s); err == nil {
			out = append(out, p.Masked())
		}
	}
	return out
}

// flannelOf is the backend of flannel that any node tells of.
func flannelOf(nodes []*corev1.Node) string {
	for _, n := range nodes {
		if backend := n.Annotations[flannelBackend]; backend != "" {
			return backend
		}
	}
	return ""
}

// on fills in what a node of a family has of the overlay.
func (o *overlay) on(n *service.Node) {
	for _, a := range o.tunnels {
		if a.Is4() == n.Addr.Is4() {
			n.Tunnels = append(n.Tunnels, a)
		}
	}
	for _, l := range o.links {
		if l.Addr().Is4() == n.Addr.Is4() {
			n.Link = l
		}
	}
}

// fromNode finds the paths from a node to a Pod without anything between them:
// the Pods of other nodes see it by its tunnel's address.
func (c *cluster) fromNode(ctx context.Context, src endRef, flow policy.Flow) ([]path, []string, error) {
	direct := []path{{egress: flow, ingress: flow}}
	if flow.Dst.Pod == nil || flow.Dst.Pod.HostNetwork || flow.Src.Pod != nil && !flow.Src.Pod.HostNetwork {
		return direct, nil, nil
	}
	client, _, _, err := c.clientOf(ctx, src)
	if err != nil || client.Kind != service.Host {
		return direct, nil, err
	}
	client.Addr = flow.Src.Addr
	door := service.Door{Kind: service.AtPod}
	nodes, notices, err := c.nodesFor(ctx, client, door)
	if err != nil {
		return nil, nil, err
	}
	pod := flow.Dst.Pod
	backend := service.Backend{AddrPort: netip.AddrPortFrom(flow.Dst.Addr, flow.Port), Node: pod.Node, Pod: pod.NamespacedName}
	var paths []path
	found := service.Paths(&corev1.Service{}, client, door, []service.Backend{backend}, nodes)
	for _, p := range found {
		paths = append(paths, c.pathOf(p, src.pod, flow.Protocol))
	}
	return paths, append(notices, c.overlayNotices(client, found)...), nil
}

// overlayNotices say what the address hangs on by which Pods see a node.
func (c *cluster) overlayNotices(client service.Client, paths []service.Path) []string {
	var notices []string
	for _, p := range paths {
		name := p.Entry
		if name == "" && client.Kind == service.Host {
			name = client.Node
		}
		if name == "" || name == p.Backend.Node || c.nodes == nil || !c.isolated(p.Ingress.Dst) {
			continue
		}
		if c.nodes.overlays[name].network == "" && client.Kind != service.Host {
			continue // said of all nodes that hand connections on
		}
		if n := c.overlayNotice(name, p); n != "" && !slices.Contains(notices, n) {
			notices = append(notices, n)
		}
	}
	return notices
}

func (c *cluster) overlayNotice(name string, p service.Path) string {
	o := c.nodes.overlays[name]
	switch {
	case o.depends != "":
		return fmt.Sprintf("the Pods of other nodes see node %s by its tunnel's address, not by %s, which depends on what is not known: %s (%s)", name, p.Ingress.Src, o.depends, o.network)
	case o.network == "":
		return fmt.Sprintf("the Pods of other nodes see node %s by %s only if the network is no overlay: with one (VXLAN, Geneve, IPIP, WireGuard) they see its tunnel's address, which only Node objects with the annotations of flannel or Calico tell", name, p.Ingress.Src)
	case len(o.tunnels) == 0:
		return ""
	case p.Backend.Node == "":
		return fmt.Sprintf("on which node Pod %s runs is not known: only those of other nodes than %s see that by its tunnel's address", p.Backend.Pod, name)
	case !p.Tunnel:
		return fmt.Sprintf("between nodes of one subnet it depends on %s's mode whether a Pod sees node %s by its tunnel's address or by its own: CrossSubnet does without the tunnel there, Always does not", o.network, name)
	}
	return ""
}

// isolated reports whether it matters by which address a Pod is reached.
func (c *cluster) isolated(dst netip.AddrPort) bool {
	end := c.index.EndOfAddr(dst.Addr())
	if end.Pod == nil {
		return false
	}
	v := c.index.Evaluate(policy.Flow{Src: c.index.EndOfAddr(unnamed(dst.Addr())), Dst: end, Protocol: policy.TCP, Port: dst.Port()})
	return v.Ingress.Reason != policy.ReasonNotIsolated
}

// unnamed is an address of no Pod and no node, of the family of another.
func unnamed(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// isNode reports whether an address is one of a node's.
func (c *cluster) isNode(a netip.Addr, name string) bool {
	return c.nodes != nil && c.nodes.byAddr[a] == name
}
