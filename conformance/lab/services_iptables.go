package lab

import (
	"fmt"
	"net/netip"
	"strings"
)

// iptablesServices is the same as nftServices in the terms of iptables, for
// iptables-restore --noflush.
func iptablesServices(ports []natPort) string {
	var chains, rules []string
	chain := func(name string) string {
		chains = append(chains, ":"+name+" - [0:0]")
		return name
	}
	rule := func(format string, args ...any) { rules = append(rules, "-A "+fmt.Sprintf(format, args...)) }
	services, node, mark := chain("LAB-SERVICES"), chain("LAB-NODEPORTS"), chain("LAB-MARK-MASQ")
	rule("PREROUTING -j %s", services)
	rule("OUTPUT -j %s", services)
	rule("%s -j MARK --or-mark %s", mark, masqueradeMark)
	for _, p := range ports {
		if len(p.backends) > 0 {
			svc := iptablesPort(chain, rule, p, "SVC", p.backends, "")
			for _, vip := range p.vips {
				rule("%s -d %s -p %d --dport %d -j %s", services, vip, p.protocol, p.port, svc)
			}
		}
		if p.nodePort != 0 && len(p.external) > 0 {
			mark := mark
			if !p.masquerade {
				mark = ""
			}
			ext := iptablesPort(chain, rule, p, "EXT", p.external, mark)
			rule("%s -p %d --dport %d -j %s", node, p.protocol, p.nodePort, ext)
		}
	}
	rule("%s -m addrtype --dst-type LOCAL -j %s", services, node)
	rule("POSTROUTING -m mark --mark %s/%s -j MASQUERADE --random-fully", masqueradeMark, masqueradeMark)
	return "*nat\n" + strings.Join(chains, "\n") + "\n" + strings.Join(rules, "\n") + "\nCOMMIT\n"
}

// iptablesPort writes the chains of one port and returns the name of the first.
func iptablesPort(chain func(string) string, rule func(string, ...any), p natPort, kind string, backends []netip.AddrPort, mark string) string {
	name := chain(fmt.Sprintf("LAB-%s-%d", kind, p.id))
	if mark != "" {
		rule("%s -j %s", name, mark)
	}
	for i, e := range backends {
		end := chain(fmt.Sprintf("LAB-%s-%d-%d", kind, p.id, i))
		rule("%s -s %s -j LAB-MARK-MASQ", end, e.Addr())
		rule("%s -p %d -j DNAT --to-destination %s", end, p.protocol, e)
		if left := len(backends) - i; left > 1 {
			rule("%s -m statistic --mode random --probability %.6f -j %s", name, 1/float64(left), end)
		} else {
			rule("%s -j %s", name, end)
		}
	}
	return name
}
