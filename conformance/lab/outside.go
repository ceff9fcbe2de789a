package lab

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
)

// addExternal puts an address that nobody has into the outside.
func (l *Lab) addExternal(a netip.Addr) error {
	if err := usable(a); err != nil {
		return err
	}
	if l.layout.own[a] {
		return fmt.Errorf("address %s: the lab's own links use it; name it in Spec.External", a)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errStopped
	}
	if _, known := l.hosts[a]; known {
		return nil
	}
	if slices.ContainsFunc(l.spec.Pods, func(p Pod) bool { return p.Late && slices.Contains(p.Addrs, a) }) {
		return fmt.Errorf("address %s: its Pod has not started", a)
	}
	if err := l.detour(a); err != nil {
		return err
	}
	if err := l.outside.addAddr(l.outsideLink, host(a), netlink.SCOPE_UNIVERSE); err != nil {
		return err
	}
	// Last: an address that could not be had must not pass for one that is
	// there when it is asked for again.
	l.hosts[a] = l.outside
	return nil
}

// detour sends what is for an outside address to the gateway where Pods would
// look for it on their own link, and past the node's blackholes.
func (l *Lab) detour(a netip.Addr) error {
	fam := family(a)
	for i := range l.layout.nodes {
		n := &l.layout.nodes[i]
		s := n.subnets[fam]
		if slices.ContainsFunc(n.blocks, func(b netip.Prefix) bool { return b.Contains(a) }) {
			if err := l.detourNode(n, a, s); err != nil {
				return err
			}
			continue
		}
		if !s.Shared() || !s.Prefix.Contains(a) {
			continue
		}
		if a == s.Prefix.Addr() || a == lastAddr(s.Prefix) {
			return fmt.Errorf("address %s: in the subnet %s of node %s it is no host's; name it in Spec.External", a, s.Prefix, n.Name)
		}
		if s.Gateway == a {
			return fmt.Errorf("address %s: it is the gateway of node %s; name it in Spec.External", a, n.Name)
		}
		if err := l.detourNode(n, a, s); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) detourNode(n *nodeLayout, a netip.Addr, s subnet) error {
	via := gatewayLL6
	if a.Is4() {
		via = l.layout.fabric
	}
	k := l.links[n.Name]
	to := hop{index: k.uplink, via: via, src: n.source(family(a))}
	if err := k.node.addRoute(host(a), to); err != nil || !s.Shared() {
		return err
	}
	for _, p := range k.pods {
		if !p.has(family(a)) {
			continue
		}
		if err := p.addRoute(host(a), hop{index: p.eth0, via: s.Gateway}); err != nil {
			return err
		}
	}
	return nil
}
