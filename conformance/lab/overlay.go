package lab

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The tunnel between nodes, as flannel makes it: a device without learning, and for each
// other node a route, a neighbour and an entry of the forwarding database. What Pods
// send to nobody in the cluster leaves with the node's address.
const (
	tunnelName = "flannel.1"
	tunnelID   = 1
	tunnelPort = 8472
)

func tunnelMAC(node int) net.HardwareAddr { return mac(0xfa, node, 1) }

func (k *podLinks) addOverlay() error {
	fam, err := k.lab.layout.underlay()
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = tunnelName, tunnelMAC(k.index)
	device := &netlink.Vxlan{
		LinkAttrs: attrs, VxlanId: tunnelID, Port: tunnelPort, VtepDevIndex: k.uplink,
		SrcAddr: k.lay.source(fam).AsSlice(), UDPCSum: true,
	}
	if err := k.node.link.LinkAdd(device); err != nil {
		return fmt.Errorf("add %s in %s: %w", tunnelName, k.node.Name, err)
	}
	index := device.Attrs().Index
	if err := k.node.up(index); err != nil {
		return err
	}
	if err := k.node.settle(index); err != nil {
		return err
	}
	if err := k.node.addAddr(index, host(k.lay.vtep), netlink.SCOPE_UNIVERSE); err != nil {
		return err
	}
	for other := range k.lab.layout.nodes {
		if other == k.index {
			continue
		}
		if err := k.tunnelTo(index, other, fam); err != nil {
			return err
		}
	}
	return k.masquerade()
}

// underlay is the family that all nodes have an address of.
func (l *layout) underlay() (int, error) {
	for fam := range 2 {
		all := true
		for i := range l.nodes {
			all = all && l.nodes[i].source(fam).IsValid()
		}
		if all {
			return fam, nil
		}
	}
	return 0, fmt.Errorf("there is no family of which all nodes have an address, for a tunnel between them")
}

// tunnelTo leads to the Pods of another node.
func (k *podLinks) tunnelTo(index, other, fam int) error {
	far, hardware := &k.lab.layout.nodes[other], tunnelMAC(other)
	err := k.node.link.NeighSet(&netlink.Neigh{
		LinkIndex: index, Family: unix.AF_BRIDGE, State: netlink.NUD_PERMANENT, Flags: netlink.NTF_SELF,
		IP: far.source(fam).AsSlice(), HardwareAddr: hardware,
	})
	if err != nil {
		return fmt.Errorf("add the far end %s in %s: %w", far.Name, k.node.Name, err)
	}
	gateways := [2]netip.Addr{far.vtep, linkLocal(hardware)}
	for _, via := range gateways {
		if err := k.node.addNeighbour(index, via, hardware); err != nil {
			return err
		}
	}
	for _, i := range far.pods {
		for _, a := range k.lab.spec.Pods[i].Addrs {
			if err := k.node.addRoute(host(a), hop{index: index, via: gateways[family(a)]}); err != nil {
				return err
			}
		}
	}
	return nil
}

// masquerade is flannel's, for what has ports or identifiers to tell flows apart by.
func (k *podLinks) masquerade() error {
	var pods [2][]string
	for _, p := range k.lab.spec.Pods {
		if p.HostNetwork {
			continue
		}
		for _, a := range p.Addrs {
			pods[family(a)] = append(pods[family(a)], a.String())
		}
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("table inet lab-masquerade {")
	for fam, s := range []struct{ ip, kind string }{{"ip", "ipv4_addr"}, {"ip6", "ipv6_addr"}} {
		line(" set pods-%s {\n  type %s", s.ip, s.kind)
		elements(line, pods[fam])
		line(" }")
	}
	line(" chain postrouting {\n  type nat hook postrouting priority srcnat")
	for _, ip := range []string{"ip", "ip6"} {
		line("  oifname %q meta l4proto { 1, 6, 17, 58 } %s saddr @pods-%s %s daddr != @pods-%s masquerade", uplinkName, ip, ip, ip, ip)
	}
	line(" }\n}")
	if err := k.node.feed(b.String(), "nft", "-f", "-"); err != nil {
		return fmt.Errorf("masquerade: %w", err)
	}
	return nil
}
