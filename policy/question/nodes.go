package question

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/sluice-net/sluice/policy/service"
)

// nodeTable knows the nodes by name and by address.
type nodeTable struct {
	addrs  map[string][]netip.Addr
	byAddr map[netip.Addr]string
	// overlays is what Node objects tell of the network.
	overlays map[string]overlay
	notice   string
}

func (t *nodeTable) add(name, address string) {
	a, err := netip.ParseAddr(address)
	if err != nil || name == "" {
		return
	}
	a = a.Unmap()
	if _, known := t.byAddr[a]; known {
		return
	}
	t.byAddr[a] = name
	t.addrs[name] = append(t.addrs[name], a)
}

// family lists the nodes that have an address of the family of a, sorted, each
// with its first.
func (t *nodeTable) family(a netip.Addr) []service.Node {
	var list []service.Node
	for _, name := range slices.Sorted(maps.Keys(t.addrs)) {
		at := slices.IndexFunc(t.addrs[name], func(b netip.Addr) bool { return a.Is4() == b.Is4() })
		if at >= 0 {
			n := service.Node{Name: name, Addr: t.addrs[name][at]}
			o := t.overlays[name]
			o.on(&n)
			list = append(list, n)
		}
	}
	return list
}

// nodeTable gathers the nodes from Node objects and from what Pods know of
// theirs. Whoever may not list Nodes sees those that run Pods.
func (w *World) nodeTable() (*nodeTable, error) {
	if w.nodes != nil {
		return w.nodes, nil
	}
	found, err := w.find(Need{Kind: KindNode})
	if err != nil && !apierrors.IsForbidden(err) {
		return nil, err
	}
	t := &nodeTable{addrs: map[string][]netip.Addr{}, byAddr: map[netip.Addr]string{}, overlays: map[string]overlay{}}
	if err != nil {
		t.notice = fmt.Sprintf("only nodes that run Pods are known: %v", err)
	}
	for _, n := range found.Nodes {
		t.addNode(n)
	}
	for _, p := range w.objects.Pods {
		for _, ip := range p.Status.HostIPs {
			t.add(p.Spec.NodeName, ip.IP)
		}
		t.add(p.Spec.NodeName, p.Status.HostIP)
	}
	backend := flannelOf(found.Nodes)
	for _, n := range found.Nodes {
		t.addOverlay(n, backend)
	}
	w.nodes = t
	return t, nil
}

// addNode takes the address first by which the others of the cluster know it.
func (t *nodeTable) addNode(n *corev1.Node) {
	for _, kind := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP} {
		for _, a := range n.Status.Addresses {
			if a.Type == kind {
				t.add(n.Name, a.Address)
			}
		}
	}
}

// addOverlay comes when all other addresses are known.
func (t *nodeTable) addOverlay(n *corev1.Node, backend string) {
	o := overlayOf(n, backend)
	t.overlays[n.Name] = o
	for _, a := range o.tunnels {
		if _, known := t.byAddr[a]; !known {
			t.byAddr[a] = n.Name
		}
	}
}

// nodesFor are the nodes that matter to a connection, none inside of the
// cluster. They are noted as far as they are known.
func (p *pass) nodesFor(client service.Client, d service.Door) (list []service.Node, notice string, err error) {
	within := client.Kind != service.Outside && d.Kind != service.AtNode && d.Kind != service.AtBalancer
	if client.Kind != service.Host && (within || d.Kind == service.AtPod) {
		return nil, "", nil
	}
	table, err := p.nodeTable()
	if err != nil {
		return nil, "", err
	}
	return table.family(client.Addr), table.notice, nil
}
