package detect

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/enforcer/links"
)

// engine is another program that enforces NetworkPolicy, with what it leaves on
// a node. Of some, the same program is the CNI plugin as well, and it leaves its
// interfaces there even where its policies are switched off: a trace is said to
// be one, not taken for a proof.
type engine struct {
	name string
	// tables, chains, interfaces and programs (BPF's, at interfaces) are names, or
	// beginnings of them with a "*".
	tables, chains, interfaces, programs []string
	// mend is how its policies are switched off.
	mend string
}

// routerLeftovers takes away what kube-router leaves: k3s does not remove it either.
const routerLeftovers = `"iptables-save | grep -v -e KUBE-ROUTER -e KUBE-POD-FW -e KUBE-NWPLCY | iptables-restore", and the same with ip6tables`

var engines = []engine{
	{name: "Antrea", chains: []string{"ANTREA-POL-*"}, interfaces: []string{"antrea-gw0"}, mend: "it enforces in Open vSwitch, which Sluice does not see: set featureGates.AntreaPolicy: false, and use one engine only"},
	{name: "AWS network policy agent", programs: []string{"handle_ingress", "handle_egress"}, mend: `EKS: "aws eks update-addon --cluster-name CLUSTER --addon-name vpc-cni --configuration-values '{\"enableNetworkPolicy\": \"false\"}'", and the Pods start anew`},
	{name: "Azure NPM", chains: []string{"AZURE-NPM*"}, mend: `"kubectl delete daemonset -n kube-system azure-npm" (AKS: "az aks update --network-policy none")`},
	{name: "Calico", tables: []string{"calico"}, chains: []string{"cali-pi-*", "cali-po-*", "cali-tw-*", "cali-fw-*"}, mend: "run the plugin without Felix's policies, or remove Calico's policy part (the IPAM and the plugin can stay)"},
	{name: "Cilium", chains: []string{"CILIUM_*"}, interfaces: []string{"cilium_host", "cilium_net", "cilium_vxlan"}, programs: []string{"cil_*"}, mend: "set enable-policy: never and cni-chaining as needed, for its BPF programs take packets past nftables"},
	{name: "kindnet", tables: []string{"kindnet-network-policies"}, mend: "take another plug-in (kind: disableDefaultCNI: true of networking, in its configuration)"},
	{name: "kube-network-policies", tables: []string{"kube-network-policies"}, mend: `"kubectl delete daemonset -n kube-system kube-network-policies"`},
	{name: "kube-router", chains: []string{"KUBE-ROUTER-*", "KUBE-POD-FW-*", "KUBE-NWPLCY-*"}, interfaces: []string{"kube-bridge", "kube-dummy-if"}, mend: "run it with --run-firewall=false; k3s, which has it built in: start each server with --disable-network-policy (or disable-network-policy: true in /etc/rancher/k3s/config.yaml). Its rules stay behind until the node starts anew, or " + routerLeftovers},
	{name: "OVN-Kubernetes", interfaces: []string{"ovn-k8s-mp0", "ovn-k8s-mp0_0"}, mend: "it enforces in Open vSwitch, which Sluice does not see, and cannot be told not to: use one of the two"},
	{name: "Weave Net", chains: []string{"WEAVE-NPC*"}, mend: "set EXPECT_NPC=0 and remove container weave-npc"},
}

// engineFindings name the engines whose traces are there. Sluice's own rules
// hold beside another engine's: a packet passes if both let it. What is lost is
// what the other one does not allow.
func engineFindings(chains []foreignChain, ifaces map[int]*links.Interface, programs map[string]bool) []Finding {
	tables, names, named := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, c := range chains {
		tables[c.table], names[c.name] = true, true
	}
	for _, i := range ifaces {
		named[i.Name] = true
	}
	var out []Finding
	for _, e := range engines {
		traces := slices.Concat(
			found("table", e.tables, tables), found("chain", e.chains, names), found("interface", e.interfaces, named), found("program", e.programs, programs))
		if len(traces) == 0 {
			continue
		}
		out = append(out, Finding{
			What: "PolicyEngine", Object: e.name,
			Message: fmt.Sprintf("there are traces of %s (%s): if it enforces policies as well, a packet passes only where both let it", e.name, strings.Join(FirstOf(traces, 5), ", ")),
			Mend:    "one engine is enough: " + e.mend,
		})
	}
	return out
}

// found lists the names that one of the patterns fits, of each pattern one: that is enough
// to tell.
func found(what string, patterns []string, names map[string]bool) []string {
	var out []string
	for _, pattern := range patterns {
		for _, name := range slices.Sorted(maps.Keys(names)) {
			if fits(name, pattern) {
				out = append(out, what+" "+name)
				break
			}
		}
	}
	return out
}

// fits reports whether a name is one of some, of which a star ends any.
func fits(name string, patterns ...string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		beginning, open := strings.CutSuffix(p, "*")
		return name == p || open && strings.HasPrefix(name, beginning)
	})
}
