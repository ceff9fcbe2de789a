// Package links finds where the Pods of a node are, as far as the node's kernel knows:
// routes, veths and what is at their far ends, ports of bridges, neighbours and tunnels. A
// [Watch] hears what changes of these; [Links] says through which interface each address
// is reached.
package links

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
	"github.com/sluice-net/sluice/policy"
)

// Links knows through which interface each local Pod is reached. It belongs to
// the sync loop; a [Watch] tells it what changed.
//
// A Pod may be hostile inside its own namespace: it may give itself a
// neighbour's address. So a bridged address, once bound to a veth, stays there
// as long as that veth exists, and a veth carries one Pod only.
type Links struct {
	socket *nlsocket.Socket
	peers  peers
	roles  roles

	ifaces map[int]*Interface
	// newcomers are veths that came after settled was set, as long as they carry no
	// known Pod.
	newcomers map[int]*newcomer
	settled   bool
	// presumed are addresses that are not known to be a Pod's, by the interface behind
	// which they are, and nextPresumed those from the next Resolve on.
	presumed, nextPresumed map[netip.Addr]int
	pods                   map[types.NamespacedName]*podLinks
	// byAddr finds what a route or a neighbour touches.
	byAddr map[netip.Addr]types.NamespacedName
	// owner is the Pod that each veth carries.
	owner map[int]types.NamespacedName
	// ends are the far ends of veths, by index.
	ends map[int]podEnd
	// inherited is what an earlier agent's guards hold each address to: ports know
	// their Pods for as long as they exist.
	inherited map[netip.Addr]HeldTo
	// inside are other interfaces of Pods than veths, by the number of their namespace.
	inside map[int][]string
	// tables are the routes of all tables, read once a round if anybody asks.
	tables []routePath
	// conflicts are addresses that a second veth claims, or whose hardware address
	// it has.
	conflicts map[netip.Addr]string
}

// HeldTo is the port that an address was held to, and how its Pod was called there.
type HeldTo struct {
	Port      int
	MAC       string
	LinkLocal []netip.Addr
}

// New asks the kernel by a strict socket of NETLINK_ROUTE, and far ends by one of its own.
func New(socket *nlsocket.Socket, ns netns.Namespace, p Patterns) *Links {
	return &Links{
		socket: socket, peers: peers{ns: ns}, roles: roles{pods: p.Pods, uplinks: p.Uplinks, others: p.Others},
		ifaces: map[int]*Interface{}, pods: map[types.NamespacedName]*podLinks{},
		byAddr: map[netip.Addr]types.NamespacedName{}, owner: map[int]types.NamespacedName{},
		ends: map[int]podEnd{}, conflicts: map[netip.Addr]string{}, newcomers: map[int]*newcomer{},
		inside: map[int][]string{},
	}
}

// Close closes the sockets.
func (l *Links) Close() {
	l.socket.Close()
	l.peers.close()
}

// Inherit takes up what an earlier agent's guards hold each address to, before the first
// Resolve.
func (l *Links) Inherit(held map[netip.Addr]HeldTo) { l.inherited = held }

// Interfaces are all that the namespace has, by index.
func (l *Links) Interfaces() map[int]*Interface { return l.ifaces }

