package service

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Client is who opens a connection.
type Client struct {
	// Addr is of the family of the connection.
	Addr netip.Addr
	// Node is where the client runs, empty if that is not known or outside.
	Node string
	Kind ClientKind
}

// ClientKind says what addresses a client has.
type ClientKind uint8

const (
	// Outside is a client that is neither a Pod nor a node.
	Outside ClientKind = iota
	// Pod is a Pod with an address of its own.
	Pod
	// Host is a node, or a hostNetwork Pod, which uses its node's address.
	Host
)

// Node is a node with the address of one family by which others know it.
type Node struct {
	Name string
	Addr netip.Addr
	// Tunnels are the node's addresses of that family on overlay networks: by
	// one of them the Pods of other nodes see it.
	Tunnels []netip.Addr
	// Link, if valid, is the subnet in which nodes may do without their tunnels.
	Link netip.Prefix
	// Masquerades: the node may put its address in place of its Pods' where they
	// connect to other nodes. Nothing tells whether it does.
	Masquerades bool
}

// seenFrom lists the addresses by which the Pods of another node may see this
// one, where own is the one that it uses without a tunnel. The other node may be
// unknown, and this one itself.
func (n Node) seenFrom(other Node, own netip.Addr) []netip.Addr {
	seen := slices.Clone(n.Tunnels)
	if len(seen) == 0 || other.Name == "" || n.Link.IsValid() && n.Link.Contains(other.Addr) {
		seen = append(seen, own)
	}
	return seen
}

// Door is where a client knocks.
type Door struct {
	Kind DoorKind
	// At is the address and the port as dialled; the address is not known for
	// a client from outside.
	At netip.AddrPort
	// Node is the one that is dialled, with AtNode; empty for any.
	Node string
}

// DoorKind is a way to reach a Service.
type DoorKind uint8

const (
	// AtClusterIP is the Service's address inside of the cluster.
	AtClusterIP DoorKind = iota
	// AtPod is a headless Service: the client dials the Pod itself.
	AtPod
	// AtNode is a port of the nodes.
	AtNode
	// AtBalancer is a load balancer's or another external address.
	AtBalancer
)

// Leg is a connection as one node judges it.
type Leg struct {
	Src netip.Addr
	Dst netip.AddrPort
}

// Path is one way that a connection can take.
type Path struct {
	Backend Backend
	// Egress is what the client's node judges for the client, Ingress what the
	// backend's node judges for the backend.
	Egress, Ingress Leg
	// Entry is the node that takes the connection from outside or at its own
	// port, empty where there is none or it is not known.
	Entry string
	// Hidden: the backend sees the address of Entry, or of the client's own
	// node, instead of the client's.
	Hidden bool
	// Tunnel: that address is one of the node's on an overlay network.
	Tunnel bool
	// Masqueraded: it is that of the client's own node, which may hide its Pods from
	// other nodes; the same path without it is given, too.
	Masqueraded bool
	// Hairpin: the client is the backend.
	Hairpin bool
}

// Paths lists the ways that a connection can take to the backends of the
// client's family. nodes are those of the cluster; a client from outside may
// come in at any of them.
func Paths(svc *corev1.Service, c Client, d Door, backends []Backend, nodes []Node) []Path {
	r := router{client: c, door: d, nodes: nodes}
	for _, b := range backends {
		if b.Addr().Is4() == c.Addr.Is4() {
			r.backends = append(r.backends, b)
		}
	}
	external := d.Kind == AtNode || d.Kind == AtBalancer
	r.local = external && svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal ||
		d.Kind == AtClusterIP && svc.Spec.InternalTrafficPolicy != nil && *svc.Spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal
	switch {
	case d.Kind == AtPod:
		r.dialled()
	case c.Kind == Outside:
		r.fromOutside()
	case d.Kind == AtNode && d.Node != c.Node:
		r.otherNode()
	case external:
		r.ownNode()
	default:
		r.inside()
	}
	return r.paths
}

type router struct {
	client   Client
	door     Door
	nodes    []Node
	backends []Backend
	// local: only backends on the node that takes the connection get it.
	local bool
	paths []Path
}

