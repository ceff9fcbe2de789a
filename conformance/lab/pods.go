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
	lay  *nodeLayout
	node *Namespace
	// fabricLink is the fabric's end of the node's uplink.
	fabricLink int
	// bridge is the index of cni0, 0 in PTP.
	bridge    int
	bridgeMAC net.HardwareAddr
}

func (l *Lab) buildPods(ctx context.Context, index int, node *Namespace, fabricLink int) error {
	k := &podLinks{lay: &l.layout.nodes[index], node: node, fabricLink: fabricLink}
	var err error
	if l.spec.Topology == Bridge {
		err = k.addBridge(index)
	} else {
		err = node.addAddr(loopback, host(k.lay.subnets[0].Gateway), netlink.SCOPE_LINK)
	}
	if err != nil {
		return err
	}
	pods := make([]*PodNamespace, 0, len(k.lay.pods))
	for _, i := range k.lay.pods {
		if err := ctx.Err(); err != nil {
			return err
		}
		p, err := l.buildPod(k, i)
		if err != nil {
			return fmt.Errorf("Pod %s: %w", l.spec.Pods[i].Name, err)
		}
		pods = append(pods, p)
	}
	for _, p := range l.spec.Pods {
		if p.HostNetwork && p.Node == k.lay.Name {
			l.pods[p.Name] = &PodNamespace{Namespace: node, Pod: p}
		}
	}
	if l.spec.Topology != Bridge {
		return nil
	}
	if err := node.settle(k.bridge); err != nil {
		return err
	}
	return l.introduce(k, pods)
}

// addBridge makes cni0 with the gateway addresses.
func (k *podLinks) addBridge(index int) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = bridgeName, mac(0xfd, index, 1)
	b := &netlink.Bridge{LinkAttrs: attrs}
	if err := k.node.link.LinkAdd(b); err != nil {
		return fmt.Errorf("add bridge in %s: %w", k.node.Name, err)
	}
	k.bridge, k.bridgeMAC = b.Attrs().Index, attrs.HardwareAddr
	if err := k.node.up(k.bridge); err != nil {
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
		Namespace: ns, Pod: pod,
		Veth: fmt.Sprintf("veth%d", i), MAC: mac(0, i, 2), GatewayMAC: mac(0, i, 1),
	}
	l.pods[pod.Name] = p
	w := wire{a: k.node, aName: p.Veth, aMAC: p.GatewayMAC, b: ns, bName: uplinkName, bMAC: p.MAC}
	var near int
	if near, p.eth0, err = w.add(k.bridge); err != nil {
		return nil, err
	}
	if k.bridge != 0 {
		p.GatewayMAC = k.bridgeMAC
		// As the bridge CNI plugin does for Kubernetes: br_netfilter bridges
		// a Pod's packet to itself, by way of a Service, back out of its port.
		if err := k.node.link.LinkSetHairpin(linkAt(near), true); err != nil {
			return nil, fmt.Errorf("set hairpin mode of %s: %w", p.Veth, err)
		}
	} else if err := k.node.addAddr(near, netip.PrefixFrom(gatewayLL6, 64), netlink.SCOPE_LINK); err != nil {
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
	if !l.layout.staticNeighbours {
		return p, nil
	}
	return p, k.acquaint(p, near)
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
	return k.node.addRoute(host(a), hop{index: to, src: k.lay.source(family(a))})
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
func (l *Lab) introduce(k *podLinks, pods []*PodNamespace) error {
	for _, p := range pods {
		for _, q := range pods {
			if p == q {
				continue
			}
			if err := l.introducePeer(k, p, q); err != nil {
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
	for fam, s := range k.lay.subnets {
		if !p.has(fam) {
			continue
		}
		if err := p.addNeighbour(p.eth0, s.Gateway, p.GatewayMAC); err != nil {
			return err
		}
	}
	for _, a := range p.Pod.Addrs {
		if err := k.node.addNeighbour(near, a, p.MAC); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) introducePeer(k *podLinks, p, q *PodNamespace) error {
	for _, a := range q.Pod.Addrs {
		if !p.has(family(a)) {
			continue
		}
		if !k.lay.subnets[family(a)].Shared() {
			if err := p.addRoute(host(a), hop{index: p.eth0}); err != nil {
				return err
			}
		}
		if l.layout.staticNeighbours {
			if err := p.addNeighbour(p.eth0, a, q.MAC); err != nil {
				return err
			}
		}
	}
	return nil
}
