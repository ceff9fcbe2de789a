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
	// kinds are what they are to policies: hundreds of Pods of one Deployment
	// cost as much as one.
	kinds []kind
	// ports are the named ports that all kinds have, once these were compared.
	ports    []NamedPort
	compared bool
}

// claims are the Pods that claim an address.
type claims struct {
	// first is the newest, nil if there is none.
	first *entry
	// contest is nil if there are no others.
	contest *contest
}

func (c claims) none() bool   { return c.first == nil }
func (c claims) shared() bool { return c.contest != nil }

// all yields each of them, the newest first.
func (c claims) all(yield func(*entry) bool) {
	switch {
	case c.contest != nil:
		for _, e := range c.contest.claimants {
			if !yield(e) {
				return
			}
		}
	case c.first != nil:
		yield(c.first)
	}
}

// claims are those of an address in canonical form.
func (x *Index) claims(a netip.Addr) claims {
	if len(x.contests) > 0 {
		if c := x.contests[a]; c != nil {
			return claims{c.claimants[0], c}
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
	c := x.contests[a]
	if c == nil {
		c = &contest{claimants: []*entry{owner}, kinds: []kind{owner.kind()}}
		owner.class.ns.contend(owner)
	}
	if c.find(e) < 0 {
		// It can only leave groups that it is in with all that claim it so far.
		x.touchAll(a, owner)
	}
	before := x.speaker(claims{owner, c})
	c.add(e)
	x.contests[a] = c
	e.class.ns.contend(e)
	x.contested(a, c, before, e)
}

// release takes e out of those that claim the address.
func (x *Index) release(a netip.Addr, e *entry) {
	c := x.contests[a]
	if c == nil {
		x.disown(a, e)
		return
	}
	if at := c.find(e); c.kinds[at].pods == 1 {
		stays := c.claimants[0]
		if stays == e {
			stays = c.claimants[1]
		}
		// It can only come into groups that all that stay are in.
		x.touchAll(a, stays)
	}
	before := x.speaker(claims{c.claimants[0], c})
	c.remove(e)
	e.class.ns.settle(e)
	x.contested(a, c, before, e)
	if len(c.claimants) == 1 {
		delete(x.contests, a)
		c.claimants[0].class.ns.settle(c.claimants[0])
	}
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
	touch := func(g *group) {
		if g.unnoted(a) {
			x.touch(g, a, x.membership(g, a))
		}
	}
	x.blocks.around(a, touch)
	for _, g := range e.class.groups {
		touch(g)
	}
}

// contested follows a change of who claims the address: e does, or does no more.
// Whose name it bears is resolved anew, and whose it bore before.
func (x *Index) contested(a netip.Addr, c *contest, before, e *entry) {
	x.owners.set(a, c.claimants[0])
	for _, e := range []*entry{before, x.speaker(claims{c.claimants[0], c}), e} {
		if e != nil {
			x.soil(e)
		}
	}
	x.conflicts++
}

// soilRivals has the Pods resolved whose names the addresses bear that e shares.
func (x *Index) soilRivals(e *entry) {
	if len(x.contests) == 0 || !e.pod.claims() {
		return
	}
	for _, a := range e.pod.Addrs {
		if c := x.contests[a]; c != nil {
			if s := x.speaker(claims{c.claimants[0], c}); s != nil {
				x.soil(s)
			}
			x.conflicts++
		}
	}
}

// contend keeps e as one whose policies matter to other Pods, once for each
// address.
func (ns *namespace) contend(e *entry) {
	if ns.contenders == nil {
		ns.contenders = map[*entry]int{}
	}
	ns.contenders[e]++
}

// settle is the reverse of contend.
func (ns *namespace) settle(e *entry) {
	if ns.contenders[e]--; ns.contenders[e] == 0 {
		delete(ns.contenders, e)
	}
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
	// Claims are sorted by Pod. They are not to be changed.
	Claims []Claim
}

// Claims are the Pods that claim an address, sorted by Pod: more than one if
// they share it.
func (x *Index) Claims(a netip.Addr) []Claim {
	var out []Claim
	for e := range x.claims(plainAddr(a)).all {
		out = append(out, Claim{Pod: e.pod.NamespacedName, Node: e.pod.Node})
	}
	slices.SortFunc(out, func(a, b Claim) int { return CompareNames(a.Pod, b.Pod) })
	return out
}

// Conflicts are the addresses that local Pods share with other Pods, sorted.
// There are none in most clusters; ask [Index.ConflictsVersion] first.
func (x *Index) Conflicts() []Conflict {
	var out []Conflict
	for a, c := range x.contests {
		if x.speaker(claims{c.claimants[0], c}) != nil {
			out = append(out, Conflict{Addr: a})
		}
	}
	slices.SortFunc(out, func(a, b Conflict) int { return a.Addr.Compare(b.Addr) })
	var last *contest
	for i := range out {
		// Pods that share many addresses are listed once.
		c := x.contests[out[i].Addr]
		if last != nil && slices.Equal(last.claimants, c.claimants) {
			out[i].Claims = out[i-1].Claims
		} else {
			out[i].Claims = x.Claims(out[i].Addr)
		}
		last = c
	}
	return out
}

// ConflictsVersion is another number when Conflicts may have changed.
func (x *Index) ConflictsVersion() uint64 { return x.conflicts }