func (r *router) add(b Backend, p Path) {
	p.Backend = b
	if p.Egress == (Leg{}) {
		p.Egress = Leg{r.client.Addr, b.AddrPort}
	}
	if p.Ingress == (Leg{}) {
		p.Ingress = Leg{r.client.Addr, b.AddrPort}
	}
	p.Hairpin = r.client.Kind == Pod && r.client.Addr == b.Addr()
	r.paths = append(r.paths, p)
}

// dialled: names of headless Services lead to the Pods, and nothing is
// translated, the port neither.
func (r *router) dialled() {
	for _, b := range r.backends {
		if r.door.At.Port() != 0 {
			b.AddrPort = netip.AddrPortFrom(b.Addr(), r.door.At.Port())
		}
		r.fromHere(b, Path{})
	}
}

// inside: the client's node translates a ClusterIP, and nothing hides.
func (r *router) inside() {
	for _, b := range r.backends {
		if !r.local || b.Node == r.client.Node {
			r.fromHere(b, Path{})
		}
	}
}

// ownNode: the client's own node takes a connection to an external address of
// the Service, on its way out. With the traffic policy Local kube-proxy treats
// clients inside of the cluster as at the ClusterIP.
func (r *router) ownNode() {
	for _, b := range r.backends {
		p := Path{Entry: r.client.Node}
		if !r.local && b.Node != r.client.Node {
			r.behind(r.client.Node, b, p)
			continue
		}
		r.fromHere(b, p)
	}
}

// otherNode: another node takes the connection, and the client's own node sees
// a connection to that node.
func (r *router) otherNode() {
	for _, b := range r.backends {
		p := Path{Entry: r.door.Node, Egress: Leg{r.client.Addr, r.door.At}}
		if b.Node != r.door.Node {
			if !r.local {
				r.behind(r.door.Node, b, p)
			}
			continue
		}
		r.add(b, p)
		if own, known := r.node(r.client.Node); known && own.Masquerades && r.client.Kind == Pod {
			p.Ingress, p.Entry = Leg{own.Addr, b.AddrPort}, own.Name
			p.Hidden, p.Masqueraded = true, true
			r.add(b, p)
		}
	}
}

// fromOutside: the node that takes the connection translates it. If the Pod is
// its own, it judges the client; if not, it hides the client from the Pod's
// node.
func (r *router) fromOutside() {
	for _, b := range r.backends {
		if r.door.Node == "" || r.door.Node == b.Node {
			r.add(b, Path{Entry: b.Node})
		}
		if r.local {
			continue
		}
		for _, n := range r.nodes {
			if n.Name == b.Node || r.door.Node != "" && r.door.Node != n.Name || n.Addr.Is4() != r.client.Addr.Is4() {
				continue
			}
			r.behind(n.Name, b, Path{Entry: n.Name})
		}
	}
}

// fromHere: the client connects itself. Where that is a node, the Pods of others
// see it by the address of its tunnel, if it has one.
func (r *router) fromHere(b Backend, p Path) {
	node, known := r.node(r.client.Node)
	if r.client.Kind != Host || b.Node == r.client.Node || !known {
		r.add(b, p)
		return
	}
	r.seen(node, r.client.Addr, b, p)
}

// behind: a node hands the connection on and hides the client. It is the client's
// own where the node's address is not known.
func (r *router) behind(name string, b Backend, p Path) {
	node, known := r.node(name)
	if !known {
		r.add(b, p)
		return
	}
	r.seen(node, node.Addr, b, p)
}

// seen adds a path for each address by which a backend may see a node.
func (r *router) seen(node Node, own netip.Addr, b Backend, p Path) {
	other, _ := r.node(b.Node)
	other.Name = b.Node
	for _, a := range node.seenFrom(other, own) {
		p := p
		// A node that connects itself has nothing to hide.
		if p.Tunnel, p.Hidden = slices.Contains(node.Tunnels, a), a != r.client.Addr; p.Hidden {
			p.Ingress, p.Entry = Leg{a, b.AddrPort}, node.Name
		}
		r.add(b, p)
	}
}

// node finds a node by its name, in the family of the client.
func (r *router) node(name string) (Node, bool) {
	at := slices.IndexFunc(r.nodes, func(n Node) bool { return name != "" && n.Name == name && n.Addr.Is4() == r.client.Addr.Is4() })
	if at < 0 {
		return Node{}, false
	}
	return r.nodes[at], true
}
