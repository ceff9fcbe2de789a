package links

import (
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// locate finds the place of an address, or says why it cannot. A bridge may be
// known without the port.
func (l *Links) locate(name types.NamespacedName, addr netip.Addr, ports *portClaims) (binding, string, error) {
	r, ok, err := pathOf(l.socket, addr)
	if err != nil {
		return binding{}, "", err
	}
	why := l.noPlace(r, ok)
	if ok && !r.unicast {
		return binding{}, why, nil // the node's own, whatever other tables say
	}
	detour := why != ""
	if detour {
		other, found, err := l.byOtherTable(addr)
		if err != nil {
			return binding{}, "", err
		}
		if !found {
			return binding{}, why, nil
		}
		r = other
	}
	i := l.ifaces[r.oif]
	if i.LeadsOut() {
		b, why, err := l.locateRouted(addr, r, i)
		b.detour = detour && b.iface != 0
		return b, why, err
	}
	return l.locateBridged(name, addr, i, ports)
}

// noPlace says why a route leads to no place of a Pod, empty if it does.
func (l *Links) noPlace(r routePath, found bool) string {
	i := l.ifaces[r.oif]
	switch {
	case !found:
		return "there is no route to it"
	case !r.unicast:
		return "the node routes it to itself or nowhere"
	case i == nil:
		return "its route leads out of an interface that is gone"
	case r.gateway:
		return fmt.Sprintf("its route %s leads through a gateway on %s", r.prefix, i.Name)
	case i.LeadsOut(), i.Kind == "bridge":
		return ""
	}
	return fmt.Sprintf("its route leads out of %s, which is neither a Pod's veth nor a bridge (kind %q): Pods without a veth cannot be enforced", i.Name, i.Kind)
}

func (l *Links) locateRouted(addr netip.Addr, r routePath, veth *Interface) (binding, string, error) {
	end, err := l.peers.ask(veth)
	claims := err == nil && slices.Contains(end.addrs, addr)
	if !claims && !r.prefix.IsSingleIP() {
		return binding{}, fmt.Sprintf("it is routed to %s, whose far end does not have it", veth.Name), nil
	}
	if err != nil {
		end.mac = l.neighbourMAC(addr, veth.Index)
	}
	return binding{iface: veth.Index, veth: veth.Index, end: end}, "", nil
}
