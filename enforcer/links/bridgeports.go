package links

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
)

// portClaims says which ports of bridges claim which addresses: whose far end
// has them. It lives for one Resolve.
type portClaims struct {
	links *Links
	// fresh asks all ports anew; otherwise only those that carry no Pod yet.
	fresh bool
	read  bool
	// byAddr are the claiming ports, sorted by index.
	byAddr map[netip.Addr][]int
	// silent are ports that could not be asked, and why.
	silent map[int]error
}

func (c *portClaims) of(addr netip.Addr) []int {
	if !c.read {
		c.readAll()
	}
	return c.byAddr[addr]
}

func (c *portClaims) readAll() {
	c.read = true
	c.byAddr, c.silent = map[netip.Addr][]int{}, map[int]error{}
	l := c.links
	for index, i := range l.ifaces {
		if i.Master == 0 || !i.LeadsOut() {
			continue
		}
		end, known := l.ends[index]
		if _, owned := l.owner[index]; !known || !owned || c.fresh {
			var err error
			if end, err = l.peers.ask(i); err != nil {
				c.silent[index] = err
				delete(l.ends, index)
				continue
			}
			l.ends[index] = end
		}
		for _, a := range end.addrs {
			c.byAddr[a] = append(c.byAddr[a], index)
		}
	}
	for _, ports := range c.byAddr {
		slices.Sort(ports)
	}
}

// again asks the ports anew that carry the Pod by another address already: an interface
// gets its addresses one after the other, and those of one family first.
func (c *portClaims) again(name types.NamespacedName, addr netip.Addr, bridge *Interface) []int {
	l := c.links
	presumed := l.presumed[addr]
	var out []int
	for index, owner := range l.owner {
		i := l.ifaces[index]
		if i == nil || i.Master != bridge.Index || !i.LeadsOut() || owner != name && index != presumed {
			continue
		}
		end, err := l.peers.ask(i)
		if err != nil {
			continue
		}
		l.ends[index] = end
		if slices.Contains(end.addrs, addr) {
			out = append(out, index)
		}
	}
	slices.Sort(out)
	return out
}

// locateBridged finds the port of a bridge behind which an address is.
func (l *Links) locateBridged(name types.NamespacedName, addr netip.Addr, bridge *Interface, ports *portClaims) (binding, string, error) {
	unknown := binding{iface: bridge.Index}
	claiming := slices.DeleteFunc(slices.Clone(ports.of(addr)), func(index int) bool {
		return l.ifaces[index].Master != bridge.Index
	})
	if len(claiming) == 0 {
		claiming = ports.again(name, addr, bridge)
	}
	if b, ok := l.takeUp(name, addr, bridge, claiming); ok {
		return b, "", nil
	}
	free := slices.DeleteFunc(slices.Clone(claiming), func(index int) bool { return l.takenFrom(name, index) })
	switch {
	case len(free) == 1:
		end := l.ends[free[0]]
		if other := l.hardwareOf(end.mac, free[0], bridge); other != "" {
			l.conflicts[addr] = other
			return unknown, fmt.Sprintf("%s has the hardware address %s, which is that of %s", l.nameOf(free[0]), end.mac, other), nil
		}
		return binding{iface: bridge.Index, veth: free[0], end: end}, "", nil
	case len(free) > 1:
		// Whoever is second is the thief, but nothing tells who that is.
		l.conflicts[addr] = l.describe(free)
		return unknown, fmt.Sprintf("%s all claim it", l.describe(free)), nil
	case len(claiming) > 0:
		return unknown, fmt.Sprintf("only %s claims it, which is another Pod's", l.describe(claiming)), nil
	}
	why := fmt.Sprintf("no port of %s has it at its far end", bridge.Name)
	return unknown, why + l.notSeen(bridge, ports), nil
}

