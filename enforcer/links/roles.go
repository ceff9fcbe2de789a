package links

import (
	"net/netip"
	"path"
	"slices"

	"github.com/sluice-net/sluice/compiler"
)

// What an interface is. A veth whose far end is in another network namespace
// carries a Pod until something proves otherwise: that the operator says so, that
// the node routes more through it than single addresses, or that the same Pod is
// known by another interface.

// DefaultUplinks are names that ports of a bridge have which lead out of the node:
// those of network cards. A network plug-in calls no Pod's veth like that, and a Pod
// cannot rename the node's end of its own.
var DefaultUplinks = []string{"eth[0-9]*", "en[opsx]*", "bond[0-9]*", "team[0-9]*"}

// DefaultOtherInterfaces are bridges of programs that are no network plug-in of
// Kubernetes.
var DefaultOtherInterfaces = []string{"docker[0-9]*", "br-????????????", "podman[0-9]*", "virbr[0-9]*", "lxcbr[0-9]*", "lxdbr[0-9]*", "incusbr[0-9]*"}

// Patterns are names of interfaces, as of path.Match, by which the operator says what
// they are. Uplinks are ports of bridges that lead out of the node, Others bridges and
// veths that carry no Pods.
type Patterns struct{ Pods, Uplinks, Others []string }

// patterns are names of interfaces as of path.Match.
type patterns []string

func (p patterns) match(name string) bool { return MatchAny(p, name) }

// MatchAny reports whether a name is of one of some patterns, as of path.Match. One that
// is none matches nothing.
func MatchAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(one string) bool { ok, _ := path.Match(one, name); return ok })
}

// roles are what is known of interfaces besides the Pods' places.
type roles struct {
	pods, uplinks, others patterns
	// nets are veths through which the node routes more than single addresses.
	nets map[int]bool
}

// setRoles fills in what the compiler wants to know of interfaces that are bound to
// no Pod. known are those that are.
func (l *Links) setRoles(out *compiler.Links, known map[int]bool) {
	bridges, sandboxes := l.podBridges(known), l.sandboxes()
	for _, i := range l.ifaces {
		bridge, isPort := bridges[i.Master]
		switch {
		case i.Kind == "bridge":
			switch b := bridges[i.Index]; {
			case b.uplink:
			case b.secondary():
				out.SecondInterfaces = append(out.SecondInterfaces, i.Name)
			case b.pods:
				out.PodInterfaces = append(out.PodInterfaces, i.Name)
			}
		case l.roles.pods.match(i.Name):
			out.PodInterfaces = append(out.PodInterfaces, i.Name)
		case i.Kind != "veth" || known[i.Index]:
		case !isPort:
			if i.Master != 0 || l.isOther(i) || sandboxes[i.NSID] {
				out.OtherInterfaces = append(out.OtherInterfaces, i.Name)
			}
			if i.Master == 0 && i.LeadsOut() && sandboxes[i.NSID] {
				out.SecondInterfaces = append(out.SecondInterfaces, i.Name)
			}
		case !bridge.pods, bridge.secondary() && sandboxes[i.NSID]:
			out.OpenPorts = append(out.OpenPorts, i.Index)
		case l.isUplink(i):
			out.Uplinks = append(out.Uplinks, i.Index)
		}
	}
	slices.Sort(out.PodInterfaces)
	slices.Sort(out.OtherInterfaces)
	slices.Sort(out.SecondInterfaces)
	slices.Sort(out.Uplinks)
	slices.Sort(out.OpenPorts)
}

// sandboxes are the network namespaces of Pods that are known by some interface.
// Another one that leads there is a second interface of the same Pod.
// Of one that is only presumed to be a Pod's nothing else follows.
func (l *Links) sandboxes() map[int]bool {
	out := map[int]bool{}
	for _, p := range l.pods {
		for a, b := range p.binds {
			_, presumed := l.presumed[a]
			if i := l.ifaces[b.veth]; i != nil && i.LeadsOut() && !presumed {
				out[i.NSID] = true
			}
		}
	}
	return out
}

// bridgeRole is what a bridge is: pods, if it has a known one or a port that may be
// one; uplink, if others are behind it, too. What these send cannot be told from a
// Pod's by the bridge's name, but by the guards of the ports.
type bridgeRole struct {
	pods, uplink bool
	// known: it has a known Pod, or the operator says that it has Pods. second: it has a
	// port that leads to a Pod which is known by another interface.
	known, second bool
}

// secondary reports whether a bridge is that of a second network, as far as is known. A
// port that is nobody's may be a new Pod's second interface there, or a first one: it
// stays closed, and must not close the others.
func (b bridgeRole) secondary() bool { return b.second && !b.known }

