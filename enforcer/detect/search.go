package detect

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/enforcer/netns"
)

// Finding is something that another program set up and that stands in the way of
// policies, or may.
type Finding struct {
	// What is the kind, such as "DropPolicy": package enforcer's ConditionKinds says what
	// follows from each.
	What string
	// Object is whom it concerns, such as "interface veth1".
	Object string
	// Message says what is the matter, Mend what to do about it.
	Message, Mend string
}

func compareFindings(a, b Finding) int {
	return cmp.Or(cmp.Compare(a.What, b.What), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Message, b.Message))
}

// Search is for what other programs set up, and what it goes by.
type Search struct {
	NS         netns.Namespace
	Interfaces map[int]*links.Interface
	// Ways are the interfaces by which packets of Pods come, or may.
	Ways map[int]bool
	// NodeDNS: NodeLocal DNSCache was declared.
	NodeDNS bool
	// Harmless are the BPF programs of which the operator says that they send nothing
	// past us.
	Harmless []string
	IPVS     *IPVS

	// programs are the names of BPF programs that were seen.
	programs map[string]bool
}

// Findings reads the heads of others' chains, and of rules those of base chains alone, and
// changes nothing of theirs. Where one look fails, what the others found is returned all the same.
func (s Search) Findings() ([]Finding, error) {
	var errs []error
	s.programs = map[string]bool{}
	out := interfaceFindings(s.Interfaces, s.NodeDNS)
	flowtables, err := s.flowtableFindings()
	errs = append(errs, err)
	out = append(out, flowtables...)
	chains, err := listForeign(s.NS)
	errs = append(errs, err)
	met, err := withoutKubernetes(s.NS, chains)
	errs = append(errs, err)
	out = append(out, chainFindings(met)...)
	traffic, err := s.trafficFindings()
	errs = append(errs, err)
	out = append(out, traffic...)
	out = append(out, engineFindings(chains, s.Interfaces, s.programs)...)
	balanced, err := s.IPVS.Findings()
	errs = append(errs, err)
	out = append(out, balanced...)
	legacy, err := legacyTables(s.NS)
	errs = append(errs, err)
	for _, t := range legacy {
		out = append(out, Finding{What: "LegacyTables", Object: "table " + t, Message: "it is of legacy iptables, whose rules cannot be read: a policy DROP there, or a rule, drops whatever NetworkPolicies allow", Mend: "look at it with iptables-legacy-save or ip6tables-legacy-save, or use iptables-nft"})
	}
	return boundKinds(out), errors.Join(errs...)
}

// interfaceFindings are about interfaces with well-known names.
func interfaceFindings(ifaces map[int]*links.Interface, nodeDNS bool) []Finding {
	var out []Finding
	for _, i := range ifaces {
		if i.Name == "nodelocaldns" && !nodeDNS {
			out = append(out, Finding{What: "NodeLocalDNS", Object: "interface nodelocaldns", Message: "NodeLocal DNSCache answers on this node, and Pods whose egress is isolated cannot reach it unless a policy allows its address", Mend: "name its addresses with --node-dns to open port 53 of them to every Pod"})
		}
	}
	return out
}

// legacyTables are those of legacy iptables that can drop.
func legacyTables(ns netns.Namespace) ([]string, error) {
	names, err := namesOfLegacyTables(ns)
	return slices.DeleteFunc(names, func(name string) bool { return strings.HasSuffix(name, " nat") }), err
}

// namesOfLegacyTables are all of legacy iptables. There is no file where the kernel has
// none, or nobody used it.
func namesOfLegacyTables(ns netns.Namespace) ([]string, error) {
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
				if len(out) < maxOfAKind {
					out = append(out, of.family+" "+name)
				}
			}
		}
		return nil
	})
	slices.Sort(out)
	return out, err
}
