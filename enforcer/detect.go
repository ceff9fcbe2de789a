package enforcer

import (
	"fmt"

	"github.com/google/nftables"
)

// detect looks for what other programs set up.
func detect(ns Netns, ifaces map[int]*iface, nodeDNS bool) ([]Condition, error) {
	var out []Condition
	for _, i := range ifaces {
		switch {
		case i.name == "nodelocaldns" && !nodeDNS:
			out = append(out, Condition{What: "NodeLocalDNS", Object: "interface nodelocaldns", Message: "NodeLocal DNSCache answers on this node, and Pods whose egress is isolated cannot reach it unless a policy allows its address", Mend: "name its addresses with --node-dns to open port 53 of them to every Pod"})
		case i.name == "kube-ipvs0":
			out = append(out, Condition{What: "IPVS", Object: "interface kube-ipvs0", Message: "kube-proxy runs in IPVS mode, which takes Service traffic past the forward hook, so policies may not hold for traffic through Services", Mend: "use kube-proxy's nftables or iptables mode"})
		}
	}
	flowtables, err := flowtables(ns)
	for _, name := range flowtables {
		out = append(out, Condition{What: "Flowtable", Object: "flowtable " + name, Message: "connections that it offloads bypass the forward hook, so a change of policy does not cut them", Mend: "switch off the offloading of whatever made it"})
	}
	return out, err
}

// flowtables lists those of all tables.
func flowtables(ns Netns) ([]string, error) {
	var out []string
	err := ns.Do(func() error {
		conn, err := nftables.New()
		if err != nil {
			return fmt.Errorf("open nftables: %w", err)
		}
		tables, err := conn.ListTables()
		if err != nil {
			return fmt.Errorf("list tables: %w", err)
		}
		for _, t := range tables {
			// Only these families have a forward path to bypass.
			if t.Family != nftables.TableFamilyIPv4 && t.Family != nftables.TableFamilyIPv6 && t.Family != nftables.TableFamilyINet {
				continue
			}
			found, err := conn.ListFlowtables(t)
			if err != nil {
				return fmt.Errorf("list flowtables of %s: %w", t.Name, err)
			}
			for _, f := range found {
				out = append(out, t.Name+"/"+f.Name)
			}
		}
		return nil
	})
	return out, err
}