// podBridges are the roles of all bridges.
func (l *Links) podBridges(known map[int]bool) map[int]bridgeRole {
	out := map[int]bridgeRole{}
	for _, i := range l.ifaces {
		if i.Kind == "bridge" {
			named := l.roles.pods.match(i.Name)
			out[i.Index] = bridgeRole{pods: named, known: named}
		}
	}
	sandboxes := l.sandboxes()
	for _, i := range l.ifaces {
		role, isPort := out[i.Master]
		if !isPort {
			continue
		}
		switch {
		case known[i.Index]:
			role.pods, role.known = true, true
		case l.isUplink(i):
			role.uplink = true
		case sandboxes[i.NSID]:
			role.second = true
		case !l.roles.others.match(l.nameOf(i.Master)):
			role.pods = true
		}
		out[i.Master] = role
	}
	return out
}

// PodWays are the interfaces by which packets of Pods come, or may: all but those that
// are known to carry none.
func (l *Links) PodWays() map[int]bool {
	out := map[int]bool{}
	bridges := l.podBridges(l.known())
	for _, i := range l.ifaces {
		bridge, isPort := bridges[i.Master]
		carries := i.Name != "lo" && i.Kind != "dummy" && i.Kind != "ifb" && !l.roles.others.match(i.Name)
		switch {
		case i.Kind == "bridge":
			carries = bridges[i.Index].pods
		case isPort:
			carries = bridge.pods
		}
		if carries {
			out[i.Index] = true
		}
	}
	return out
}

// isUplink reports whether a port leads out of the node, or to another part of it.
func (l *Links) isUplink(i *Interface) bool { return l.staysHere(i) || l.roles.uplinks.match(i.Name) }

// staysHere reports whether an interface leads to nobody's namespace. Of a veth that must
// be certain, for what does not lead to a Pod is open: its other end must be here, and be
// up. A network plug-in may make both ends here and then give one to a Pod, and a veth that
// comes or goes has no other end for a moment.
func (l *Links) staysHere(i *Interface) bool {
	if i.Kind != "veth" {
		return true
	}
	other := l.ifaces[i.Peer]
	return i.NSID < 0 && other != nil && other.Up
}

// isOther reports whether a veth that is no port is none of a Pod.
func (l *Links) isOther(i *Interface) bool {
	return l.staysHere(i) || l.roles.nets[i.Index] || l.roles.others.match(i.Name) || l.roles.uplinks.match(i.Name)
}

// readNets finds through which veths the node routes more than single addresses: a
// Pod's has none of these. It is asked only where some veth is nobody's.
func (l *Links) readNets() error {
	nets := map[int]bool{}
	err := eachRoute(l.socket, func(r routePath) {
		i := l.ifaces[r.oif]
		if i == nil || i.Kind != "veth" || !r.unicast {
			return
		}
		narrow := r.prefix.IsSingleIP() || r.prefix.Addr().IsLinkLocalUnicast() || r.prefix.Addr().IsMulticast()
		if r.gateway || !narrow {
			nets[r.oif] = true
		}
	})
	if err != nil {
		return err
	}
	l.roles.nets = nets
	return nil
}

// strangers reports whether some veth that is no port is bound to no Pod.
func (l *Links) strangers() bool {
	known := l.known()
	for _, i := range l.ifaces {
		if i.Master == 0 && i.LeadsOut() && !known[i.Index] {
			return true
		}
	}
	return false
}

// known are the veths that are bound to a Pod.
func (l *Links) known() map[int]bool {
	out := map[int]bool{}
	for _, p := range l.pods {
		for _, b := range p.binds {
			if b.veth != 0 {
				out[b.veth] = true
			}
		}
	}
	return out
}

// byOtherTable finds the way to an address in tables that rules choose by where a
// packet comes from: the node's own question is answered by the main one. The
// longest prefix counts, and it must be the only one.
func (l *Links) byOtherTable(addr netip.Addr) (routePath, bool, error) {
	if l.tables == nil {
		all := []routePath{}
		if err := eachRoute(l.socket, func(r routePath) { all = append(all, r) }); err != nil {
			return routePath{}, false, err
		}
		l.tables = all
	}
	var best routePath
	several := false
	for _, r := range l.tables {
		i := l.ifaces[r.oif]
		if i == nil || !r.unicast || r.gateway || !r.prefix.Contains(addr) || r.prefix.Bits() == 0 || !i.LeadsOut() && i.Kind != "bridge" {
			continue
		}
		switch {
		case best.oif == 0 || r.prefix.Bits() > best.prefix.Bits():
			best, several = r, false
		case r.prefix.Bits() == best.prefix.Bits() && r.oif != best.oif:
			several = true
		}
	}
	return best, best.oif != 0 && !several, nil
}
