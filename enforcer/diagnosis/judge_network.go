package diagnosis

import (
	"strings"
)

// ofRole are the interfaces of a role.
func (f *Facts) ofRole(role string) []Interface {
	var out []Interface
	for _, i := range f.Interfaces {
		if i.Role == role {
			out = append(out, i)
		}
	}
	return out
}

func names(list []Interface) []string {
	var out []string
	for _, i := range list {
		out = append(out, i.Name)
	}
	return out
}

const loadBridgeFilter = "sudo modprobe br_netfilter && echo br_netfilter | sudo tee /etc/modules-load.d/br_netfilter.conf"

const filterTagged = "echo net.bridge.bridge-nf-filter-vlan-tagged=1 | sudo tee /etc/sysctl.d/90-bridge-vlans.conf && sudo sysctl -p /etc/sysctl.d/90-bridge-vlans.conf"

func judgeBridges(f *Facts) []Finding {
	bridges := f.ofRole(RoleBridge)
	if f.Bridges == nil || len(bridges) == 0 {
		if f.Bridges != nil && f.Bridges.Missing != "" && len(f.ofRole(RolePod)) == 0 && f.CNI != nil && f.CNI.wantsBridge() {
			return []Finding{{State: Warning, Found: "br_netfilter is not loaded, and the network plug-in puts Pods on a bridge", Consequence: "the agent will not be ready once there are any", Run: loadBridgeFilter}}
		}
		return nil
	}
	if f.Bridges.Missing != "" {
		return []Finding{{State: Problem, Object: "bridge " + strings.Join(names(bridges), ", "), Found: f.Bridges.Missing, Run: loadBridgeFilter}}
	}
	var out []Finding
	for _, b := range bridges {
		four, six := f.Bridges.IPv4 || b.IPv4, f.Bridges.IPv6 || b.IPv6
		by := "by its own switches"
		if !b.IPv4 || !b.IPv6 {
			by = "by the namespace's switches"
		}
		switch {
		case four && six && b.HidesTagged && !f.Bridges.Tagged:
			out = append(out, Finding{
				State: Problem, Object: "bridge " + b.Name, Found: "packets in frames with a VLAN's tag do not come past the hooks: it filters VLANs, has a port that is no Pod's, and bridge-nf-filter-vlan-tagged is 0",
				Consequence: "what is tagged on the way reaches Pods and leaves them past all policies",
				Mend:        "set the switch, which counts for all bridges whose packets rules see; the agent does not", Run: filterTagged,
			})
		case four && six:
			out = append(out, Finding{State: OK, Object: "bridge " + b.Name, Found: "its packets come past the hooks, " + by})
		case len(f.OurTables) == 0 && f.AgentProcess == "":
			out = append(out, Finding{
				State: Note, Object: "bridge " + b.Name, Found: "its packets do not come past the hooks: its switches are off, and so are the namespace's",
				Consequence: "the agent sets them when it starts", Mend: "nothing, unless the agent is to run with --keep-bridge-netfilter", Run: setBridge(b.Name),
			})
		default:
			out = append(out, Finding{
				State: Problem, Object: "bridge " + b.Name, Found: "its packets do not come past the hooks: its switches are off, and so are the namespace's", Mend: "set the bridge's own", Run: setBridge(b.Name),
			})
		}
	}
	return out
}

func setBridge(name string) string {
	return "sudo ip link set " + name + " type bridge nf_call_iptables 1 nf_call_ip6tables 1"
}
