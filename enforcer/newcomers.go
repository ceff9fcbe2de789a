package enforcer

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// newcomer is a veth that came after the agent had looked at all that was there, and
// that has carried no known Pod.
type newcomer struct {
	// next is when its far end is looked at again; zero: it was not yet.
	next  time.Time
	looks int
	// addrs are the addresses that were seen there and that the node routes there.
	addrs []netip.Addr
	// odd: there was more than a new Pod has.
	odd bool
}

// The far end gets its addresses without a word to our namespace, so it is asked: at
// once, after 5 ms, and then at growing intervals. A network plug-in makes the veth
// first and may wait seconds for the addresses; from these until something runs in the
// sandbox it takes some hundred milliseconds. Nothing that the Pod does makes it be
// asked sooner.
const (
	firstPeek  = 5 * time.Millisecond
	usualPeek  = 200 * time.Millisecond
	latePeek   = 2 * time.Second
	usualPeeks = 60
	// peeksAtOnce bounds what one round asks.
	peeksAtOnce = 64
)

// pause is how long to wait after so many looks.
func (n *newcomer) pause() time.Duration {
	if n.looks > usualPeeks {
		return latePeek
	}
	return min(firstPeek<<min(n.looks, 10), usualPeek)
}

// came takes in an interface that was not there before.
func (l *links) came(index int) {
	if l.settled {
		l.newcomers[index] = &newcomer{}
	}
}

// recognize takes those out of the newcomers that carry a known Pod, or lead where
// a veth leads that is none of them: it carried a Pod, or nobody knows what it did.
func (l *links) recognize() {
	if len(l.newcomers) == 0 {
		return
	}
	for _, p := range l.pods {
		for a, b := range p.binds {
			if _, presumed := l.presumed[a]; !presumed {
				delete(l.newcomers, b.veth)
			}
		}
	}
	known := map[int]bool{}
	for index, i := range l.ifaces {
		if i.leadsOut() && l.newcomers[index] == nil {
			known[i.nsid] = true
		}
	}
	for index := range l.newcomers {
		if i := l.ifaces[index]; i == nil || i.leadsOut() && known[i.nsid] {
			delete(l.newcomers, index)
		}
	}
}

// distrust takes those out of the newcomers that may be the Pod's who is gone: those
// with one of its addresses; if none has one, those of which no address was seen yet,
// too; all if no address is given. Where many Pods come and go at once, most of the
// unseen are still being made, and must not wait for the API because of one that ended.
func (l *links) distrust(addrs []netip.Addr) {
	found := false
	for index, n := range l.newcomers {
		if slices.ContainsFunc(n.addrs, func(a netip.Addr) bool { return slices.Contains(addrs, a) }) {
			found = true
			delete(l.newcomers, index)
		}
	}
	for index, n := range l.newcomers {
		if len(addrs) == 0 || !found && len(n.addrs) == 0 {
			delete(l.newcomers, index)
		}
	}
}

// youngVeths are the newcomers that may carry a Pod, by number.
func (l *links) youngVeths() []int {
	if len(l.newcomers) == 0 {
		return nil
	}
	bridges := l.podBridges(l.known())
	var out []int
	for index := range l.newcomers {
		i := l.ifaces[index]
		if i == nil || !i.leadsOut() {
			continue
		}
		if bridge, isPort := bridges[i.master]; isPort && bridge.pods && !l.isUplink(i) || i.master == 0 && !l.isOther(i) {
			out = append(out, index)
		}
	}
	slices.Sort(out)
	return out
}

// peek looks at the far ends of young veths whose turn it is, and says when it is
// somebody's turn again.
func (l *links) peek(now time.Time, young []int) (next time.Time, err error) {
	due := slices.DeleteFunc(slices.Clone(young), func(index int) bool { return l.newcomers[index].next.After(now) })
	slices.SortStableFunc(due, func(a, b int) int { return l.newcomers[a].next.Compare(l.newcomers[b].next) })
	for _, index := range due[:min(len(due), peeksAtOnce)] {
		n := l.newcomers[index]
		n.next = now.Add(n.pause())
		n.looks++
		if err := l.meet(n, l.ifaces[index]); err != nil {
			return time.Time{}, err
		}
	}
	for _, index := range young {
		if at := l.newcomers[index].next; next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next, nil
}

// meet looks at one far end. What was seen there once stays: a Pod that changes it all
// the time would have everything follow.
func (l *links) meet(n *newcomer, veth *iface) error {
	end, err := l.peers.ask(veth)
	if err != nil {
		return nil //nolint:nilerr // it is asked again; most likely it is gone
	}
	n.odd = n.odd || end.cut || len(end.addrs) > mostInferred
	if n.odd {
		n.addrs = nil
		return nil
	}
	for _, a := range end.addrs {
		if !a.IsGlobalUnicast() || slices.Contains(n.addrs, a) {
			continue
		}
		leads, err := l.leadsTo(a, veth)
		if err != nil {
			return err
		}
		if leads {
			n.addrs = append(n.addrs, a)
		}
	}
	n.odd = len(n.addrs) > mostInferred
	return nil
}

// leadsTo reports whether the node routes an address to a veth, or to its bridge.
func (l *links) leadsTo(addr netip.Addr, veth *iface) (bool, error) {
	r, ok, err := pathOf(l.socket, addr)
	if err != nil || ok && !r.unicast {
		return false, err
	}
	if l.noPlace(r, ok) != "" {
		if r, ok, err = l.byOtherTable(addr); err != nil || !ok {
			return false, err
		}
	}
	return r.oif == veth.index || veth.master != 0 && r.oif == veth.master, nil
}

// strangersOf are the young veths by the namespace that they lead to.
func (l *links) strangersOf(young []int) []stranger {
	byNamespace := map[int]*stranger{}
	var out []*stranger
	for _, index := range young {
		nsid := l.ifaces[index].nsid
		one := byNamespace[nsid]
		if one == nil {
			one = &stranger{}
			byNamespace[nsid] = one
			out = append(out, one)
		}
		n := l.newcomers[index]
		one.ifaces = append(one.ifaces, index)
		one.odd = one.odd || n.odd
		for _, a := range n.addrs {
			if !slices.Contains(one.addrs, a) {
				one.addrs = append(one.addrs, a)
			}
		}
	}
	list := make([]stranger, len(out))
	for i, one := range out {
		slices.SortFunc(one.addrs, netip.Addr.Compare)
		list[i] = *one
	}
	slices.SortFunc(list, func(a, b stranger) int { return cmp.Compare(a.ifaces[0], b.ifaces[0]) })
	return list
}

// handOver keeps the places of addresses that were presumed to be a Pod's, for the
// Pod that is found to have them: its end may have been changed since.
func (l *links) handOver(p *podLinks) {
	for a, b := range p.binds {
		if _, presumed := l.presumed[a]; !presumed || b.veth == 0 || b.veth == b.iface || b.end.mac == "" {
			continue
		}
		if l.inherited == nil {
			l.inherited = map[netip.Addr]heldTo{}
		}
		l.inherited[a] = heldTo{port: b.veth, mac: b.end.mac, linkLocal: b.end.linkLocal}
	}
}
