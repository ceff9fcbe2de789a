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
	// tables, chains and interfaces are names, or beginnings of them with a "*".
	tables, chains, interfaces []string
	mend                       string
}

var engines = []engine{
	{"Antrea", nil, []string{"ANTREA-POL-*"}, []string{"antrea-gw0"}, "it enforces in Open vSwitch, which Sluice does not see: set featureGates.AntreaPolicy: false, and use one engine only"},
	{"Azure NPM", nil, []string{"AZURE-NPM*"}, nil, "delete DaemonSet azure-npm in kube-system (AKS: --network-policy none)"},
	{"Calico", []string{"calico"}, []string{"cali-pi-*", "cali-po-*", "cali-tw-*", "cali-fw-*"}, nil, "run the plugin without Felix's policies, or remove Calico's policy part (the IPAM and the plugin can stay)"},
	{"Cilium", nil, []string{"CILIUM_*"}, []string{"cilium_host", "cilium_net", "cilium_vxlan"}, "set enable-policy: never and cni-chaining as needed, for its BPF programs take packets past nftables"},
	{"kube-network-policies", []string{"kube-network-policies", "kindnet-network-policies"}, nil, nil, "delete DaemonSet kube-network-policies in kube-system"},
	{"kube-router", nil, []string{"KUBE-ROUTER-*", "KUBE-POD-FW-*", "KUBE-NWPLCY-*"}, []string{"kube-bridge", "kube-dummy-if"}, "run it with --run-firewall=false (k3s: --disable-network-policy), and then kube-router --cleanup-config"},
	{"Weave Net", nil, []string{"WEAVE-NPC*"}, nil, "set EXPECT_NPC=0 and remove container weave-npc"},
}

// engineConditions name the engines whose traces are there. Sluice's own rules
// hold beside another engine's: a packet passes if both let it. What is lost is
// what the other one does not allow.
func engineFindings(chains []foreignChain, ifaces map[int]*links.Interface) []Finding {
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
			found("table", e.tables, tables), found("chain", e.chains, names), found("interface", e.interfaces, named))
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

// found lists the names that one of the patterns fits.
func found(what string, patterns []string, names map[string]bool) []string {
	var out []string
	for _, pattern := range patterns {
		beginning, open := strings.CutSuffix(pattern, "*")
		if !open {
			if names[pattern] {
				out = append(out, what+" "+pattern)
			}
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			if strings.HasPrefix(name, beginning) {
				out = append(out, what+" "+name)
				break // one is enough to tell
			}
		}
	}
	return out
}
