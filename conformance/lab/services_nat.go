package lab

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
)

// ServiceNAT is what translates the addresses of Services on each node.
type ServiceNAT uint8

const (
	// NATNFT is a table of nftables per family, lab-services.
	NATNFT ServiceNAT = iota
	// NATIPTables is a set of chains in iptables' nat table.
	NATIPTables
	// NATIPVS is IPVS with the Services' addresses on the dummy interface kube-ipvs0,
	// and a table of nftables per family that says what to masquerade. Not every kernel
	// has it.
	NATIPVS
)

// masqueradeMark is kube-proxy's own.
const masqueradeMark = "0x4000"

// natPort is a port of a Service in one family, on one node.
type natPort struct {
	// id is unique on the node and the same in every run.
	id       int
	protocol uint8
	vips     []netip.Addr
	port     uint16
	nodePort uint16
	backends []netip.AddrPort
	// external are the backends of the NodePort.
	external   []netip.AddrPort
	masquerade bool
}

// natPorts flattens Services to what a node translates in one family.
func natPorts(services []Service, node string, fam int) []natPort {
	var list []natPort
	for _, s := range services {
		var vips []netip.Addr
		for _, a := range s.ClusterIPs {
			if family(a) == fam {
				vips = append(vips, a)
			}
		}
		for _, p := range s.Ports {
			n := natPort{
				id: len(list), protocol: p.Protocol, vips: vips,
				port: p.Port, nodePort: p.NodePort, masquerade: !s.Local,
			}
			for _, b := range p.Backends {
				if family(b.Addr()) != fam {
					continue
				}
				n.backends = append(n.backends, b.AddrPort)
				if !s.Local || b.Node == node {
					n.external = append(n.external, b.AddrPort)
				}
			}
			list = append(list, n)
		}
	}
	return list
}

// installServices puts the translation on every node.
func (l *Lab) installServices() error {
	if len(l.spec.Services) == 0 {
		return nil
	}
	for _, n := range l.spec.Nodes {
		if l.spec.ServiceNAT == NATIPVS {
			if err := l.installIPVS(n); err != nil {
				return fmt.Errorf("translate Services: %w", err)
			}
			continue
		}
		for fam := range 2 {
			ports := natPorts(l.spec.Services, n.Name, fam)
			argv, script := []string{"nft", "-f", "-"}, nftServices(ports, fam)
			if l.spec.ServiceNAT == NATIPTables {
				argv = []string{[]string{"iptables-restore", "ip6tables-restore"}[fam], "--noflush", "-w"}
				script = iptablesServices(ports)
			}
			if err := l.nodes[n.Name].feed(script, argv...); err != nil {
				return fmt.Errorf("translate Services: %w", err)
			}
		}
	}
	return nil
}

// feed runs a command in the namespace that reads a script.
func (n *Namespace) feed(script string, argv ...string) error {
	return n.Do(func() error {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s in %s: %w: %s", argv[0], n.Name, err, strings.TrimSpace(string(out)))
		}
		return nil
	})
}

// nftServices is a table of the shape of kube-proxy's: a map from addresses
// and ports to a chain of the port, which picks a chain of a backend.
func nftServices(ports []natPort, fam int) string {
	ip, addrType := "ip", "ipv4_addr"
	if fam == 1 {
		ip, addrType = "ip6", "ipv6_addr"
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("table %s lab-services {", ip)
	line(" chain mark-for-masquerade {\n  meta mark set meta mark | %s\n }", masqueradeMark)
	var cluster, node []string
	for _, p := range ports {
		if len(p.backends) > 0 {
			nftPort(line, p, ip, "cluster", p.backends, false)
			for _, vip := range p.vips {
				cluster = append(cluster, fmt.Sprintf("%s . %d . %d : goto cluster-%d", vip, p.protocol, p.port, p.id))
			}
		}
		if p.nodePort != 0 && len(p.external) > 0 {
			nftPort(line, p, ip, "external", p.external, p.masquerade)
			node = append(node, fmt.Sprintf("%d . %d : goto external-%d", p.protocol, p.nodePort, p.id))
		}
	}
	line(" map service-ips {\n  type %s . inet_proto . inet_service : verdict", addrType)
	elements(line, cluster)
	line(" }\n map service-nodeports {\n  type inet_proto . inet_service : verdict")
	elements(line, node)
	line(" }\n chain services {")
	line("  %s daddr . meta l4proto . th dport vmap @service-ips", ip)
	line("  fib daddr type local meta l4proto . th dport vmap @service-nodeports\n }")
	line(" chain prerouting {\n  type nat hook prerouting priority dstnat\n  jump services\n }")
	line(" chain output {\n  type nat hook output priority -100\n  jump services\n }")
	line(" chain postrouting {\n  type nat hook postrouting priority srcnat")
	line("  meta mark & %s != 0 meta mark set meta mark ^ %s masquerade fully-random\n }\n}", masqueradeMark, masqueradeMark)
	return b.String()
}

func elements(line func(string, ...any), list []string) {
	if len(list) > 0 {
		line("  elements = { %s }", strings.Join(list, ", "))
	}
}

// nftPort writes the chains of one port. A backend that reaches itself through
// the Service is masqueraded, or it would answer itself directly.
func nftPort(line func(string, ...any), p natPort, ip, kind string, backends []netip.AddrPort, masquerade bool) {
	var pick []string
	for i, e := range backends {
		line(" chain %s-%d-%d {\n  %s saddr %s jump mark-for-masquerade", kind, p.id, i, ip, e.Addr())
		line("  meta l4proto %d dnat to %s\n }", p.protocol, e)
		pick = append(pick, fmt.Sprintf("%d : goto %s-%d-%d", i, kind, p.id, i))
	}
	line(" chain %s-%d {", kind, p.id)
	if masquerade {
		line("  jump mark-for-masquerade")
	}
	line("  numgen random mod %d vmap { %s }\n }", len(backends), strings.Join(pick, ", "))
}
