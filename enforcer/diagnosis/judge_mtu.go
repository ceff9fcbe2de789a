package diagnosis

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// overheads are what tunnels add to a packet, over IPv4. Over IPv6 it is 20 more: a tunnel
// that leaves no room for these is not told, for most go over IPv4.
var overheads = map[string]int{"vxlan": 50, "geneve": 50, "gretap": 38, "gre": 24, "ipip": 20, "sit": 20, "wireguard": 60}

// overlayNames are tunnels that network plug-ins make. Others, such as a VPN's, carry no Pods.
var overlayNames = []string{"flannel*", "vxlan.calico", "vxlan-v6.calico", "wireguard.cali", "cilium_vxlan", "cilium_geneve", "tunl0", "antrea-*", "vxlan-6784"}

func isOverlay(i Interface) bool {
	return i.Role == RoleTunnel && i.Up && slices.ContainsFunc(overlayNames, func(p string) bool { return matches(p, i.Name) })
}

// leastIPv6 is the least MTU with which an interface has IPv6.
const leastIPv6 = 1280

func judgeMTU(f *Facts) []Finding {
	uplink, hasUplink := least(f.ofRole(RoleUplink))
	var out []Finding
	way, way0 := uplink, "the uplink "+uplink.Name
	for _, tunnel := range f.Interfaces {
		if !isOverlay(tunnel) {
			continue
		}
		lower, known := uplink, hasUplink
		if i := slices.IndexFunc(f.Interfaces, func(i Interface) bool { return i.Name == tunnel.Lower }); i >= 0 && tunnel.Lower != "" {
			lower, known = f.Interfaces[i], true
		}
		if room := lower.MTU - overheads[tunnel.Kind]; known && tunnel.MTU > room {
			out = append(out, Finding{
				State: Warning, Object: "interface " + tunnel.Name,
				Found: fmt.Sprintf("its MTU is %d, and %s (%d) leaves %d for what a %s carries", tunnel.MTU, lower.Name, lower.MTU, room, tunnel.Kind),
				Mend:  fmt.Sprintf("set the plug-in's MTU to %d or less", room), Run: fmt.Sprintf("sudo ip link set %s mtu %d", tunnel.Name, room),
			})
		}
		if way.MTU == 0 || tunnel.MTU < way.MTU {
			way, way0 = tunnel, "the tunnel "+tunnel.Name
		}
	}
	pods := f.ofRole(RolePod)
	if way.MTU > 0 {
		var large []Interface
		for _, i := range pods {
			if i.MTU > way.MTU {
				large = append(large, i)
			}
		}
		if len(large) > 0 {
			out = append(out, Finding{
				State: Warning, Object: "interface " + strings.Join(some(names(large), 3), ", "),
				Found: fmt.Sprintf("%s an MTU of up to %d, and %s has %d", count(len(large), "Pod's interface has", "Pods' interfaces have"), most(large), way0, way.MTU),
				Mend:  fmt.Sprintf("set the plug-in's MTU to %d or less, and have the Pods start anew", way.MTU), Run: f.whereMTU(),
			})
		}
	}
	out = append(out, smallMTUs(f)...)
	if len(out) > 0 {
		return out
	}
	return []Finding{{State: OK, Found: mtuText(pods, uplink, way, hasUplink)}}
}

// smallMTUs tells of interfaces that cannot have IPv6.
func smallMTUs(f *Facts) []Finding {
	var small []Interface
	for _, i := range f.Interfaces {
		if (i.Role == RolePod || i.Role == RoleBridge || i.Role == RoleUplink || isOverlay(i)) && i.MTU > 0 && i.MTU < leastIPv6 {
			small = append(small, i)
		}
	}
	if len(small) == 0 {
		return nil
	}
	return []Finding{{
		State: Warning, Object: "interface " + strings.Join(some(names(small), 3), ", "), Found: fmt.Sprintf("an MTU of %d is less than the %d that IPv6 needs", smallest(small), leastIPv6),
		Consequence: "the kernel takes IPv6 from such an interface, and IPv4 is slow over it", Mend: "set the plug-in's MTU to what the network carries", Run: f.whereMTU(),
	}}
}

// whereMTU shows where the MTU is set, as far as that is known.
func (f *Facts) whereMTU() string {
	if f.CNI == nil {
		return "sudo grep -rn mtu /etc/cni/net.d"
	}
	if first, ok := f.CNI.first(); ok {
		return "sudo grep -n mtu " + f.CNI.path(first)
	}
	return "sudo grep -rn mtu /etc/cni/net.d"
}

func mtuText(pods []Interface, uplink, way Interface, hasUplink bool) string {
	var out []string
	if len(pods) > 0 {
		seen := map[int]bool{}
		for _, i := range pods {
			seen[i.MTU] = true
		}
		var sizes []string
		for _, n := range slices.Sorted(maps.Keys(seen)) {
			sizes = append(sizes, fmt.Sprint(n))
		}
		out = append(out, "Pods "+strings.Join(some(sizes, 4), ", "))
	}
	if way.Name != uplink.Name {
		out = append(out, fmt.Sprintf("tunnel %s %d", way.Name, way.MTU))
	}
	if hasUplink {
		out = append(out, fmt.Sprintf("uplink %s %d", uplink.Name, uplink.MTU))
	}
	if len(out) == 0 {
		return "neither Pods nor an uplink"
	}
	return strings.Join(out, ", ")
}

// least is the interface with the least MTU.
func least(list []Interface) (Interface, bool) {
	var out Interface
	for _, i := range list {
		if i.MTU > 0 && (out.MTU == 0 || i.MTU < out.MTU) {
			out = i
		}
	}
	return out, out.MTU > 0
}

func smallest(list []Interface) int {
	i, _ := least(list)
	return i.MTU
}

func most(list []Interface) int {
	out := 0
	for _, i := range list {
		out = max(out, i.MTU)
	}
	return out
}

// Values of rp_filter.
const strictPath = 1

// judgeReversePath tells where it may drop. The kernel takes the larger of an interface's
// value and that of all: 0 off, 1 strict, 2 loose.
func judgeReversePath(f *Facts) []Finding {
	uplinks := f.ofRole(RoleUplink)
	var strict []string
	for _, i := range uplinks {
		if max(f.ReversePath, i.ReversePath) == strictPath {
			strict = append(strict, i.Name)
		}
	}
	switch {
	case len(strict) == 0:
		return []Finding{{State: OK, Found: "not strict on an uplink"}}
	case len(uplinks) > 1 || len(f.Tables) > 0:
		// Rules to other tables alone are as network plug-ins have them, who know of it.
		state, why := Warning, "there are several uplinks"
		if len(uplinks) == 1 {
			state, why = Note, "rules lead to other routing tables"
		}
		return []Finding{{
			State: state, Object: "interface " + strings.Join(some(strict, 3), ", "), Found: "rp_filter is strict, and " + why,
			Run: "sudo sysctl -w net.ipv4.conf." + strict[0] + ".rp_filter=2",
		}}
	}
	return []Finding{{State: OK, Found: "strict on " + strings.Join(some(strict, 3), ", ") + ", the only way out"}}
}
