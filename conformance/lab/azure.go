package lab

import (
	"fmt"
	"net/netip"
	"strings"
)

// rewriteMACs has frames leave with the node's hardware address, the only one that the
// network takes from it, and those that come with it go on to the Pod whose address they
// are for. The plug-in does it with ebtables.
func (k *podLinks) rewriteMACs() error {
	var b strings.Builder
	fmt.Fprintf(&b, "table bridge lab-hardware {\n")
	for fam, s := range []struct{ ip, kind string }{{"ip", "ipv4_addr"}, {"ip6", "ipv6_addr"}} {
		var list []string
		for _, i := range k.lay.pods {
			for _, a := range k.lab.spec.Pods[i].Addrs {
				if family(a) == fam {
					list = append(list, fmt.Sprintf("%s : %s", a, mac(0, i, 2)))
				}
			}
		}
		fmt.Fprintf(&b, " map pods-%s {\n  type %s : ether_addr\n", s.ip, s.kind)
		elements(func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }, list)
		fmt.Fprintf(&b, " }\n")
	}
	fmt.Fprintf(&b, " chain in {\n  type filter hook prerouting priority dstnat\n")
	fmt.Fprintf(&b, "  iifname %q ether daddr %s ether daddr set ip daddr map @pods-ip\n", uplinkName, k.bridgeMAC)
	fmt.Fprintf(&b, "  iifname %q ether daddr %s ether daddr set ip6 daddr map @pods-ip6\n }\n", uplinkName, k.bridgeMAC)
	fmt.Fprintf(&b, " chain out {\n  type filter hook postrouting priority srcnat\n")
	fmt.Fprintf(&b, "  oifname %q ether saddr set %s\n }\n}\n", uplinkName, k.bridgeMAC)
	if err := k.node.feed(b.String(), "nft", "-f", "-"); err != nil {
		return fmt.Errorf("rewrite hardware addresses: %w", err)
	}
	return nil
}

// addNodeRoutes puts the node on the Pod's own link, where it is.
func (k *podLinks) addNodeRoutes(p *PodNamespace, _ int) error {
	for _, a := range k.lay.Addrs {
		if !p.has(family(a)) {
			continue
		}
		if err := p.addRoute(netip.PrefixFrom(a, a.BitLen()), hop{index: p.eth0}); err != nil {
			return err
		}
	}
	return nil
}
