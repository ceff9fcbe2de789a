package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// podLinks is the node's side of its Pods.
type podLinks struct {
	lab   *Lab
	lay   *nodeLayout
	node  *Namespace
	index int
	shape shape
	// fabricLink is the fabric's end of the node's uplink, uplink what has the node's
	// addresses.
	fabricLink, uplink int
	// bridge is the index of the Pods' bridge, 0 where there is none.
	bridge    int
	bridgeMAC net.HardwareAddr
	// card is the node's second network card, fabricCard the fabric's end of it.
	card, fabricCard   int
	cardMAC, fabricMAC net.HardwareAddr
	// second is the bridge of a second network.
	second int
	// pods are those that are there.
	pods []*PodNamespace
}

func (l *Lab) buildPods(ctx context.Context, k *podLinks) error {
	if err := k.prepare(); err != nil {
		return err
	}
	for _, i := range k.lay.pods {
		if err := ctx.Err(); err != nil {
			return err
		}
		if l.spec.Pods[i].Late {
			continue
		}
		p, err := l.buildPod(k, i)
		if err != nil {
			return fmt.Errorf("Pod %s: %w", l.spec.Pods[i].Name, err)
		}
		k.pods = append(k.pods, p)
	}
	for _, p := range l.spec.Pods {
		if p.HostNetwork && p.Node == k.lay.Name {
			l.pods[p.Name] = &PodNamespace{Namespace: k.node, Pod: p}
		}
	}
	if k.bridge == 0 {
		return nil
	}
	if err := k.node.settle(k.bridge); err != nil {
		return err
	}
	return l.introduce(k)
}

// prepare makes what the node has before it has Pods.
func (k *podLinks) prepare() error {
	if k.shape.bridge != "" && k.bridge == 0 {
		if err := k.addBridge(mac(0xfd, k.index, 1)); err != nil {
			return err
		}
	}
	if k.shape.node == nil {
		return nil
	}
	return k.shape.node(k)
}

// addBridge makes the Pods' bridge, with the gateway addresses where these are the
// node's.
func (k *podLinks) addBridge(mac net.HardwareAddr) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = k.shape.bridge, mac
	b := &netlink.Bridge{LinkAttrs: attrs}
	if err := k.node.link.LinkAdd(b); err != nil {
		return fmt.Errorf("add bridge in %s: %w", k.node.Name, err)
	}
	k.bridge, k.bridgeMAC = b.Attrs().Index, attrs.HardwareAddr
	if err := k.node.up(k.bridge); err != nil || k.shape.gateway != byNode {
		return err
	}
	for _, s := range k.lay.subnets {
		p, scope := host(s.Gateway), netlink.SCOPE_LINK
		switch {
		case s.Shared():
			p, scope = netip.PrefixFrom(s.Gateway, s.Prefix.Bits()), netlink.SCOPE_UNIVERSE
		case s.Gateway.Is6():
			p = netip.PrefixFrom(s.Gateway, 64)
		}
		if err := k.node.addAddr(k.bridge, p, scope); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) buildPod(k *podLinks, i int) (*PodNamespace, error) {
	pod := l.spec.Pods[i]
	ns, err := newHost(pod.Name.String())
	if err != nil {
		return nil, err
	}
	p := &PodNamespace{
		Namespace: ns, Pod: pod, number: i, topology: l.spec.Topology,
		MAC: mac(0, i, 2), GatewayMAC: mac(0, i, 1),
	}
	p.Veth = fmt.Sprintf("%s%d", k.shape.veth, i)
	switch {
	case p.IsBranch():
		p.Veth = fmt.Sprintf("vlan%d", i)
	case l.spec.Topology == Calico:
		p.GatewayMAC = calicoMAC
	}
	l.mu.Lock()
	l.pods[pod.Name] = p
	l.mu.Unlock()
	near, err := k.wirePod(p)
	if err != nil {
		return nil, err
	}
	for _, a := range pod.Addrs {
		if err := k.addPodAddr(p, a, near); err != nil {
			return nil, err
		}
		if err := l.own(a, ns, k.lay, k.fabricLink); err != nil {
			return nil, err
		}
	}
	for fam, s := range k.lay.subnets {
		if err := k.addGateway(p, fam, s); err != nil {
			return nil, err
		}
	}
	if k.shape.pod != nil {
		if err := k.shape.pod(k, p, near); err != nil {
			return nil, err
		}
	}
	if !l.layout.staticNeighbours {
		return p, nil
	}
	return p, k.acquaint(p, near)
}

