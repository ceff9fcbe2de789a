package enforcer

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
)

// portClaims says which ports of bridges claim which addresses: whose far end
// has them. It lives for one Resolve.
type portClaims struct {
	links *links
	// fresh asks all ports anew; otherwise only those that carry no Pod yet.
	fresh bool
	read  bool
	// byAddr are the claiming ports, sorted by index.
	byAddr map[netip.Addr][]int
	// silent are ports that cannot be asked.
	silent map[int]bool
}

func (c *portClaims) of(addr netip.Addr) []int {
	if !c.read {
		c.readAll()
	}
	return c.byAddr[addr]
}

func (c *portClaims) readAll() {
	c.read = true
	c.byAddr, c.silent = map[netip.Addr][]int{}, map[int]bool{}
	l := c.links
	for index, i := range l.ifaces {
		if i.master == 0 || !i.leadsOut() {
			continue
		}
		end, known := l.ends[index]
		if _, owned := l.owner[index]; !known || !owned || c.fresh {
			var err error
			if end, err = askPeer(l.socket, i); err != nil {
				c.silent[index] = true
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

// locateBridged finds the port of a bridge behind which an address is.
func (l *links) locateBridged(name types.NamespacedName, addr netip.Addr, bridge *iface, ports *portClaims) (binding, string, error) {
	unknown := binding{iface: bridge.index}
	claiming := slices.DeleteFunc(slices.Clone(ports.of(addr)), func(index int) bool {
		return l.ifaces[index].master != bridge.index
	})
	free := slices.DeleteFunc(slices.Clone(claiming), func(index int) bool { return l.takenFrom(name, index) })
	switch {
	case len(free) == 1:
		return binding{iface: bridge.index, veth: free[0], end: l.ends[free[0]]}, "", nil
	case len(free) > 1:
		// Whoever is second is the thief, but nothing tells who that is.
		l.conflicts[addr] = l.describe(free)
		return unknown, fmt.Sprintf("%s all claim it", l.describe(free)), nil
	case len(claiming) > 0:
		return unknown, fmt.Sprintf("only %s claims it, which is another Pod's", l.describe(claiming)), nil
	case len(ports.silent) == 0:
		return unknown, fmt.Sprintf("no port of %s has it at its far end", bridge.name), nil
	}
	return l.locateByTraffic(name, addr, bridge, ports)
}

// takenFrom reports whether a port carries another Pod than this one.
func (l *links) takenFrom(name types.NamespacedName, index int) bool {
	owner, ok := l.owner[index]
	return ok && owner != name
}

// locateByTraffic is for ports that cannot be asked: the neighbour table has
// the address's MAC, and the forwarding database the MAC's port. A Pod can
// forge both, so this never contradicts a port that could be asked.
func (l *links) locateByTraffic(name types.NamespacedName, addr netip.Addr, bridge *iface, ports *portClaims) (binding, string, error) {
	unknown := binding{iface: bridge.index}
	mac := l.neighbourMAC(addr, bridge.index)
	if mac == "" {
		return unknown, fmt.Sprintf("no traffic has shown yet which port of %s it is behind", bridge.name), nil
	}
	entries, err := neighbours(l.socket, unix.AF_BRIDGE)
	if err != nil {
		return binding{}, "", err
	}
	for _, n := range entries {
		if n.mac == mac && ports.silent[n.iface] && l.ifaces[n.iface].master == bridge.index && !l.takenFrom(name, n.iface) {
			return binding{iface: bridge.index, veth: n.iface, end: podEnd{mac: mac}}, "", nil
		}
	}
	return unknown, fmt.Sprintf("%s does not know the port of %s", bridge.name, mac), nil
}

func (l *links) describe(ports []int) string {
	names := make([]string, len(ports))
	for i, index := range ports {
		names[i] = l.nameOf(index)
	}
	return strings.Join(names, ", ")
}

// findConflicts looks for ports that claim an address which is bound to another
// port. The binding stays as it is.
func (l *links) findConflicts(ctx context.Context, ports *portClaims) error {
	found := map[netip.Addr]string{}
	for _, p := range l.pods {
		for addr, b := range p.binds {
			if b.veth == b.iface {
				continue
			}
			others := slices.DeleteFunc(slices.Clone(ports.of(addr)), func(index int) bool {
				return index == b.veth || l.ifaces[index].master != b.iface
			})
			if b.veth != 0 && len(others) == 0 || b.veth == 0 && len(others) < 2 {
				continue
			}
			found[addr] = l.describe(others)
			if _, old := l.conflicts[addr]; !old {
				klog.FromContext(ctx).Info("Another interface claims a Pod's address; the Pod keeps it",
					"pod", l.byAddr[addr], "address", addr, "interface", l.nameOf(b.veth), "claimedBy", found[addr])
			}
		}
	}
	l.conflicts = found
	return nil
}
