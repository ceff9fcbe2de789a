package links

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

// Settle says that all that was there has been looked at: an interface that comes from
// now on is one that nobody had before.
func (l *Links) Settle() { l.settled = true }

// Settled reports whether Settle was called.
func (l *Links) Settled() bool { return l.settled }

// Presume says which addresses are presumed to be Pods', by the interface behind which
// they are, from the next Resolve on.
func (l *Links) Presume(addrs map[netip.Addr]int) { l.nextPresumed = addrs }

// Presumed is what Presume said last.
func (l *Links) Presumed() map[netip.Addr]int { return l.nextPresumed }

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
	// MostAddrs is how many addresses of one sandbox are believed. A Pod has one
	// of each family, and may give itself any number.
	MostAddrs = 8
)

// pause is how long to wait after so many looks.
func (n *newcomer) pause() time.Duration {
	if n.looks > usualPeeks {
		return latePeek
	}
	return min(firstPeek<<min(n.looks, 10), usualPeek)
}

// came takes in an interface that was not there before.
func (l *Links) came(index int) {
	if l.settled {
		l.newcomers[index] = &newcomer{}
	}
}

// Recognize takes those out of the newcomers that carry a known Pod, or lead where
// a veth leads that is none of them: it carried a Pod, or nobody knows what it did.
func (l *Links) Recognize() {
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
		if i.LeadsOut() && l.newcomers[index] == nil {
			known[i.NSID] = true
		}
	}
	for index := range l.newcomers {
		if i := l.ifaces[index]; i == nil || i.LeadsOut() && known[i.NSID] {
			delete(l.newcomers, index)
		}
	}
}

// Distrust takes those out of the newcomers that may be the Pod's who is gone: those
// with one of its addresses; if none has one, those of which no address was seen yet,
// too; all if no address is given. Where many Pods come and go at once, most of the
// unseen are still being made, and must not wait for the API because of one that ended.
func (l *Links) Distrust(addrs []netip.Addr) {
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

// YoungVeths are the newcomers that may carry a Pod, by number.
func (l *Links) YoungVeths() []int {
	if len(l.newcomers) == 0 {
		return nil
	}
	bridges := l.podBridges(l.known())
	var out []int
	for index := range l.newcomers {
		i := l.ifaces[index]
		if i == nil || !i.LeadsOut() {
			continue
		}
		if bridge, isPort := bridges[i.Master]; isPort && bridge.pods && !l.isUplink(i) || i.Master == 0 && !l.isOther(i) {
			out = append(out, index)
		}
	}
	slices.Sort(out)
	return out
}

// Peek looks at the far ends of young veths whose turn it is, and says when it is
// somebody's turn again.
func (l *Links) Peek(now time.Time, young []int) (next time.Time, err error) {
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
func (l *Links) meet(n *newcomer, veth *Interface) error {
	end, err := l.peers.ask(veth)
	if err != nil {
		return nil //nolint:nilerr // it is asked again; most likely it is gone
	}
	n.odd = n.odd || end.cut || len(end.addrs) > MostAddrs
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
	n.odd = len(n.addrs) > MostAddrs
	return nil
}

// leadsTo reports whether the node routes an address to a veth, or to its bridge.
func (l *Links) leadsTo(addr netip.Addr, veth *Interface) (bool, error) {
	r, ok, err := pathOf(l.socket, addr)
	if err != nil || ok && !r.unicast {
		return false, err
	}
	if l.noPlace(r, ok) != "" {
		if r, ok, err = l.byOtherTable(addr); err != nil || !ok {
			return false, err
		}
	}
	return r.oif == veth.Index || veth.Master != 0 && r.oif == veth.Master, nil
}

// Stranger is a sandbox of which nothing is known but that it is there.
type Stranger struct {
	// Ifaces are the node's ends of its veths.
	Ifaces []int
	// Addrs are the addresses at the far ends that the node routes there.
	Addrs []netip.Addr
	// Odd: there is what no network plug-in gives to a new Pod.
	Odd bool
}

// StrangersOf are the young veths by the namespace that they lead to.
func (l *Links) StrangersOf(young []int) []Stranger {
	byNamespace := map[int]*Stranger{}
	var out []*Stranger
	for _, index := range young {
		nsid := l.ifaces[index].NSID
		one := byNamespace[nsid]
		if one == nil {
			one = &Stranger{}
			byNamespace[nsid] = one
			out = append(out, one)
		}
		n := l.newcomers[index]
		one.Ifaces = append(one.Ifaces, index)
		one.Odd = one.Odd || n.odd
		for _, a := range n.addrs {
			if !slices.Contains(one.Addrs, a) {
				one.Addrs = append(one.Addrs, a)
			}
		}
	}
	list := make([]Stranger, len(out))
	for i, one := range out {
		slices.SortFunc(one.Addrs, netip.Addr.Compare)
		list[i] = *one
	}
	slices.SortFunc(list, func(a, b Stranger) int { return cmp.Compare(a.Ifaces[0], b.Ifaces[0]) })
	return list
}

// FindBehind looks at the far ends of the first veths for an address that is wanted and
// that the node reaches there. It returns the zero Addr if there is none, and no more of
// a Pod's end is believed than the routes of the node bear out.
func (l *Links) FindBehind(most int, wanted func(netip.Addr) bool) (addr netip.Addr, veth string, err error) {
	var veths []*Interface
	for _, i := range l.ifaces {
		if i.LeadsOut() {
			veths = append(veths, i)
		}
	}
	slices.SortFunc(veths, func(a, b *Interface) int { return a.Index - b.Index })
	for _, veth := range veths[:min(len(veths), most)] {
		end, err := l.peers.ask(veth)
		if err != nil {
			continue // it may be gone by now
		}
		for _, a := range end.addrs {
			if !wanted(a) {
				continue
			}
			r, ok, err := pathOf(l.socket, a)
			if err != nil {
				return netip.Addr{}, "", err
			}
			if ok && r.unicast && !r.gateway && (r.oif == veth.Index || veth.Master != 0 && r.oif == veth.Master) {
				return a, veth.Name, nil
			}
		}
	}
	return netip.Addr{}, "", nil
}

// handOver keeps the places of addresses that were presumed to be a Pod's, for the
// Pod that is found to have them: its end may have been changed since.
func (l *Links) handOver(p *podLinks) {
	for a, b := range p.binds {
		if _, presumed := l.presumed[a]; !presumed || b.veth == 0 || b.veth == b.iface || b.end.mac == "" {
			continue
		}
		if l.inherited == nil {
			l.inherited = map[netip.Addr]HeldTo{}
		}
		l.inherited[a] = HeldTo{Port: b.veth, MAC: b.end.mac, LinkLocal: b.end.linkLocal}
	}
}
