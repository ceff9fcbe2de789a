package lab

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// calicoMAC is what Calico gives to the node's ends of all veths.
var calicoMAC = net.HardwareAddr{0xee, 0xee, 0xee, 0xee, 0xee, 0xee}

// linkLocal is the address that a kernel derives from a hardware address.
func linkLocal(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{
		0: 0xfe, 1: 0x80,
		8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5],
	})
}

// blockBits are the sizes of the blocks that Calico gives to a node.
var blockBits = [2]int{26, 122}

// blocksOf are the blocks around Pods' addresses, as far as nobody else is in them.
func blocksOf(pods, known []netip.Addr) []netip.Prefix {
	var out []netip.Prefix
	for _, a := range pods {
		block, err := a.Prefix(blockBits[family(a)])
		if err != nil || slices.Contains(out, block) {
			continue
		}
		if !slices.ContainsFunc(known, func(b netip.Addr) bool { return block.Contains(b) && !slices.Contains(pods, b) }) {
			out = append(out, block)
		}
	}
	return out
}

// addBlackholes drops what is for nobody in the node's blocks.
func (k *podLinks) addBlackholes() error {
	for _, block := range k.lay.blocks {
		r := &netlink.Route{Dst: ipNet(block), Type: unix.RTN_BLACKHOLE}
		if err := k.node.link.RouteReplace(r); err != nil {
			return fmt.Errorf("add blackhole %s in %s: %w", block, k.node.Name, err)
		}
	}
	return nil
}

// addProxy has the node answer for whatever the Pod asks for on its link, at once.
func (k *podLinks) addProxy(p *PodNamespace, _ int) error {
	return k.node.sysctls([]sysctl{
		{key: "ipv4/conf/" + p.Veth + "/proxy_arp", value: "1"},
		{key: "ipv4/neigh/" + p.Veth + "/proxy_delay", value: "0"},
		{key: "ipv6/conf/" + p.Veth + "/proxy_ndp", value: "1"},
	})
}
