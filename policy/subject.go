package policy

import (
	"cmp"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// heldSubject is a subject with the sets that it keeps in use.
type heldSubject struct {
	*Subject
	sets []*heldSet
}

// heldSet is an allow set with what it keeps in use: groups, or the sets that
// it is made of. users counts the subjects and the sets that have it.
type heldSet struct {
	set    *AllowSet
	groups []*group
	parts  []*heldSet
	users  int
}

// resolve brings the subjects and the groups in use up to date.
func (x *Index) resolve() {
	for name := range x.dirty {
		x.resolveSubject(name)
	}
	renew(&x.dirty)
}

// renew empties a map. One that was large once is slow to clear and to walk
// for ever, which every later event would pay.
func renew[K comparable, V any](m *map[K]V) {
	if len(*m) > 0 {
		*m = map[K]V{}
	}
}

func (x *Index) resolveSubject(name types.NamespacedName) {
	old := x.subjects[name]
	now := x.subject(name)
	if old != nil && now != nil && old.same(now.Subject) {
		x.drop(now)
		return
	}
	if old == nil && now == nil {
		return
	}
	if _, noted := x.was[name]; !noted {
		x.was[name] = nil
		if old != nil {
			x.was[name] = old.Subject
		}
	}
	if now == nil {
		delete(x.subjects, name)
	} else {
		x.subjects[name] = now
	}
	if old != nil {
		x.drop(old)
	}
}

// subject is what the Pod is now, nil if it is no subject. It holds its sets.
func (x *Index) subject(name types.NamespacedName) *heldSubject {
	e := x.entry(name)
	if e == nil {
		return nil
	}
	e.soiled = false
	if !x.local(e.pod) || !e.pod.claims() {
		return nil
	}
	var addrs []netip.Addr
	for _, a := range e.pod.Addrs {
		if x.speaker(x.claims(a)) == e {
			addrs = append(addrs, a)
		}
	}
	if len(addrs) == 0 {
		return nil
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	s := &heldSubject{Subject: &Subject{
		Pod: name, UID: e.pod.UID, Addrs: addrs, Unguarded: e.pod.Unguarded,
	}}
	s.Ingress = s.keep(x.hold(e, Ingress))
	s.Egress = s.keep(x.hold(e, Egress))
	x.shareAddrs(s)
	return s
}

// keep has the subject hold the set, nil if it is not isolated.
func (s *heldSubject) keep(h *heldSet) *AllowSet {
	if h == nil {
		return nil
	}
	s.sets = append(s.sets, h)
	return h.set
}

// same reports whether the compiler can treat them alike.
func (s *Subject) same(o *Subject) bool {
	return s.UID == o.UID && s.Unguarded == o.Unguarded && slices.Equal(s.Addrs, o.Addrs) &&
		s.Ingress.key() == o.Ingress.key() && s.Egress.key() == o.Egress.key() &&
		slices.EqualFunc(s.Shared, o.Shared, func(a, b SharedAddr) bool {
			return a.Addr == b.Addr && a.Ingress.key() == b.Ingress.key() && a.Egress.key() == b.Egress.key()
		})
}

func (s *AllowSet) key() string {
	if s == nil {
		return ""
	}
	return s.Key
}

// hold returns the allow set of the Pod, nil where it is not isolated, and
// counts the Pod as a user.
func (x *Index) hold(e *entry, d Direction) *heldSet {
	s := x.chosen(e.class)
	if len(s.policies[d]) == 0 {
		return nil
	}
	return x.holdPart(&part{s.keyOf(d, e.pod.Ports), s, e.pod.Ports}, d)
}

func (x *Index) holdPart(p *part, d Direction) *heldSet {
	h := x.sets[p.key]
	if h == nil {
		policies := p.of.policies[d]
		h = &heldSet{set: buildAllowSet(p.key, d, policies, p.ports)}
		for _, spec := range groupsOf(policies, d) {
			h.groups = append(h.groups, x.use(spec))
		}
		x.sets[p.key] = h
	}
	h.users++
	return h
}

// drop lets go of the sets of a subject.
func (x *Index) drop(s *heldSubject) {
	for _, h := range s.sets {
		x.letGo(h)
	}
}

// letGo counts one user of the set less.
func (x *Index) letGo(h *heldSet) {
	if h.users--; h.users > 0 {
		return
	}
	delete(x.sets, h.set.Key)
	for _, g := range h.groups {
		x.disuse(g)
	}
	for _, p := range h.parts {
		x.letGo(p)
	}
}

// groupsOf are the groups that the allow set of these policies names, each
// once.
func groupsOf(policies []*parsed, d Direction) []*groupSpec {
	var out []*groupSpec
	seen := map[GroupKey]bool{}
	add := func(s *groupSpec) {
		if !seen[s.key] {
			seen[s.key] = true
			out = append(out, s)
		}
	}
	for _, p := range policies {
		for i := range p.rules[d] {
			r := &p.rules[d][i]
			for j := range r.peers {
				for _, s := range []*groupSpec{r.peers[j].group, r.peers[j].named} {
					if s != nil {
						add(s)
					}
				}
			}
			if r.allPeers && r.looksUpNames() {
				add(allPods)
			}
		}
	}
	return out
}

// looksUpNames reports whether the rule gives egress to named ports.
func (r *rule) looksUpNames() bool {
	return r.ref.Direction == Egress &&
		slices.ContainsFunc(r.ports, func(p port) bool { return p.name != "" })
}

func buildAllowSet(key string, d Direction, policies []*parsed, ports []NamedPort) *AllowSet {
	rules := 0
	for _, p := range policies {
		rules += len(p.rules[d])
	}
	s := &AllowSet{
		Key: key, Direction: d,
		Policies: make([]types.NamespacedName, 0, len(policies)), Rules: make([]AllowRule, 0, rules),
	}
	for _, p := range policies {
		s.Policies = append(s.Policies, p.NamespacedName)
		for i := range p.rules[d] {
			s.Rules = append(s.Rules, p.rules[d][i].allow(ports))
		}
	}
	return s
}

// allow is the rule as part of an allow set, for a subject with these ports. Sets share
// what does not depend on the subject: a Pod with a thousand policies has another set with
// each that comes or goes.
func (r *rule) allow(ports []NamedPort) AllowRule {
	if r.allowed != nil {
		return *r.allowed
	}
	out := r.resolve(ports)
	if r.ref.Direction == Egress || !slices.ContainsFunc(r.ports, func(p port) bool { return p.name != "" }) {
		r.allowed = &out
	}
	return out
}

// resolve finds what the rule allows a subject with these ports.
func (r *rule) resolve(ports []NamedPort) AllowRule {
	out := AllowRule{RuleRef: r.ref, AllPeers: r.allPeers, AllPorts: r.allPorts}
	for i := range r.peers {
		switch p := &r.peers[i]; {
		case p.invalid != "":
		case p.group != nil:
			out.Groups = append(out.Groups, GroupPeer{PeerIndex: i, Group: p.group.key})
		default:
			out.Blocks = append(out.Blocks, BlockPeer{PeerIndex: i, Block: p.block})
		}
	}
	for i := range r.ports {
		switch p := &r.ports[i]; {
		case p.invalid != "":
		case p.name == "":
			out.Ports = append(out.Ports, p.PortRange)
		case r.ref.Direction == Ingress:
			out.Ports = append(out.Ports, resolvePort(ports, p.name, p.Protocol)...)
		default:
			out.NamedPorts = append(out.NamedPorts, NamedPortRef{Protocol: p.Protocol, Name: p.name})
		}
	}
	if len(out.NamedPorts) == 0 {
		return out
	}
	if r.allPeers {
		out.NamedGroups = []GroupKey{allPods.key}
	}
	seen := map[GroupKey]bool{}
	for i := range r.peers {
		for _, s := range []*groupSpec{r.peers[i].group, r.peers[i].named} {
			if s != nil && !seen[s.key] {
				seen[s.key] = true
				out.NamedGroups = append(out.NamedGroups, s.key)
			}
		}
	}
	if len(out.NamedGroups) == 0 {
		out.NamedPorts = nil // no peer is valid
	}
	return out
}

// Subjects yields the subjects, sorted by Pod.
func (x *Index) Subjects() iter.Seq[*Subject] {
	x.resolve()
	return func(yield func(*Subject) bool) {
		for _, name := range slices.SortedFunc(maps.Keys(x.subjects), CompareNames) {
			if !yield(x.subjects[name].Subject) {
				return
			}
		}
	}
}

// Subject returns the Pod as subject, nil if it is none.
func (x *Index) Subject(name types.NamespacedName) *Subject {
	x.resolve()
	if s := x.subjects[name]; s != nil {
		return s.Subject
	}
	return nil
}

// CompareNames puts objects in the order of their namespaces, and then of their names.
func CompareNames(a, b types.NamespacedName) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}
