package links

import (
	"cmp"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/compiler"
)

// podLinks are the bindings of one Pod.
type podLinks struct {
	uid   types.UID
	addrs []netip.Addr
	binds map[netip.Addr]binding
	// why says for each address that is not bound what is in the way.
	why map[netip.Addr]string
	// ended: its interface is gone from the node, and no other was found since. That
	// is how sandboxes end, mostly before the API says so.
	ended bool
}

// binding is a place in terms of interface indexes: names may change.
type binding struct {
	iface int
	// veth is 0 where it is not known.
	veth int
	end  podEnd
	// detour: the node's own routing knows no way to the address, only that of a table
	// which rules choose by where a packet comes from.
	detour bool
}

// keep takes over the bindings of addresses that the Pod still has.
func (p *podLinks) keep(old *podLinks) {
	for _, a := range p.addrs {
		if b, ok := old.binds[a]; ok {
			p.binds[a] = b
		}
	}
}

// complete: there is nothing more to learn about the Pod.
func (p *podLinks) complete() bool {
	for _, a := range p.addrs {
		b, ok := p.binds[a]
		if !ok || b.veth == 0 || b.end.mac == "" || a.Is6() && len(b.end.linkLocal) == 0 {
			return false
		}
	}
	return true
}

// Result is what the compiler wants to know.
func (l *Links) Result() compiler.Links {
	out := compiler.Links{Binds: map[netip.Addr]compiler.Bind{}}
	for name, p := range l.pods {
		for a, b := range p.binds {
			if l.byAddr[a] != name || l.nameOf(b.iface) == "" {
				continue
			}
			bind := compiler.Bind{Interface: l.nameOf(b.iface), Veth: l.nameOf(b.veth), MAC: b.end.mac, LinkLocal: b.end.linkLocal}
			if bind.Veth != "" && b.veth != b.iface {
				bind.Port = b.veth
			}
			out.Binds[a] = bind
			out.Detours = out.Detours || b.detour
		}
	}
	l.setRoles(&out, l.known())
	return out
}

// BindsAny reports whether some Pod of this node was found.
func (l *Links) BindsAny() bool {
	for _, p := range l.pods {
		if len(p.binds) > 0 {
			return true
		}
	}
	return false
}

// Waiting reports whether a look at the kernel might bring something new.
func (l *Links) Waiting() bool {
	for _, p := range l.pods {
		if !p.complete() {
			return true
		}
	}
	return false
}

// Bridge is a bridge that carries Pods, or may.
type Bridge struct {
	*Interface
	// Strangers: it has a port that is no Pod's, by which frames with tags may come. Pods'
	// own ports pass none, in either direction.
	Strangers bool
}

// HidesTagged reports whether the bridge takes tags off: what comes tagged by one port goes
// on untagged by another, and the other way round. A bridge that knows of no VLANs leaves
// a tag where it is, and the guard of a Pod's port drops the frame.
func (b Bridge) HidesTagged() bool { return b.FiltersVLANs && b.Strangers }

// Bridges are the bridges that carry Pods, or may.
func (l *Links) Bridges() []Bridge {
	var out []Bridge
	for index, role := range l.podBridges(l.known()) {
		if role.pods {
			out = append(out, Bridge{l.ifaces[index], role.uplink})
		}
	}
	slices.SortFunc(out, func(a, b Bridge) int { return cmp.Compare(a.Index, b.Index) })
	return out
}

// Carries reports whether an interface is known for any of a Pod's addresses.
func (l *Links) Carries(name types.NamespacedName, addrs []netip.Addr) bool {
	return slices.ContainsFunc(addrs, func(a netip.Addr) bool { return l.CarriesAll(name, []netip.Addr{a}) })
}

// CarriesAll reports whether one is known for each of them.
func (l *Links) CarriesAll(name types.NamespacedName, addrs []netip.Addr) bool {
	p := l.pods[name]
	return p != nil && !slices.ContainsFunc(addrs, func(a netip.Addr) bool {
		// A place that is only presumed to be this Pod's says nothing of it, also in the
		// round in which its object has the address for the first time.
		_, presumed := l.presumed[a]
		return presumed || p.binds[a].veth == 0
	})
}
