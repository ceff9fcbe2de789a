package policy

import (
	"errors"
	"fmt"
	"hash/maphash"
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Options say from where the cluster is seen.
type Options struct {
	// Node is the node whose Pods are subjects. Empty: every Pod is.
	Node string
	// NodeEgress always allows a Pod to reach its own node, as the API's
	// documentation has it. Otherwise that is egress like any other.
	NodeEgress bool
}

// Index holds the objects and keeps up to date what follows from them. Its
// methods are for one goroutine at a time, those that only ask included.
//
// Events do the least: they change what an address is to the groups in use
// and mark the local Pods whose policies or addresses may differ. Subjects are
// resolved when somebody asks.
type Index struct {
	opts Options
	seed maphash.Seed

	namespaces map[string]*namespace
	// spaces are the known namespaces by label, labels the classes by key and
	// value.
	spaces map[label][]*namespace
	labels map[string]*labelKey
	nodes  map[string]*node
	// ports are those of the Pod that was last seen to have others than the one
	// before: neighbours in a list often have the same.
	ports []NamedPort

	// owners are the Pods that own an address: the newest that claim it.
	// contests are the addresses that several claim, conflicts counts their
	// changes. hosts are the running hostNetwork Pods on an address.
	owners    owners
	contests  map[netip.Addr]*contest
	conflicts uint64
	hosts     map[netip.Addr][]*entry

	// In use by allow sets of subjects.
	scopes   map[string]*scope
	scopesBy anchored[*scope]
	groups   map[GroupKey]*group
	blocks   blockGroups
	sets     map[string]*heldSet
	subjects map[types.NamespacedName]*heldSubject

	// dirty are local Pods to be resolved.
	dirty map[types.NamespacedName]struct{}
	// Since Changes was last asked: was has what changed subjects were, touched
	// the groups whose members changed, fresh those that came into use and
	// idle those that went out of use.
	was     map[types.NamespacedName]*Subject
	touched []*group
	fresh   []*group
	idle    map[*group]struct{}

	counts Counts
	// audits is whether any policy is audited, as far as it is known; see [Index.Audits].
	audits struct{ known, any bool }
	// past is what was before the latest changes, nil where nobody asks.
	past *past
	// found is room for the policies of one class.
	found []*parsed
	// looked counts the selectors matched, for tests.
	looked int
}

// NewIndex returns an empty index.
func NewIndex(o Options) *Index {
	return &Index{
		opts:       o,
		seed:       maphash.MakeSeed(),
		namespaces: map[string]*namespace{},
		spaces:     map[label][]*namespace{},
		labels:     map[string]*labelKey{},
		nodes:      map[string]*node{},
		owners:     newOwners(),
		contests:   map[netip.Addr]*contest{},
		hosts:      map[netip.Addr][]*entry{},
		scopes:     map[string]*scope{},
		groups:     map[GroupKey]*group{},
		sets:       map[string]*heldSet{},
		subjects:   map[types.NamespacedName]*heldSubject{},
		dirty:      map[types.NamespacedName]struct{}{},
		was:        map[types.NamespacedName]*Subject{},
		idle:       map[*group]struct{}{},
	}
}

// Counts are how many objects there are.
type Counts struct{ Pods, Namespaces, Policies int }

// Counts counts the objects; of Namespaces those that were given.
func (x *Index) Counts() Counts { return x.counts }

// SetPolicy adds a policy or replaces it. The error says what is invalid in
// it; the policy is stored all the same, with the invalid parts allowing
// nothing.
func (x *Index) SetPolicy(np *networkingv1.NetworkPolicy) error {
	if np == nil {
		return errors.New("NetworkPolicy: no object")
	}
	p, err := parsePolicy(np)
	if err != nil {
		err = fmt.Errorf("NetworkPolicy %s: %w", p.NamespacedName, err)
	}
	ns := x.namespace(p.Namespace)
	if x.sleeps(ns) {
		x.past.sleeping(ns, np.Name)
	}
	if x.sleeps(ns) && x.putToSleep(ns, np) {
		return err
	}
	old, at := ns.policy(p.Name)
	if old != nil && old.same(p) {
		return err
	}
	x.past.policy(p.NamespacedName, old)
	x.audits.known = false
	if old != nil {
		ns.policiesBy.remove(old.selector, old.anchor, old)
	}
	if old != nil {
		ns.policies[at] = p
	} else {
		ns.policies = slices.Insert(ns.policies, at, p)
		x.counts.Policies++
	}
	p.anchor = ns.policiesBy.add(p.selector, p)
	if old != nil {
		x.reselect(ns, old.selector)
	}
	if old == nil || old.selector.text != p.selector.text {
		x.reselect(ns, p.selector)
	}
	return err
}

// DeletePolicy forgets a policy.
func (x *Index) DeletePolicy(name types.NamespacedName) {
	ns := x.namespaces[name.Namespace]
	if ns == nil {
		return
	}
	if at, found := ns.dormant(name.Name); found {
		x.past.sleeping(ns, name.Name)
		ns.asleep = slices.Delete(ns.asleep, at, at+1)
		x.counts.Policies--
		x.dropIfEmpty(ns)
		return
	}
	old, at := ns.policy(name.Name)
	if old == nil {
		return
	}
	x.past.policy(name, old)
	x.audits.known = false
	ns.policies = slices.Delete(ns.policies, at, at+1)
	x.counts.Policies--
	ns.policiesBy.remove(old.selector, old.anchor, old)
	x.reselect(ns, old.selector)
	x.dropIfEmpty(ns)
}

// reselect has the policies of the classes that s matches looked up anew, and
// the local Pods among them resolved.
func (x *Index) reselect(ns *namespace, s *selector) {
	x.unchoose(ns, s)
	for e := range ns.locals {
		if e.class.chosen == nil {
			x.soil(e)
		}
	}
	for e := range ns.contenders {
		if e.class.chosen == nil {
			x.soilRivals(e)
		}
	}
}

// unchoose forgets which policies select the classes that s matches. Most classes of
// a large namespace have no Pod on the node, and nobody asked about them.
func (x *Index) unchoose(ns *namespace, s *selector) {
	ns.lastChosen = nil
	forget := func(c *class) {
		if c.chosen != nil {
			c.chosen = nil
			delete(ns.judged, c)
		}
	}
	best, _ := x.shortest(s, len(ns.judged), func(l label) int {
		if p := x.posting(l, ns); p != nil {
			return len(p.classes)
		}
		return 0
	})
	if best != nil {
		x.classesIn(ns, s, forget)
		return
	}
	for c := range ns.judged {
		x.looked++
		if s.matches(c) {
			forget(c)
		}
	}
}
