package enforcer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/nftwire"
	"github.com/sluice-net/sluice/enforcer/tables"
)

// search is for what other programs set up, and what it goes by.
type search struct {
	ns     netns.Namespace
	ifaces map[int]*links.Interface
	// ways are the interfaces by which packets of Pods come, or may.
	ways map[int]bool
	// nodeDNS: NodeLocal DNSCache was declared.
	nodeDNS bool
	// harmless are the BPF programs of which the operator says that they send nothing
	// past us.
	harmless []string
	ipvs     *ipvs
}

// conditions reads the heads of others' chains and never their rules, and changes nothing
// of theirs. Where one look fails, what the others found is returned all the same.
func (s search) conditions() ([]Condition, error) {
	var errs []error
	out := interfaceConditions(s.ifaces, s.nodeDNS)
	flowtables, err := s.flowtableConditions()
	errs = append(errs, err)
	out = append(out, flowtables...)
	chains, err := listForeign(s.ns)
	errs = append(errs, err)
	out = append(out, chainConditions(chains)...)
	out = append(out, engineConditions(chains, s.ifaces)...)
	traffic, err := s.trafficConditions()
	errs = append(errs, err)
	out = append(out, traffic...)
	balanced, err := s.ipvs.Conditions()
	errs = append(errs, err)
	out = append(out, balanced...)
	legacy, err := legacyTables(s.ns)
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
		if i.Name == "nodelocaldns" && !nodeDNS {
			out = append(out, Condition{What: "NodeLocalDNS", Object: "interface nodelocaldns", Message: "NodeLocal DNSCache answers on this node, and Pods whose egress is isolated cannot reach it unless a policy allows its address", Mend: "name its addresses with --node-dns to open port 53 of them to every Pod"})
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

// flowtableConditions name those that take packets of Pods past the forward hook. A
// flowtable takes what comes by its devices, of connections that some rule gave it: they
// pass no hook any more until they end, so that no change of a policy cuts them. Who may
// begin one was judged. Where no rule gives it any, or its devices carry no Pods, it
// does nothing to us.
func (s search) flowtableConditions() ([]Condition, error) {
	ways := map[string]bool{}
	for index := range s.ways {
		if i := s.ifaces[index]; i != nil {
			ways[i.Name] = true
		}
	}
	found, err := flowtables(s.ns)
	var out []Condition
	for _, f := range found {
		devices := slices.DeleteFunc(slices.Clone(f.devices), func(name string) bool { return !ways[name] })
		if f.uses == 0 || len(devices) == 0 {
			continue
		}
		slices.Sort(devices)
		out = append(out, Condition{
			What: "Flowtable", Object: "flowtable " + f.name,
			Message: fmt.Sprintf("connections of Pods that it takes over come by %s past our hooks, so that a change of policy does not cut them", strings.Join(firstOf(devices, 10), ", ")),
			Mend:    "switch off the offloading of what made it, or take the interfaces of Pods, and those that lead out, from it",
		})
	}
	return out, err
}

// flowtable is one of another program.
type flowtable struct {
	name    string
	devices []string
	// uses is how many rules give it connections.
	uses uint32
}

// maxFlowtables bounds what is kept of them.
const maxFlowtables = 1000

// flowtables lists those of all tables.
func flowtables(ns netns.Namespace) ([]flowtable, error) {
	var out []flowtable
	err := tables.Ask(ns, func(socket *nftwire.Socket) error {
		return socket.Flowtables(maxFlowtables, func(f nftwire.Flowtable) {
			// Only these families have a forward path to bypass.
			if f.Family == unix.NFPROTO_IPV4 || f.Family == unix.NFPROTO_IPV6 || f.Family == unix.NFPROTO_INET {
				out = append(out, flowtable{familyNames[f.Family] + " " + f.Table + " " + f.Name, f.Devices, f.Uses})
			}
		})
	})
	return out, err
}
