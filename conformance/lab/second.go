package lab

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// A second network of the Pods, as Multus gives them one: a second interface, with an
// address that the API does not know as the Pod's.
const (
	secondName   = "net1"
	secondBridge = "br1"
)

// secondNet is from the ranges for benchmarks of networks (RFC 2544), apart from where
// nodes' addresses are made up.
var secondNet = netip.MustParsePrefix("198.19.0.0/16")

// SecondKind is how a Pod's second interface is made.
type SecondKind int

const (
	// SecondPort: the node's end is a port of the bridge br1, which has only such.
	SecondPort SecondKind = iota
	// SecondRouted: the node has a route to the address.
	SecondRouted
	// SecondMacvlan: a macvlan of the node's card. The node has no end of it.
	SecondMacvlan
)

// Second is the address of a Pod's second interface, net1, in a lab of Multus, and how that
// is made: each kind for every third Pod.
func (p *PodNamespace) Second() (netip.Addr, SecondKind) {
	b := secondNet.Addr().As4()
	b[2], b[3] = byte(p.number/200), byte(p.number%200+1)
	return netip.AddrFrom4(b), SecondKind(p.number % 3)
}

// SecondVeth is what the node's end is called, where it has one.
func (p *PodNamespace) SecondVeth() string { return fmt.Sprintf("sec%d", p.number) }

func (k *podLinks) addSecondBridge() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = secondBridge, mac(0xfd, k.index, 3)
	b := &netlink.Bridge{LinkAttrs: attrs}
	if err := k.node.link.LinkAdd(b); err != nil {
		return fmt.Errorf("add bridge %s in %s: %w", secondBridge, k.node.Name, err)
	}
	k.second = b.Attrs().Index
	return k.node.up(k.second)
}

func (k *podLinks) addSecond(p *PodNamespace, _ int) error {
	a, kind := p.Second()
	if kind == SecondMacvlan {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.ParentIndex, attrs.HardwareAddr = secondName, k.uplink, mac(0xf9, p.number, 2)
		attrs.Namespace = netlink.NsFd(int(p.file.Fd()))
		if err := k.node.link.LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE}); err != nil {
			return fmt.Errorf("add %s of %s: %w", secondName, p.Pod.Name, err)
		}
		link, err := p.link.LinkByName(secondName)
		if err != nil {
			return fmt.Errorf("find %s in %s: %w", secondName, p.Pod.Name, err)
		}
		if err := p.up(link.Attrs().Index); err != nil {
			return err
		}
		return p.addAddr(link.Attrs().Index, netip.PrefixFrom(a, secondNet.Bits()), netlink.SCOPE_UNIVERSE)
	}
	w := wire{a: k.node, aName: p.SecondVeth(), aMAC: mac(0xf9, p.number, 1), b: p.Namespace, bName: secondName, bMAC: mac(0xf9, p.number, 2)}
	master := k.second
	if kind == SecondRouted {
		master = 0
	}
	near, index, err := w.add(master)
	if err != nil {
		return err
	}
	if kind == SecondRouted {
		if err := k.node.addRoute(host(a), hop{index: near}); err != nil {
			return err
		}
	}
	return p.addAddr(index, netip.PrefixFrom(a, secondNet.Bits()), netlink.SCOPE_UNIVERSE)
}
