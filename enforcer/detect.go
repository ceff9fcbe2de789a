package enforcer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"

	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/enforcer/netns"
)

// detect looks for what other programs set up. It reads the heads of their
// chains and never their rules, and changes nothing of theirs. Where one look
// fails, what the others found is returned all the same.
func detect(ns netns.Namespace, ifaces map[int]*links.Interface, nodeDNS bool) ([]Condition, error) {
	var errs []error
	out := interfaceConditions(ifaces, nodeDNS)
	flowtables, err := flowtables(ns)
	errs = append(errs, err)
	for _, name := range flowtables {
		out = append(out, Condition{What: "Flowtable", Object: "flowtable " + name, Message: "connections that it offloads bypass the forward hook, so a change of policy does not cut them", Mend: "switch off the offloading of whatever made it"})
	}
	chains, err := listForeign(ns)
	errs = append(errs, err)
	out = append(out, chainConditions(chains)...)
	out = append(out, engineConditions(chains, ifaces)...)
	traffic, err := trafficConditions(ns, ifaces)
	errs = append(errs, err)
	out = append(out, traffic...)
	legacy, err := legacyTables(ns)
	errs = append(errs, err)
	for _, t := range legacy {
		out = append(out, Condition{What: "LegacyTables", Object: "table " + t, Message: "it is of legacy iptables, whose rules cannot be read: a policy DROP there, or a rule, drops whatever NetworkPolicies allow", Mend: "look at it with iptables-legacy-save or ip6tables-legacy-save, or use iptables-nft"})
	}
	return boundKinds(out), errors.Join(errs...)
}

// interfaceConditions are about interfaces with well-known names.
func interfaceConditions(ifaces map[int]*links.Interface, nodeDNS bool) []Condition {
	var out []Condition
	for _, i := range ifaces {
		switch {
		case i.Name == "nodelocaldns" && !nodeDNS:
			out = append(out, Condition{What: "NodeLocalDNS", Object: "interface nodelocaldns", Message: "NodeLocal DNSCache answers on this node, and Pods whose egress is isolated cannot reach it unless a policy allows its address", Mend: "name its addresses with --node-dns to open port 53 of them to every Pod"})
		case i.Name == "kube-ipvs0":
			out = append(out, Condition{What: "IPVS", Object: "interface kube-ipvs0", Message: "kube-proxy runs in IPVS mode, which takes Service traffic past the forward hook, so policies may not hold for traffic through Services", Mend: "use kube-proxy's nftables or iptables mode"})
		}
	}
	return out
}

// legacyTables are those of legacy iptables that can drop. There is no file
// where the kernel has no legacy iptables, or nobody used it.
func legacyTables(ns netns.Namespace) ([]string, error) {
	var out []string
	err := ns.Do(func() error {
		for _, of := range []struct{ family, file string }{
			{"ip", "/proc/thread-self/net/ip_tables_names"}, {"ip6", "/proc/thread-self/net/ip6_tables_names"},
		} {
			data, err := os.ReadFile(of.file)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return fmt.Errorf("read the names of legacy tables: %w", err)
			}
			for _, name := range strings.Fields(string(data)) {
				if name != "nat" && len(out) < maxOfAKind {
					out = append(out, of.family+" "+name)
				}
			}
		}
		return nil
	})
	slices.Sort(out)
	return out, err
}

// flowtables lists those of all tables.
func flowtables(ns netns.Namespace) ([]string, error) {
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