// wirePod makes the Pod's veth and returns the number of the node's end.
func (k *podLinks) wirePod(p *PodNamespace) (near int, err error) {
	w := wire{a: k.node, aName: p.Veth, aMAC: p.GatewayMAC, b: p.Namespace, bName: uplinkName, bMAC: p.MAC}
	if near, p.eth0, err = w.add(k.bridge); err != nil {
		return 0, err
	}
	switch {
	case k.bridge != 0:
		p.GatewayMAC = k.bridgeMAC
		if k.shape.gateway == byNetwork {
			p.GatewayMAC, _ = nodeMACs(k.index)
		}
		// As the bridge CNI plugin does for Kubernetes: br_netfilter bridges
		// a Pod's packet to itself, by way of a Service, back out of its port.
		if err := k.node.link.LinkSetHairpin(linkAt(near), true); err != nil {
			return 0, fmt.Errorf("set hairpin mode of %s: %w", p.Veth, err)
		}
	case k.shape.gateway == byNode:
		return near, k.addNextHop(p, near)
	}
	return near, nil
}

// addNextHop gives the node's end of a routed veth the address that its Pod sends to, as
// the ptp plugin does: all of them have the same one. With strictARP the node would not
// answer for an address of another interface.
func (k *podLinks) addNextHop(p *PodNamespace, near int) error {
	if p.has(0) {
		if err := k.node.addAddr(near, host(k.lay.subnets[0].Gateway), netlink.SCOPE_UNIVERSE); err != nil {
			return err
		}
	}
	return k.node.addAddr(near, netip.PrefixFrom(gatewayLL6, 64), netlink.SCOPE_LINK)
}

// addPodAddr gives the Pod an address and the node a route to it.
func (k *podLinks) addPodAddr(p *PodNamespace, a netip.Addr, near int) error {
	s := k.lay.subnets[family(a)]
	prefix := host(a)
	if s.Shared() {
		prefix = netip.PrefixFrom(a, s.Prefix.Bits())
	}
	if err := p.addAddr(p.eth0, prefix, netlink.SCOPE_UNIVERSE); err != nil {
		return err
	}
	if s.Shared() {
		return nil
	}
	to := near
	if k.bridge != 0 {
		to = k.bridge
	}
	return k.node.addRoute(host(a), hop{index: to, src: k.lay.source(family(a)), table: p.table()})
}

// addGateway gives the Pod its default route.
func (k *podLinks) addGateway(p *PodNamespace, fam int, s subnet) error {
	if !p.has(fam) {
		return nil
	}
	if !s.Shared() && fam == 0 {
		if err := p.addRoute(host(s.Gateway), hop{index: p.eth0}); err != nil {
			return err
		}
	}
	return p.addRoute(everywhere(fam), hop{index: p.eth0, via: s.Gateway})
}

// has reports whether the Pod has an address of the family.
func (p *PodNamespace) has(fam int) bool {
	for _, a := range p.Pod.Addrs {
		if family(a) == fam {
			return true
		}
	}
	return false
}

// introduce makes the Pods of a bridge reach each other on it where no prefix
// says so, and spares them discovery where they are too many for it.
func (l *Lab) introduce(k *podLinks) error {
	for _, p := range k.pods {
		for _, q := range k.pods {
			if p == q {
				continue
			}
			if err := l.introducePeer(k, p, q, l.layout.staticNeighbours); err != nil {
				return err
			}
		}
	}
	return nil
}

// acquaint spares a Pod and its node the discovery of each other.
func (k *podLinks) acquaint(p *PodNamespace, near int) error {
	if k.bridge != 0 {
		near = k.bridge
	}
	if err := k.addEntries(p, near); err != nil {
		return err
	}
	for _, a := range p.Pod.Addrs {
		if err := k.node.addNeighbour(near, a, p.MAC); err != nil {
			return err
		}
	}
	return nil
}

// introducePeer makes one Pod reach another on their bridge.
func (l *Lab) introducePeer(k *podLinks, p, q *PodNamespace, static bool) error {
	for _, a := range q.Pod.Addrs {
		if !p.has(family(a)) {
			continue
		}
		if !k.lay.subnets[family(a)].Shared() {
			if err := p.addRoute(host(a), hop{index: p.eth0}); err != nil {
				return err
			}
		}
		if static {
			if err := p.addNeighbour(p.eth0, a, q.MAC); err != nil {
				return err
			}
		}
	}
	return nil
}