// SetPod says that a Pod is local, with its addresses, and returns whether that is new.
// It is looked for by the next Resolve.
func (l *Links) SetPod(s *policy.Subject) (moved bool) {
	old := l.pods[s.Pod]
	if old != nil && old.uid == s.UID && slices.Equal(old.addrs, s.Addrs) {
		return false
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
	return true
}

// Found reports whether the place of each of a Pod's addresses is known.
func (l *Links) Found(pod types.NamespacedName) bool {
	p := l.pods[pod]
	return p != nil && p.complete()
}

// DeletePod forgets a Pod.
func (l *Links) DeletePod(name types.NamespacedName) {
	p := l.pods[name]
	if p == nil {
		return
	}
	l.handOver(p)
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

func (l *Links) own(veth int, name types.NamespacedName) {
	if veth != 0 {
		l.owner[veth] = name
	}
}

// Update takes in what changed in the kernel.
func (l *Links) Update(t Touched) error {
	l.tables = nil
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
		for index := range all {
			if l.ifaces[index] == nil {
				l.came(index)
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
		if l.ifaces[index] == nil {
			l.came(index)
		}
		l.ifaces[index] = i
		delete(l.ends, index)
	}
	if t.all || t.routes {
		for _, n := range l.newcomers {
			n.next = time.Time{} // the node may lead to what it has by now
		}
	}
	l.dropStale(t)
	if (t.all || t.routes || len(t.ifaces) > 0) && l.strangers() {
		return l.readNets()
	}
	return nil
}

// lose forgets the bindings to an interface that is gone.
func (l *Links) lose(index int) {
	delete(l.ends, index)
	delete(l.owner, index)
	delete(l.newcomers, index)
	for _, p := range l.pods {
		for a, b := range p.binds {
			if b.iface == index || b.veth == index {
				delete(p.binds, a)
				p.ended = len(p.binds) == 0 && b.veth == index
			}
		}
	}
}

// dropStale gives up bindings that the routing or the bridge no longer bears
// out. Only the node itself can change these, never a Pod.
func (l *Links) dropStale(t Touched) {
	for _, p := range l.pods {
		for a, b := range p.binds {
			if !l.leftBridge(b) {
				if !t.touches(a) {
					continue
				}
				if r, ok, err := l.wayOf(a, b); err != nil || ok && r.oif == b.iface {
					continue
				}
			}
			delete(p.binds, a)
			delete(l.owner, b.veth)
		}
	}
}

// wayOf is the way to a bound address, by the tables that it was found by.
func (l *Links) wayOf(a netip.Addr, b binding) (routePath, bool, error) {
	if b.detour {
		return l.byOtherTable(a)
	}
	return pathOf(l.socket, a)
}

// leftBridge reports whether a bridged binding's veth is no port any more.
func (l *Links) leftBridge(b binding) bool {
	if b.veth == 0 || b.veth == b.iface {
		return false
	}
	veth := l.ifaces[b.veth]
	return veth == nil || veth.Master != b.iface
}

// Resolve looks for the Pods that are not bound yet. Of the others nothing is
// asked unless recheck is set, which looks for conflicts.
func (l *Links) Resolve(ctx context.Context, recheck bool) error {
	l.presumed, l.tables = l.nextPresumed, nil
	was := l.conflicts
	if recheck {
		l.conflicts = map[netip.Addr]string{}
	}
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
	// What was not taken up now is nobody's any more.
	l.inherited = nil
	l.Recognize()
	if recheck {
		return l.findConflicts(ctx, ports, was)
	}
	return nil
}

func (l *Links) sortedPods() []types.NamespacedName {
	out := make([]types.NamespacedName, 0, len(l.pods))
	for name, p := range l.pods {
		if !p.complete() {
			out = append(out, name)
		}
	}
	slices.SortFunc(out, policy.CompareNames)
	return out
}

// resolvePod binds what it can of a Pod's addresses, and says whether it might
// do better after others were bound.
func (l *Links) resolvePod(ctx context.Context, name types.NamespacedName, p *podLinks, ports *portClaims) (bool, error) {
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

func (l *Links) bind(ctx context.Context, name types.NamespacedName, p *podLinks, addr netip.Addr, b binding, why string) {
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
	p.ended = p.ended && b.veth == 0
	l.own(b.veth, name)
}

// complement asks again for what a binding lacks: a Pod may get its link-local
// address a moment after the rest. What is known is never replaced.
func (l *Links) complement(p *podLinks, addr netip.Addr, b binding) {
	if b.end.mac != "" && (!addr.Is6() || len(b.end.linkLocal) > 0) {
		return
	}
	veth := l.ifaces[b.veth]
	if veth == nil || !veth.LeadsOut() {
		return
	}
	end, err := l.peers.ask(veth)
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
