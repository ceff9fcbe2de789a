package diagnosis

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// pluginType is what is known of a plug-in by its type in a configuration.
type pluginType struct {
	name  string
	state State
	// says is what it does to Pods' packets; empty: nothing to tell.
	says, consequence, mend string
}

// pluginTypes are those of which more is known than the name.
var pluginTypes = []pluginType{
	{name: "macvlan", state: Problem, says: "it gives Pods a macvlan as their first interface", consequence: "the node has no end of it, and no policy is enforced: PodUnresolved for the isolated ones"},
	{name: "ipvlan", state: Problem, says: "it gives Pods an ipvlan as their first interface", consequence: "the node has no end of it, and no policy is enforced: PodUnresolved for the isolated ones"},
	{name: "sriov", state: Problem, says: "it gives Pods a function of the network card as their first interface", consequence: "the node has no end of it, and no policy is enforced: PodUnresolved for the isolated ones"},
	{name: "host-device", state: Problem, says: "it gives Pods a device of the node as their first interface", consequence: "the node has no end of it, and no policy is enforced: PodUnresolved for the isolated ones"},
	{name: "antrea", state: Warning, says: "Antrea's Pods hang on Open vSwitch", consequence: "what two Pods of a node send each other comes to no hook of nftables", mend: "use Antrea's own policies, or another plug-in"},
	{name: "ovn-k8s-cni-overlay", state: Warning, says: "OVN-Kubernetes' Pods hang on Open vSwitch", consequence: "what two Pods of a node send each other comes to no hook of nftables", mend: "use OVN-Kubernetes' own policies, or another plug-in"},
	{name: "cilium-cni", state: Warning, says: "Cilium's BPF programs carry packets between Pods", consequence: "what they redirect comes to no hook of nftables: see traffic-control", mend: "use Cilium's own policies, or another plug-in"},
}

// wantsBridge reports whether the configuration that counts puts Pods on a bridge.
func (c *CNI) wantsBridge() bool {
	first, ok := c.first()
	return ok && (slices.Contains(first.Types, "bridge") || slices.Contains(first.Types, "flannel"))
}

// first is the file that container runtimes take.
func (c *CNI) first() (CNIConfig, bool) {
	for _, file := range c.Files {
		if file.Error == "" {
			return file, true
		}
	}
	return CNIConfig{}, false
}

func judgeCNI(f *Facts) []Finding {
	var out []Finding
	if i := slices.IndexFunc(f.Interfaces, func(i Interface) bool { return i.Kind == "openvswitch" }); i >= 0 {
		out = append(out, Finding{
			State: Warning, Object: "interface " + f.Interfaces[i].Name, Found: "there is an Open vSwitch on the node",
			Consequence: "if Pods hang on it, what two of them send each other comes to no hook of nftables",
		})
	}
	config := "its configuration cannot be seen from the agent's container"
	if c := f.CNI; c != nil {
		found, text := c.findings()
		out, config = append(out, found...), text
	}
	shape := f.shape()
	if shape == "" {
		shape = "no Pod has an interface here yet"
	}
	state := OK
	if len(out) > 0 {
		state = Note
	}
	return append(out, Finding{State: state, Found: shape + "; " + config, Consequence: "", Mend: ""})
}

// findings tell of the configuration, and say it in a few words.
func (c *CNI) findings() (out []Finding, text string) {
	for _, file := range c.Files {
		if file.Error != "" {
			out = append(out, Finding{State: Warning, Object: c.path(file), Found: file.Error, Consequence: "the container runtime may refuse it as well: then Pods do not start", Mend: "correct or remove it"})
		}
	}
	first, ok := c.first()
	if !ok {
		why := c.Error
		if why == "" {
			why = c.Dir + " has no configuration"
		}
		return out, why
	}
	for _, t := range pluginTypes {
		if len(first.Types) > 0 && first.Types[0] == t.name {
			out = append(out, Finding{State: t.state, Object: c.path(first), Found: t.says, Consequence: t.consequence, Mend: t.mend})
		}
	}
	var others []string
	for _, file := range c.Files {
		if file.Error == "" && file.File != first.File {
			others = append(others, file.File)
		}
	}
	if len(others) > 0 {
		out = append(out, Finding{
			State: Note, Object: c.path(first), Found: "the container runtime takes this one, the first by name, and not " + strings.Join(some(others, 3), ", "),
			Consequence: "what another plug-in left may be taken for the one that is at work", Mend: "remove what is left of plug-ins that are not used",
		})
	}
	return out, fmt.Sprintf("%s says %s", c.path(first), strings.Join(first.Types, " + "))
}

func (c *CNI) path(file CNIConfig) string { return strings.TrimSuffix(c.Dir, "/") + "/" + file.File }