// notSeen says of which ports of a bridge it is not known what they claim.
func (l *Links) notSeen(bridge *Interface, ports *portClaims) string {
	var out []string
	for _, i := range l.ifaces {
		switch {
		case i.Master != bridge.Index:
		case ports.silent[i.Index] != nil:
			out = append(out, fmt.Sprintf("; %v", ports.silent[i.Index]))
		case l.ends[i.Index].cut:
			out = append(out, fmt.Sprintf("; of %s only the first %d addresses are looked at", i.Name, maxPeerAddrs))
		}
	}
	slices.Sort(out)
	return strings.Join(out[:min(len(out), 3)], "")
}

// takeUp goes on with what an earlier agent knew: the port is the same as long as it
// exists. Whoever is behind it may have taken the address off, and only then another
// port's claim says more.
func (l *Links) takeUp(name types.NamespacedName, addr netip.Addr, bridge *Interface, claiming []int) (binding, bool) {
	held, ok := l.inherited[addr]
	port := l.ifaces[held.Port]
	if !ok || port == nil || !port.LeadsOut() || port.Master != bridge.Index || l.takenFrom(name, held.Port) {
		return binding{}, false
	}
	if len(claiming) > 0 && !slices.Contains(claiming, held.Port) {
		return binding{}, false
	}
	return binding{iface: bridge.Index, veth: held.Port, end: podEnd{mac: held.MAC, linkLocal: held.LinkLocal}}, true
}

// hardwareOf says who else has a hardware address near a bridge: the node, another
// Pod's port, or an older port that claims a Pod's address, too.
func (l *Links) hardwareOf(mac string, port int, bridge *Interface) string {
	for _, i := range l.ifaces {
		if i.MAC.String() == mac {
			return i.Name
		}
	}
	for _, p := range l.pods {
		for _, b := range p.binds {
			if b.iface == bridge.Index && b.veth != 0 && b.veth != port && b.end.mac == mac {
				return l.nameOf(b.veth)
			}
		}
	}
	for index, end := range l.ends {
		i := l.ifaces[index]
		if index >= port || i == nil || i.Master != bridge.Index || end.mac != mac {
			continue
		}
		if slices.ContainsFunc(end.addrs, func(a netip.Addr) bool { _, ok := l.byAddr[a]; return ok }) {
			return i.Name
		}
	}
	return ""
}

// takenFrom reports whether a port carries another Pod than this one.
func (l *Links) takenFrom(name types.NamespacedName, index int) bool {
	owner, ok := l.owner[index]
	return ok && owner != name
}

func (l *Links) describe(ports []int) string {
	names := make([]string, len(ports))
	for i, index := range ports {
		names[i] = l.nameOf(index)
	}
	return strings.Join(names, ", ")
}

// sameHardware are the ports whose far end has the hardware address of a binding.
func (l *Links) sameHardware(b binding) []int {
	var out []int
	for index, end := range l.ends {
		if b.end.mac != "" && end.mac == b.end.mac && l.ifaces[index] != nil {
			out = append(out, index)
		}
	}
	return out
}

// findConflicts looks for ports that claim an address which is bound to another
// port, or have its hardware address. The binding stays as it is. What was known before
// is not logged again.
func (l *Links) findConflicts(ctx context.Context, ports *portClaims, was map[netip.Addr]string) error {
	for _, p := range l.pods {
		for addr, b := range p.binds {
			if b.veth == b.iface {
				continue
			}
			others := slices.DeleteFunc(append(slices.Clone(ports.of(addr)), l.sameHardware(b)...), func(index int) bool {
				return index == b.veth || l.ifaces[index].Master != b.iface
			})
			slices.Sort(others)
			others = slices.Compact(others)
			if b.veth != 0 && len(others) == 0 || b.veth == 0 && len(others) < 2 {
				continue
			}
			l.conflicts[addr] = l.describe(others)
			if _, old := was[addr]; !old {
				klog.FromContext(ctx).Info("Another interface claims a Pod's address; the Pod keeps it",
					"pod", l.byAddr[addr], "address", addr, "interface", l.nameOf(b.veth), "claimedBy", l.conflicts[addr])
			}
		}
	}
	return nil
}
