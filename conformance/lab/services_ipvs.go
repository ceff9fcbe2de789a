package lab

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
)

// ipvsInterface is what kube-proxy calls it.
const ipvsInterface = "kube-ipvs0"

// installIPVS sets a node up as kube-proxy's IPVS mode does (pkg/proxy/ipvs of
// Kubernetes): the Services' addresses are the node's own, IPVS takes what comes to them
// and to the NodePorts, and conntrack follows it.
func (l *Lab) installIPVS(node Node) error {
	n := l.nodes[node.Name]
	if err := n.addDummy(l.spec.Services); err != nil {
		return fmt.Errorf("put addresses of Services on %s: %w", ipvsInterface, err)
	}
	var script strings.Builder
	for fam := range 2 {
		ports := natPorts(l.spec.Services, node.Name, fam)
		script.WriteString(ipvsServices(ports, nodeAddrs(node, fam)))
		if err := n.feed(ipvsMasquerade(ports, fam), "nft", "-f", "-"); err != nil {
			return err
		}
	}
	if err := n.feed(script.String(), "ipvsadm", "-R"); err != nil {
		return err
	}
	return n.sysctls(append([]sysctl{{key: "ipv4/vs/conntrack", value: "1"}}, strictARP...))
}

// strictARP is what kube-proxy sets for ipvs.strictARP: nobody on a link is told that the
// Services' addresses are here, nor of any other that the link's interface does not have.
var strictARP = []sysctl{
	{key: "ipv4/conf/all/arp_ignore", value: "1"}, {key: "ipv4/conf/all/arp_announce", value: "2"},
}

// addDummy makes the interface. It stays down, as kube-proxy's does: its addresses are
// local all the same.
func (n *Namespace) addDummy(services []Service) error {
	if err := n.link.LinkAdd(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: ipvsInterface}}); err != nil {
		return err
	}
	dummy, err := n.link.LinkByName(ipvsInterface)
	if err != nil {
		return err
	}
	for _, s := range services {
		for _, a := range s.ClusterIPs {
			host := netlink.NewIPNet(a.AsSlice())
			if err := n.link.AddrAdd(dummy, &netlink.Addr{IPNet: host}); err != nil {
				return fmt.Errorf("%s: %w", a, err)
			}
		}
	}
	return nil
}

func nodeAddrs(node Node, fam int) []netip.Addr {
	var out []netip.Addr
	for _, a := range node.Addrs {
		if family(a) == fam {
			out = append(out, a)
		}
	}
	return out
}

// ipvsProtocol is the option of ipvsadm for a service.
var ipvsProtocol = map[uint8]string{TCP: "-t", UDP: "-u", SCTP: "--sctp-service"}

// ipvsServices is for ipvsadm -R: a service for each address and port, and its backends,
// which get packets by masquerading (NAT).
func ipvsServices(ports []natPort, node []netip.Addr) string {
	var b strings.Builder
	service := func(at netip.AddrPort, protocol uint8, backends []netip.AddrPort) {
		fmt.Fprintf(&b, "-A %s %s -s rr\n", ipvsProtocol[protocol], at)
		for _, to := range backends {
			fmt.Fprintf(&b, "-a %s %s -r %s -m\n", ipvsProtocol[protocol], at, to)
		}
	}
	for _, p := range ports {
		for _, vip := range p.vips {
			service(netip.AddrPortFrom(vip, p.port), p.protocol, p.backends)
		}
		if p.nodePort == 0 {
			continue
		}
		for _, a := range node {
			service(netip.AddrPortFrom(a, p.nodePort), p.protocol, p.external)
		}
	}
	return b.String()
}

// ipvsMasquerade is what has to come back by this node: a Pod that reaches itself, what
// the node sends to a Service, and what comes to a NodePort without
// externalTrafficPolicy Local.
func ipvsMasquerade(ports []natPort, fam int) string {
	ip := []string{"ip", "ip6"}[fam]
	own, vips, nodePorts := map[netip.Addr]bool{}, map[netip.Addr]bool{}, []string(nil)
	for _, p := range ports {
		for _, v := range p.vips {
			vips[v] = true
		}
		for _, e := range p.backends {
			own[e.Addr()] = true
		}
		if p.nodePort != 0 && p.masquerade {
			nodePorts = append(nodePorts, fmt.Sprintf("  fib daddr type local meta l4proto %d th dport %d meta mark set meta mark | %s", p.protocol, p.nodePort, masqueradeMark))
		}
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("table %s lab-services {\n chain prerouting {\n  type nat hook prerouting priority dstnat", ip)
	line("%s\n }\n chain output {\n  type nat hook output priority -100", strings.Join(nodePorts, "\n"))
	for _, v := range sortedAddrs(vips) {
		line("  %s daddr %s meta mark set meta mark | %s", ip, v, masqueradeMark)
	}
	line(" }\n chain postrouting {\n  type nat hook postrouting priority srcnat")
	line("  meta mark & %s != 0 meta mark set meta mark ^ %s masquerade fully-random", masqueradeMark, masqueradeMark)
	for _, a := range sortedAddrs(own) {
		line("  %s saddr %s %s daddr %s masquerade fully-random", ip, a, ip, a)
	}
	line(" }\n}")
	return b.String()
}

func sortedAddrs(set map[netip.Addr]bool) []netip.Addr {
	return slices.SortedFunc(maps.Keys(set), netip.Addr.Compare)
}
