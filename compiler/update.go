package compiler

import (
	"maps"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

// update is one call of [Compiler.Update]: it changes the compiler's state and
// notes what was there before, so that the plan is the net difference.
type update struct {
	c *Compiler
	x *policy.Index

	born, died map[string]*object
	// fixed is of the sets of table inet sluice, ports of those of table bridge
	// sluice.
	fixed, ports journal
	// sets is what was found of allow sets.
	sets map[*policy.AllowSet]*setFacts
	// members are what the elements of groups' sets were that were touched.
	members map[*object]map[member]bool
	veths   map[string]struct{}
	// rewritten are the changes of fixed chains, made and hooked those that come, and
	// begun the fixed sets that do.
	rewritten    []Op
	made, hooked Ruleset
	begun        []Set
	// kept are addresses that stay the same Pod's, whatever it is called.
	kept map[netip.Addr]bool
	// narrows: set where it cannot be told from the elements.
	narrows bool
}

// Update takes the changes of an index over and returns what to do about them.
// It costs what changed, and one look at the place of each local address.
//
// ch must be all that x.Changes returned since the last call; a new compiler
// starts from an index whose Changes were not asked before. links is the whole
// of what is known now.
func (c *Compiler) Update(x *policy.Index, ch policy.Changes, links Links) Plan {
	return c.change(x, ch, links).plan()
}

// Load takes changes over as Update does, for whoever brings everything
// afterwards: in a large cluster the plan of a start is much larger than all
// else, and of no use.
func (c *Compiler) Load(x *policy.Index, ch policy.Changes, links Links) {
	for veth := range c.change(x, ch, links).veths {
		c.guardAnew(veth)
	}
}

func (c *Compiler) change(x *policy.Index, ch policy.Changes, links Links) *update {
	u := &update{
		c: c, x: x,
		born: map[string]*object{}, died: map[string]*object{},
		fixed: newJournal(c.fixed), ports: newJournal(c.ports),
		sets: map[*policy.AllowSet]*setFacts{}, members: map[*object]map[member]bool{},
		veths: map[string]struct{}{},
	}
	u.interfaces(links)
	u.node(links)
	u.kept = links.Kept
	u.subjects(ch, links)
	u.groups(ch)
	return u
}

// interfaces brings the sets of interfaces and ports up to date.
func (u *update) interfaces(links Links) {
	u.fixed.only(podInterfacesSet, names(links.PodInterfaces))
	u.fixed.only(otherInterfacesSet, names(links.OtherInterfaces))
	u.ports.only(uplinksSet, numbers(links.Uplinks))
	u.ports.only(openPortsSet, numbers(links.OpenPorts))
}

func names(interfaces []string) map[Key]bool {
	out := map[Key]bool{}
	for _, name := range interfaces {
		if validInterface(name) {
			out[interfaceKey(name)] = true
		}
	}
	return out
}

func numbers(ports []int) map[Key]bool {
	out := map[Key]bool{}
	for _, port := range ports {
		out[indexKey(port)] = true
	}
	return out
}

// subjects compiles the Pods that changed, or whose addresses are elsewhere.
func (u *update) subjects(ch policy.Changes, links Links) {
	next := map[types.NamespacedName]*subject{}
	for _, sc := range ch.Subjects {
		next[sc.Pod] = nil
		if sc.Now != nil {
			next[sc.Pod] = &subject{Subject: sc.Now, binds: placesOf(sc.Now, links)}
		}
	}
	for name, s := range u.c.subjects {
		if _, changed := next[name]; changed {
			continue
		}
		if s.moved(&links) {
			next[name] = &subject{Subject: s.Subject, binds: placesOf(s.Subject, links)}
		}
	}
	for _, s := range next {
		if s != nil {
			u.compile(s)
		}
	}
	// An address may go from one Pod to another: all that goes, goes first.
	owners := map[netip.Addr]types.UID{}
	var gone []*subject
	for name := range next {
		if old := u.c.subjects[name]; old != nil {
			u.leave(old, owners)
			gone = append(gone, old)
		}
	}
	for name, s := range next {
		if s != nil {
			u.enter(name, s, owners)
		}
	}
	u.stay(next, gone)
	for _, old := range gone {
		u.release(old)
	}
}

// stay puts back what Pods that did not change have in the sets of a port that
// another one left: two may be behind one port, where one of them is known by an
// address that both claim.
func (u *update) stay(next map[types.NamespacedName]*subject, gone []*subject) {
	left := map[int]bool{}
	for _, old := range gone {
		for _, b := range old.binds {
			left[b.Port] = b.Port > 0
		}
	}
	for name, s := range u.c.subjects {
		if _, changed := next[name]; changed || !slices.ContainsFunc(s.binds, func(b Bind) bool { return left[b.Port] }) {
			continue
		}
		s.guarded(u.c.cfg.GuardOptOut, func(set string, key Key) { u.ports.set(set, key, MapValue{}) })
	}
}

// compile takes what the Pod needs.
func (u *update) compile(s *subject) {
	for _, a := range s.Addrs {
		for d, set := range s.sets(a) {
			if set == nil {
				continue
			}
			if s.counters[d] == nil {
				s.counters[d] = u.take(counter(s.Pod, policy.Direction(d)))
			}
			if s.program(set, familyOf(a)) == nil {
				was := u.c.subjects[s.Pod].cutsOf(policy.Direction(d), familyOf(a))
				s.programs = append(s.programs, u.takeProgram(set, familyOf(a), was))
			}
		}
	}
}

func (u *update) release(s *subject) {
	for _, p := range s.programs {
		u.dropProgram(p)
	}
	for _, o := range s.counters {
		if o != nil {
			u.drop(o)
		}
	}
}

func (u *update) leave(s *subject, owners map[netip.Addr]types.UID) {
	delete(u.c.subjects, s.Pod)
	u.facts(s, func(set string, key Key, _ MapValue) { u.fixed.unset(set, key) })
	s.guarded(u.c.cfg.GuardOptOut, u.ports.unset)
	for _, a := range s.Addrs {
		owners[a] = s.UID
	}
	for _, b := range s.binds {
		if b.Veth != "" {
			delete(u.c.onVeth[b.Veth], s)
			u.veths[b.Veth] = struct{}{}
		}
	}
}

// facts yields what the Pod puts into the fixed sets that there are.
func (u *update) facts(s *subject, yield func(set string, key Key, value MapValue)) {
	s.facts(yield)
	if u.c.node.ipvs {
		s.senders(yield)
	}
}

func (u *update) enter(name types.NamespacedName, s *subject, owners map[netip.Addr]types.UID) {
	u.c.subjects[name] = s
	u.facts(s, u.fixed.set)
	s.guarded(u.c.cfg.GuardOptOut, func(set string, key Key) { u.ports.set(set, key, MapValue{}) })
	for _, a := range s.Addrs {
		// What was judged for the former owner says nothing of the new one.
		if uid, owned := owners[a]; owned && uid != s.UID && !u.kept[a] {
			u.narrows = true
		}
	}
	for _, b := range s.binds {
		if b.Veth == "" {
			continue
		}
		on := u.c.onVeth[b.Veth]
		if on == nil {
			on = map[*subject]struct{}{}
			u.c.onVeth[b.Veth] = on
		}
		on[s] = struct{}{}
		u.veths[b.Veth] = struct{}{}
	}
}

// groups changes the sets that follow groups. New ones were filled with what
// the groups are now.
func (u *update) groups(ch policy.Changes) {
	for _, gc := range ch.Groups {
		for o := range u.c.users[gc.Group] {
			if u.born[o.name] != nil {
				continue
			}
			touched := u.members[o]
			if touched == nil {
				touched = map[member]bool{}
				u.members[o] = touched
			}
			o.members.apply(gc, touched)
		}
	}
}

func (u *update) plan() Plan {
	out := Plan{Narrows: u.narrows}
	made, left := u.made, Ruleset{}
	made.Sets = u.filled()
	for _, o := range u.born {
		made.add(o)
	}
	for _, o := range u.died {
		left.addName(o)
	}
	made.sort()
	left.sort()
	out.Prepare = create(&made)
	changes := u.elements()
	switched := append(u.rewritten, create(&u.hooked)...)
	out.Commit = append(changes.ops(), switched...)
	out.Narrows = out.Narrows || changes.narrows() || len(switched) > 0
	out.Divisible = changes.ofGroups() && len(switched) == 0
	out.Cleanup = remove(&left)
	var ports elementChanges
	u.ports.changes(&ports)
	ports.sort()
	out.Ports, out.Opens = openingLast(ports.ops())
	for _, veth := range slices.Sorted(maps.Keys(u.veths)) {
		if p, changed := u.c.guardAnew(veth); changed {
			out.Guards = append(out.Guards, p)
		}
	}
	return out
}

// addName adds the object without its content, for a deletion.
func (r *Ruleset) addName(o *object) {
	switch {
	case o.chain != nil:
		r.Chains = append(r.Chains, Chain{Name: o.name})
	case o.set != nil:
		r.Sets = append(r.Sets, *o.set)
	default:
		r.Counters = append(r.Counters, o.name)
	}
}

// elements is the net change of the elements of sets that stay.
func (u *update) elements() elementChanges {
	var out elementChanges
	u.fixed.changes(&out)
	for o, touched := range u.members {
		if u.died[o.name] != nil {
			continue
		}
		for m, was := range touched {
			if is := o.members.has(m); is != was {
				out.add(o.set, m.key(), former{there: was}, former{there: is})
			}
		}
	}
	out.sort()
	return out
}
