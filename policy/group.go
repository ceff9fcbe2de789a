package policy

import (
	"iter"
	"net/netip"
	"strconv"
	"strings"
)

// groupSpec is a peer given by selectors: Pods of some namespaces. One with a
// block is the Pods in there, and has nothing else.
type groupSpec struct {
	key   GroupKey
	in    scopeSpec
	pods  *selector
	block *IPBlock
}

// scopeSpec says which namespaces: one, those that a selector matches, or,
// with neither, all, known or not. Its text is canonical.
type scopeSpec struct {
	text  string
	fixed bool
	name  string
	sel   *selector
}

// fixedGroup is a peer with a podSelector alone. A valid namespace name has
// no slash, brace, bracket or star; quotes keep the key of any other unambiguous.
func fixedGroup(namespace string, pods *selector) *groupSpec {
	text := namespace
	if strings.ContainsAny(text, "/{}[*\"") {
		text = strconv.Quote(text)
	}
	return newGroupSpec(scopeSpec{text: text, fixed: true, name: namespace}, pods)
}

// selectedGroup is a peer with a namespaceSelector.
func selectedGroup(namespaces, pods *selector) *groupSpec {
	return newGroupSpec(scopeSpec{text: "{" + namespaces.text + "}", sel: namespaces}, pods)
}

// allPods is what an egress rule without peers looks up named ports on. It
// differs from an empty namespaceSelector in namespaces that are not known.
var allPods = newGroupSpec(scopeSpec{text: "*"}, everything)

func newGroupSpec(in scopeSpec, pods *selector) *groupSpec {
	return &groupSpec{key: GroupKey(in.text + "/" + pods.text), in: in, pods: pods}
}

// matches reports whether ns is in the scope.
func (s *scopeSpec) matches(ns *namespace) bool {
	switch {
	case s.fixed:
		return ns.name == s.name
	case s.sel != nil:
		return ns.known && s.sel.matches(ns.labels)
	}
	return true
}

func (s *groupSpec) matches(c *class) bool {
	return s.in.matches(c.ns) && s.pods.matches(c)
}

// scope is a scopeSpec while some group in use needs it.
type scope struct {
	scopeSpec
	spaces map[*namespace]struct{}
	groups map[*group]struct{}
	// by finds the groups by their Pod selectors.
	by     anchored[*group]
	anchor int // in Index.scopesBy
}

// group is a groupSpec while an allow set of a subject uses it: its members
// are tracked. Members are the addresses that Pods of its classes claim, and no
// other Pods.
type group struct {
	*groupSpec
	scope   *scope // nil for the Pods in a block, as are classes
	anchor  int    // in scope.by
	classes map[*class]struct{}
	uses    int
	// fresh: not reported yet, so that no differences need be kept.
	fresh bool
	// was has what an address was before it first changed since Changes.
	was map[netip.Addr]membership
}

// membership is what an address is to a group.
type membership struct {
	in    bool
	ports []NamedPort
}

// use counts one more allow set that needs the group.
func (x *Index) use(spec *groupSpec) *group {
	g := x.groups[spec.key]
	if g == nil {
		g = x.activate(spec)
	}
	g.uses++
	return g
}

// disuse leaves the group tracked: should it come back into use before
// Changes is asked, the differences are still there.
func (x *Index) disuse(g *group) {
	if g.uses--; g.uses == 0 {
		x.idle[g] = struct{}{}
	}
}

func (x *Index) activate(spec *groupSpec) *group {
	g := &group{groupSpec: spec, fresh: true}
	x.groups[spec.key] = g
	x.fresh = append(x.fresh, g)
	if spec.block != nil {
		x.blocks.add(g)
		return g
	}
	g.scope, g.classes = x.scope(&spec.in), map[*class]struct{}{}
	g.anchor = g.scope.by.add(spec.pods, g)
	g.scope.groups[g] = struct{}{}
	x.classesOf(g.scope, spec.pods, func(c *class) { x.enlist(g, c) })
	return g
}

func (x *Index) deactivate(g *group) {
	if g.block != nil {
		x.blocks.remove(g)
		delete(x.groups, g.key)
		return
	}
	for c := range g.classes {
		c.groups = without(c.groups, g)
	}
	s := g.scope
	s.by.remove(g.pods, g.anchor, g)
	delete(s.groups, g)
	delete(x.groups, g.key)
	if len(s.groups) == 0 {
		x.dropScope(s)
	}
}

