package policy

import (
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// contest is an address that several live Pods' objects claim. After a node's
// restart the API shows such pairs, and nobody can tell from the objects who
// has the sandbox: so the policies of each count, and the address is only what
// it is whoever has it.
type contest struct {
	// claimants are two at least, the newest first. The first is the owner.
	claimants []*entry
}

// claims are the Pods that claim an address, the newest first.
type claims struct {
	first *entry
	rest  []*entry
}

func (c claims) none() bool   { return c.first == nil }
func (c claims) shared() bool { return len(c.rest) > 0 }

// all yields each of them.
func (c claims) all(yield func(*entry) bool) {
	if c.first == nil || !yield(c.first) {
		return
	}
	for _, e := range c.rest {
		if !yield(e) {
			return
		}
	}
}

// ports are the named ports that each of them has.
func (c claims) ports() []NamedPort {
	if c.first == nil {
		return nil
	}
	out := c.first.pod.Ports
	for _, e := range c.rest {
		if slices.Equal(out, e.pod.Ports) {
			continue
		}
		var common []NamedPort
		for _, p := range out {
			if slices.Contains(e.pod.Ports, p) {
				common = append(common, p)
			}
		}
		out = common
	}
	return out
}

// claims are those of an address in canonical form.
func (x *Index) claims(a netip.Addr) claims {
	if len(x.contests) > 0 {
		if c := x.contests[a]; c != nil {
			return claims{c.claimants[0], c.claimants[1:]}
		}
	}
	return claims{first: x.owners.of(a)}
}

// claim makes e one of those that claim the address.
func (x *Index) claim(a netip.Addr, e *entry) {
	owner := x.owners.of(a)
	if owner == nil {
		x.own(a, e)
		return
	}
	// It can only leave groups that it is in with all that claim it so far.
	x.touchAll(a, owner)
	c := x.contests[a]
	if c == nil {
		c = &contest{claimants: []*entry{owner}}
		x.contests[a] = c
		owner.class.ns.contend(owner)
	}
	at, _ := slices.BinarySearchFunc(c.claimants, e, newest)
	c.claimants = slices.Insert(c.claimants, at, e)
	e.class.ns.contend(e)
	x.contested(a, c)
}

// release takes e out of those that claim the address.
func (x *Index) release(a netip.Addr, e *entry) {
	c := x.contests[a]
	if c == nil {
		x.disown(a, e)
		return
	}
	at := slices.Index(c.claimants, e)
	if at < 0 {
		return
	}
	// It can only come into groups that all that stay are in.
	stays := c.claimants[0]
	if at == 0 {
		stays = c.claimants[1]
	}
	x.touchAll(a, stays)
	c.claimants = slices.Delete(c.claimants, at, at+1)
	x.soil(e)
	x.contested(a, c)
	if len(c.claimants) == 1 {
		delete(x.contests, a)
		x.settle(stays)
	}
	x.settle(e)
}

func newest(a, b *entry) int {
	switch {
	case a.pod.newer(b.pod):
		return -1
	case b.pod.newer(a.pod):
		return 1
	}
	return 0
}

// touchAll notes what the address is to all groups that e is in.
func (x *Index) touchAll(a netip.Addr, e *entry) {
	touch := func(g *group) { x.touch(g, a, x.membership(g, a)) }
	x.blocks.around(a, touch)
	for _, g := range e.class.groups {
		touch(g)
	}
}

// contested follows a change of who claims the address.
func (x *Index) contested(a netip.Addr, c *contest) {
	x.owners.set(a, c.claimants[0])
	for _, e := range c.claimants {
		x.soil(e)
	}
	x.conflicts++
}

// soilRivals has all Pods resolved that share an address with e.
func (x *Index) soilRivals(e *entry) {
	if len(x.contests) == 0 {
		return
	}
	for _, a := range e.pod.Addrs {
		if c := x.contests[a]; c != nil && slices.Contains(c.claimants, e) {
			for _, o := range c.claimants {
				x.soil(o)
			}
			x.conflicts++
		}
	}
}

// contend keeps e as one whose policies matter to other Pods.
func (ns *namespace) contend(e *entry) {
	if ns.contenders == nil {
		ns.contenders = map[*entry]struct{}{}
	}
	ns.contenders[e] = struct{}{}
}

// settle is the reverse of contend, if e shares no address any more.
func (x *Index) settle(e *entry) {
	for _, a := range e.pod.Addrs {
		if c := x.contests[a]; c != nil && slices.Contains(c.claimants, e) {
			return
		}
	}
	delete(e.class.ns.contenders, e)
}

// speaker is the Pod under which the address is enforced here: the newest local
// one that claims it, nil if none does.
func (x *Index) speaker(c claims) *entry {
	for e := range c.all {
		if x.local(e.pod) {
			return e
		}
	}
	return nil
}

// Claim is a Pod that claims an address.
type Claim struct {
	Pod types.NamespacedName
	// Node is empty where the Pod is on none yet.
	Node string
}

// Conflict is an address that several live Pods' objects claim.
type Conflict struct {
	Addr netip.Addr
	// Claims are sorted by Pod.
	Claims []Claim
}

// Claims are the Pods that claim an address, sorted by Pod: more than one if
// they share it.
func (x *Index) Claims(a netip.Addr) []Claim {
	var out []Claim
	for e := range x.claims(plainAddr(a)).all {
		out = append(out, Claim{Pod: e.pod.NamespacedName, Node: e.pod.Node})
	}
	slices.SortFunc(out, func(a, b Claim) int { return compareNames(a.Pod, b.Pod) })
	return out
}

// Conflicts are the addresses that local Pods share with other Pods, sorted.
// There are none in most clusters; ask [Index.ConflictsVersion] first.
func (x *Index) Conflicts() []Conflict {
	var out []Conflict
	for a, c := range x.contests {
		if x.speaker(claims{c.claimants[0], c.claimants[1:]}) != nil {
			out = append(out, Conflict{Addr: a, Claims: x.Claims(a)})
		}
	}
	slices.SortFunc(out, func(a, b Conflict) int { return a.Addr.Compare(b.Addr) })
	return out
}

// ConflictsVersion is another number when Conflicts may have changed.
func (x *Index) ConflictsVersion() uint64 { return x.conflicts }
