package enforcer

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/policy"
)

// links knows through which interface each local Pod is reached. It belongs to
// the sync loop; [linkWatch] tells it what changed.
//
// A Pod may be hostile inside its own namespace: it may give itself a
// neighbour's address. So a bridged address, once bound to a veth, stays there
// as long as that veth exists, and a veth carries one Pod only.
type links struct {
	socket   *nlSocket
	patterns []string

	ifaces map[int]*iface
	pods   map[types.NamespacedName]*podLinks
	// byAddr finds what a route or a neighbour touches.
	byAddr map[netip.Addr]types.NamespacedName
	// owner is the Pod that each port of a bridge carries.
	owner map[int]types.NamespacedName
	// ends are the far ends of veths, by index.
	ends     map[int]podEnd
	podCIDRs []netip.Prefix
	// routed are interfaces with a host route into podCIDRs.
	routed map[int]bool
	// conflicts are addresses that a second veth claims.
	conflicts map[netip.Addr]string
}

func newLinks(socket *nlSocket, patterns []string) *links {
	return &links{
		socket: socket, patterns: patterns,
		ifaces: map[int]*iface{}, pods: map[types.NamespacedName]*podLinks{},
		byAddr: map[netip.Addr]types.NamespacedName{}, owner: map[int]types.NamespacedName{},
		ends: map[int]podEnd{}, routed: map[int]bool{}, conflicts: map[netip.Addr]string{},
	}
}

// SetPod says that a Pod is local, with its addresses. It is looked for by the
// next Resolve.
func (l *links) SetPod(s *policy.Subject) {
	old := l.pods[s.Pod]
	if old != nil && old.uid == s.UID && slices.Equal(old.addrs, s.Addrs) {
		return
	}
	p := &podLinks{uid: s.UID, addrs: s.Addrs, binds: map[netip.Addr]binding{}, why: map[netip.Addr]string{}}
	if old != nil {
		if old.uid == s.UID {
			p.keep(old)
		}
		l.DeletePod(s.Pod)
	}
	l.pods[s.Pod] = p
	for _, a := range s.Addrs {
		l.byAddr[a] = s.Pod
	}
	for _, b := range p.binds {
		l.own(b.veth, s.Pod)
	}
}

// DeletePod forgets a Pod.
func (l *links) DeletePod(name types.NamespacedName) {
	p := l.pods[name]
	if p == nil {
		return
	}
	for _, a := range p.addrs {
		if l.byAddr[a] == name {
			delete(l.byAddr, a)
			delete(l.conflicts, a)
		}
	}
	for _, b := range p.binds {
		if l.owner[b.veth] == name {
			delete(l.owner, b.veth)
		}
	}
	delete(l.pods, name)
}

func (l *links) own(veth int, name types.NamespacedName) {
	if veth != 0 {
		l.owner[veth] = name
	}
}

// Update takes in what changed in the kernel.
func (l *links) Update(t touched) error {
	if t.all || len(l.ifaces) == 0 {
		all, err := listIfaces(l.socket)
		if err != nil {
			return err
		}
		for index := range l.ifaces {
			if all[index] == nil {
				l.lose(index)
			}
		}
		l.ifaces = all
		clear(l.ends)
	}
	for index, i := range t.ifaces {
		if i == nil {
			delete(l.ifaces, index)
			l.lose(index)
			continue
		}
		l.ifaces[index] = i
		delete(l.ends, index)
	}
	l.dropStale(t)
	if (t.all || t.routes || len(t.ifaces) > 0) && len(l.podCIDRs) > 0 {
		return l.findRouted()
	}
	return nil
}

// lose forgets the bindings to an interface that is gone.
func (l *links) lose(index int) {
	delete(l.ends, index)
	delete(l.owner, index)
	for _, p := range l.pods {
		for a, b := range p.binds {
			if b.iface == index || b.veth == index {
				delete(p.binds, a)
			}
		}
	}
}

// dropStale gives up bindings that the routing or the bridge no longer bears
// out. Only the node itself can change these, never a Pod.
func (l *links) dropStale(t touched) {
	for _, p := range l.pods {
		for a, b := range p.binds {
			if !l.leftBridge(b) {
				if !t.touches(a) {
					continue
				}
				if r, ok, err := pathOf(l.socket, a); err != nil || ok && r.oif == b.iface {
					continue
				}
			}
			delete(p.binds, a)
			delete(l.owner, b.veth)
		}
	}
}

// leftBridge reports whether a bridged binding's veth is no port any more.
func (l *links) leftBridge(b binding) bool {
	if b.veth == 0 || b.veth == b.iface {
		return false
	}
	veth := l.ifaces[b.veth]
	return veth == nil || veth.master != b.iface
}

// SetPodCIDRs says from which ranges the node's Pods have their addresses.
func (l *links) SetPodCIDRs(prefixes []netip.Prefix) error {
	l.podCIDRs = prefixes
	return l.findRouted()
}

func (l *links) findRouted() error {
	routed := map[int]bool{}
	err := hostRoutes(l.socket, func(addr netip.Addr, oif int) {
		i := l.ifaces[oif]
		if i == nil || !i.leadsOut() {
			return
		}
		if slices.ContainsFunc(l.podCIDRs, func(p netip.Prefix) bool { return p.Contains(addr) }) {
			routed[oif] = true
		}
	})
	if err != nil {
		return err
	}
	l.routed = routed
	return nil
}