// shapes are how plug-ins call the node's ends of Pods' interfaces, and their bridges and
// overlays; the first that fits counts, in each group.
var shapes = [][]struct{ pattern, says string }{
	{
		{"cali*", "Calico's routed veths"}, {"azv*", "Azure's veths"}, {"eni*", "AWS VPC CNI's routed veths"}, {"lxc*", "Cilium's veths"}, {"gke*", "GKE's routed veths"},
	},
	{
		{"azure0", "Azure's bridge azure0"}, {"cni0", "bridge cni0, as the plug-in bridge and flannel have it"}, {"kube-bridge", "kube-router's bridge"}, {"cbr0", "kubenet's bridge cbr0"}, {"weave", "Weave Net's bridge"},
	},
	{
		{"flannel.*", "flannel's VXLAN"}, {"flannel-wg*", "flannel's WireGuard"}, {"vxlan.calico", "Calico's VXLAN"}, {"cilium_vxlan", "Cilium's VXLAN"}, {"cilium_geneve", "Cilium's Geneve"}, {"wireguard.cali", "Calico's WireGuard"}, {"antrea-gw0", "Antrea's gateway"},
	},
}

// shape says how the Pods' interfaces are laid out.
func (f *Facts) shape() string {
	var out []string
	pods := f.ofRole(RolePod)
	routed := slices.ContainsFunc(pods, func(i Interface) bool { return i.Master == "" })
	for group, list := range shapes {
		says := map[string]bool{}
		for _, i := range f.Interfaces {
			if group == 0 && i.Role != RolePod || group == 1 && i.Role != RoleBridge && i.Kind != "bridge" {
				continue
			}
			for _, s := range list {
				if matches(s.pattern, i.Name) {
					says[s.says] = true
				}
			}
		}
		switch {
		case len(says) > 0:
			out = append(out, slices.Sorted(maps.Keys(says))...)
		case group == 0 && routed:
			out = append(out, "routed veths, as the plug-in ptp has them")
		case group == 1 && len(f.ofRole(RoleBridge)) > 0:
			out = append(out, "bridge "+strings.Join(some(names(f.ofRole(RoleBridge)), 3), ", "))
		}
	}
	if len(pods) > 0 && len(out) > 0 {
		out[0] = fmt.Sprintf("%s of Pods: %s", count(len(pods), "interface", "interfaces"), out[0])
	}
	if len(f.Tables) > 0 && len(out) > 0 {
		var tables []string
		for _, t := range f.Tables {
			tables = append(tables, fmt.Sprint(t))
		}
		out = append(out, "rules to routing tables "+strings.Join(some(tables, 5), ", "))
	}
	return strings.Join(out, ", ")
}

// matches is for a name, or the beginning of one with a "*".
func matches(pattern, name string) bool {
	if beginning, open := strings.CutSuffix(pattern, "*"); open {
		return strings.HasPrefix(name, beginning)
	}
	return pattern == name
}

// judgeSecond tells of plug-ins that give Pods second interfaces; those that Pods have, the
// agent tells.
func judgeSecond(f *Facts) []Finding {
	if f.CNI == nil {
		return nil
	}
	for _, file := range f.CNI.Files {
		if slices.Contains(file.Types, "multus") || slices.Contains(file.Types, "multus-shim") {
			return []Finding{{
				State: Note, Object: f.CNI.path(file), Found: "Multus is there, and may give Pods second interfaces",
				Mend: "see which Pods ask for one", Run: "kubectl get pods -A -o json | grep k8s.v1.cni.cncf.io/networks",
			}}
		}
	}
	return nil
}

// The modes of kube-proxy.
const (
	ProxyIPTables = "iptables"
	ProxyNftables = "nftables"
	ProxyIPVS     = "ipvs"
)

func judgeProxy(f *Facts) []Finding {
	modes := slices.Sorted(maps.Keys(f.Proxies))
	switch {
	case len(modes) == 0 && f.LegacyNAT:
		return []Finding{{State: OK, Found: "no trace that can be read; there is a table nat of legacy iptables, which kube-proxy may use"}}
	case len(modes) == 0:
		return []Finding{{State: OK, Found: "no trace of kube-proxy: Services are made by something else, or not at all"}}
	case len(modes) == 1:
		return []Finding{{State: OK, Found: fmt.Sprintf("kube-proxy in mode %s (%s)", modes[0], strings.Join(some(f.Proxies[modes[0]], 2), ", "))}}
	}
	var traces []string
	for _, m := range modes {
		traces = append(traces, fmt.Sprintf("%s (%s)", m, strings.Join(some(f.Proxies[m], 2), ", ")))
	}
	return []Finding{{State: Warning, Found: "there are traces of several modes of kube-proxy: " + strings.Join(traces, ", "), Run: "sudo kube-proxy --cleanup"}}
}