// scope returns the scope in use, or takes it into use.
func (x *Index) scope(spec *scopeSpec) *scope {
	if s := x.scopes[spec.text]; s != nil {
		return s
	}
	s := &scope{scopeSpec: *spec, spaces: map[*namespace]struct{}{}, groups: map[*group]struct{}{}}
	x.scopes[spec.text] = s
	switch {
	case spec.fixed:
		x.enter(s, x.namespace(spec.name))
	case spec.sel != nil:
		s.anchor = x.scopesBy.add(spec.sel, s)
		x.namespacesOf(spec.sel, func(ns *namespace) { x.enter(s, ns) })
	default:
		for _, ns := range x.namespaces {
			x.enter(s, ns)
		}
	}
	return s
}

func (x *Index) dropScope(s *scope) {
	delete(x.scopes, s.text)
	if s.sel != nil {
		x.scopesBy.remove(s.sel, s.anchor, s)
	}
	for ns := range s.spaces {
		ns.scopes = without(ns.scopes, s)
		x.dropIfEmpty(ns)
	}
}

// enter makes the Pods of ns candidates for the groups of s.
func (x *Index) enter(s *scope, ns *namespace) {
	s.spaces[ns] = struct{}{}
	ns.scopes = append(ns.scopes, s)
	for g := range s.groups {
		x.classesIn(ns, g.pods, func(c *class) { x.enlist(g, c) })
	}
}

// leave is the reverse of enter.
func (x *Index) leave(s *scope, ns *namespace) {
	for g := range s.groups {
		x.classesIn(ns, g.pods, func(c *class) { x.discharge(g, c) })
	}
	delete(s.spaces, ns)
	ns.scopes = without(ns.scopes, s)
}

func (x *Index) enlist(g *group, c *class) {
	g.classes[c] = struct{}{}
	c.groups = append(c.groups, g)
	if g.fresh {
		return
	}
	for _, e := range c.pods {
		if !e.pod.claims() {
			continue
		}
		for _, a := range e.pod.Addrs {
			x.touch(g, a, membership{})
		}
	}
}

func (x *Index) discharge(g *group, c *class) {
	for _, e := range c.pods {
		if !e.pod.claims() {
			continue
		}
		for _, a := range e.pod.Addrs {
			if m := x.membership(g, a); m.in {
				x.touch(g, a, m)
			}
		}
	}
	delete(g.classes, c)
	c.groups = without(c.groups, g)
}

// touch notes what the address was to the group before it changes.
func (x *Index) touch(g *group, a netip.Addr, before membership) {
	if !g.unnoted(a) {
		return
	}
	if g.was == nil {
		g.was = map[netip.Addr]membership{}
		x.touched = append(x.touched, g)
	}
	g.was[a] = before
}

// unnoted reports whether it is of interest what the address was to the group.
func (g *group) unnoted(a netip.Addr) bool {
	if g.fresh {
		return false
	}
	_, known := g.was[a]
	return !known
}

// membership is what the address is to the group now: a member with the ports
// that it has whoever has the address.
func (x *Index) membership(g *group, a netip.Addr) membership {
	c := x.claims(a)
	if c.none() {
		return membership{}
	}
	if g.block != nil {
		ports := c.ports()
		return membership{in: len(ports) > 0 && g.block.Contains(a), ports: ports}
	}
	if !c.within(g.classes) {
		return membership{}
	}
	return membership{in: true, ports: c.ports()}
}

// Members yields the members of a group that an allow set of a subject uses,
// in any order. Other groups have none. The index must not be changed
// meanwhile.
func (x *Index) Members(key GroupKey) iter.Seq[Member] {
	x.resolve()
	return func(yield func(Member) bool) {
		g := x.groups[key]
		if g == nil || g.uses == 0 {
			return
		}
		if g.block != nil {
			for _, a := range x.ownedIn(g.block.CIDR) {
				if m := x.membership(g, a); m.in && !yield(Member{Addr: a, Ports: m.ports}) {
					return
				}
			}
			return
		}
		for c := range g.classes {
			for _, e := range c.pods {
				for _, a := range e.pod.Addrs {
					if x.owners.of(a) != e {
						continue
					}
					if m := x.membership(g, a); m.in && !yield(Member{Addr: a, Ports: m.ports}) {
						return
					}
				}
			}
		}
	}
}