// Resolve looks for the Pods that are not bound yet. Of the others nothing is
// asked unless recheck is set, which looks for conflicts.
func (l *links) Resolve(ctx context.Context, recheck bool) error {
	ports := &portClaims{links: l, fresh: recheck}
	var late []*podLinks
	names := map[*podLinks]types.NamespacedName{}
	for _, name := range l.sortedPods() {
		p := l.pods[name]
		names[p] = name
		again, err := l.resolvePod(ctx, name, p, ports)
		if err != nil {
			return err
		}
		if again {
			late = append(late, p)
		}
	}
	// Claims that were disputed may be decided by what was bound since.
	for _, p := range late {
		if _, err := l.resolvePod(ctx, names[p], p, ports); err != nil {
			return err
		}
	}
	if recheck {
		return l.findConflicts(ctx, ports)
	}
	return nil
}

func (l *links) sortedPods() []types.NamespacedName {
	out := make([]types.NamespacedName, 0, len(l.pods))
	for name, p := range l.pods {
		if !p.complete() {
			out = append(out, name)
		}
	}
	slices.SortFunc(out, func(a, b types.NamespacedName) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// resolvePod binds what it can of a Pod's addresses, and says whether it might
// do better after others were bound.
func (l *links) resolvePod(ctx context.Context, name types.NamespacedName, p *podLinks, ports *portClaims) (bool, error) {
	again := false
	for _, addr := range p.addrs {
		old, bound := p.binds[addr]
		if bound && old.veth != 0 {
			l.complement(p, addr, old)
			continue
		}
		b, why, err := l.locate(name, addr, ports)
		if err != nil {
			return false, err
		}
		if why != "" {
			again = true
		}
		if why != p.why[addr] && why != "" {
			klog.FromContext(ctx).V(4).Info("Pod's interface not found", "pod", name, "address", addr, "reason", why)
		}
		l.bind(ctx, name, p, addr, b, why)
	}
	return again, nil
}

func (l *links) bind(ctx context.Context, name types.NamespacedName, p *podLinks, addr netip.Addr, b binding, why string) {
	delete(p.why, addr)
	if why != "" {
		p.why[addr] = why
	}
	if b.iface == 0 {
		delete(p.binds, addr)
		return
	}
	if old, ok := p.binds[addr]; !ok || old.veth != b.veth {
		klog.FromContext(ctx).V(4).Info("Pod's interface found", "pod", name, "address", addr,
			"interface", l.nameOf(b.iface), "veth", l.nameOf(b.veth), "mac", b.end.mac)
	}
	p.binds[addr] = b
	l.own(b.veth, name)
}

// complement asks again for what a binding lacks: a Pod may get its link-local
// address a moment after the rest. What is known is never replaced.
func (l *links) complement(p *podLinks, addr netip.Addr, b binding) {
	if b.end.mac != "" && (!addr.Is6() || len(b.end.linkLocal) > 0) {
		return
	}
	veth := l.ifaces[b.veth]
	if veth == nil || !veth.leadsOut() {
		return
	}
	end, err := askPeer(l.socket, veth)
	if err != nil {
		return
	}
	if b.end.mac == "" {
		b.end.mac = end.mac
	}
	if len(b.end.linkLocal) == 0 && end.mac == b.end.mac {
		b.end.linkLocal = end.linkLocal
	}
	p.binds[addr] = b
}

// locate finds the place of an address, or says why it cannot. A bridge may be
// known without the port.
func (l *links) locate(name types.NamespacedName, addr netip.Addr, ports *portClaims) (binding, string, error) {
	r, ok, err := pathOf(l.socket, addr)
	if err != nil {
		return binding{}, "", err
	}
	i := l.ifaces[r.oif]
	switch {
	case !ok:
		return binding{}, "there is no route to it", nil
	case !r.unicast:
		return binding{}, "the node routes it to itself or nowhere", nil
	case i == nil:
		return binding{}, "its route leads out of an interface that is gone", nil
	case r.gateway:
		return binding{}, fmt.Sprintf("its route %s leads through a gateway on %s", r.prefix, i.name), nil
	case i.leadsOut():
		return l.locateRouted(addr, r, i)
	case i.kind == "bridge":
		return l.locateBridged(name, addr, i, ports)
	}
	return binding{}, fmt.Sprintf("its route leads out of %s, which is neither a Pod's veth nor a bridge (kind %q): Pods without a veth cannot be enforced", i.name, i.kind), nil
}

func (l *links) locateRouted(addr netip.Addr, r routePath, veth *iface) (binding, string, error) {
	end, err := askPeer(l.socket, veth)
	claims := err == nil && slices.Contains(end.addrs, addr)
	if !claims && !r.prefix.IsSingleIP() {
		return binding{}, fmt.Sprintf("it is routed to %s, whose far end does not have it", veth.name), nil
	}
	if err != nil {
		end.mac = l.neighbourMAC(addr, veth.index)
	}
	return binding{iface: veth.index, veth: veth.index, end: end}, "", nil
}

func (l *links) neighbourMAC(addr netip.Addr, index int) string {
	family := uint8(unix.AF_INET)
	if addr.Is6() {
		family = unix.AF_INET6
	}
	known, err := neighbours(l.socket, family)
	if err != nil {
		return ""
	}
	for _, n := range known {
		if n.iface == index && n.addr == addr {
			return n.mac
		}
	}
	return ""
}

func (l *links) nameOf(index int) string {
	if i := l.ifaces[index]; i != nil {
		return i.name
	}
	return ""
}
