package question

import (
	"fmt"
	"net/netip"

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
	// masquerades: it may hide Pods from other nodes.
	masquerades bool
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
	// With --ip-masq, which its manifest and k3s set, flannel masquerades what Pods
	// send to anybody who is no Pod, other nodes among them; nothing tells who sets it
	// (https://github.com/flannel-io/flannel/blob/master/pkg/trafficmngr/iptables/iptables.go).
	o := overlay{network: "flannel " + backend, masquerades: true}
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
	n.Masquerades = o.masquerades
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
// the Pods of other nodes see it by its tunnel's address. From anybody else there
// is one, as it is.
func (p *pass) fromNode(src *member, flow policy.Flow) ([]Path, []string, error) {
	direct := []Path{{Egress: flow, Ingress: flow}}
	pod := flow.Dst.Pod
	if pod == nil || pod.HostNetwork || flow.Src.Pod != nil && !flow.Src.Pod.HostNetwork {
		return direct, nil, nil
	}
	client, _, err := p.client(src)
	if err != nil || client.Kind != service.Host {
		return direct, nil, err
	}
	client.Addr = flow.Src.Addr
	at := service.Door{Kind: service.AtPod}
	nodes, notice, err := p.nodesFor(client, at)
	if err != nil {
		return nil, nil, err
	}
	backend := service.Backend{AddrPort: netip.AddrPortFrom(flow.Dst.Addr, flow.Port), Node: pod.Node, Pod: pod.NamespacedName}
	found := service.Paths(&corev1.Service{}, client, at, []service.Backend{backend}, nodes)
	var paths []Path
	for _, f := range found {
		paths = append(paths, p.path(f, src.pod(), flow.Protocol))
	}
	return paths, append(once(nil, notice), p.overlayNotices(client, found)...), nil
}

// overlayNotices say what the address hangs on by which Pods see a node.
func (w *World) overlayNotices(client service.Client, paths []service.Path) []string {
	var notices []string
	for _, p := range paths {
		name := p.Entry
		if name == "" && client.Kind == service.Host {
			name = client.Node
		}
		if name == "" || name == p.Backend.Node || p.Masqueraded || w.nodes == nil || !w.isolated(p.Ingress.Dst) {
			continue
		}
		if w.nodes.overlays[name].network == "" && client.Kind != service.Host {
			continue // said of all nodes that hand connections on
		}
		notices = once(notices, w.overlayNotice(name, p))
	}
	return notices
}

func (w *World) overlayNotice(name string, p service.Path) string {
	o := w.nodes.overlays[name]
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
func (w *World) isolated(dst netip.AddrPort) bool {
	end := w.Index.EndOfAddr(dst.Addr())
	if end.Pod == nil {
		return false
	}
	nobody := netip.IPv6Unspecified()
	if dst.Addr().Is4() {
		nobody = netip.IPv4Unspecified()
	}
	v := w.Index.Evaluate(policy.Flow{Src: w.Index.EndOfAddr(nobody), Dst: end, Protocol: policy.TCP, Port: dst.Port()})
	return v.Ingress.Reason != policy.ReasonNotIsolated
}

// isNode reports whether an address is one of a node's.
func (w *World) isNode(a netip.Addr, name string) bool {
	return w.nodes != nil && w.nodes.byAddr[a] == name
}
