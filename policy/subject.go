package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// selection is which policies select the Pods of a class, by direction, sorted
// by name, and what follows from that alone.
type selection struct {
	// found are the policies of both directions as they were found.
	found    []*parsed
	policies [2][]*parsed
	// audited would isolate the Pods in a direction, were they enforced; sorted by name.
	audited [2][]*parsed
	// named are the port names in them, sorted, each once.
	named [2][]NamedPortRef
	// key is that of the allow set where no port names are to be resolved;
	// computed when first needed.
	key [2]string
	// resolved is the last one where they were, for these ports: the Pods of a
	// class mostly have the same.
	resolved struct {
		ports []NamedPort
		key   string
	}
}

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

// unselected is the selection of most classes.
var unselected = &selection{}

// chosen looks up the policies of a class, once until one of them changes.
func (x *Index) chosen(c *class) *selection {
	if c.chosen != nil {
		return c.chosen
	}
	x.wake(c.ns)
	found := x.found[:0]
	c.ns.policiesBy.candidates(c, func(p *parsed) {
		x.looked++
		if p.selector.matches(c) {
			found = append(found, p)
		}
	})
	x.found = found
	defer clear(found)
	ns := c.ns
	if ns.judged == nil {
		ns.judged = map[*class]struct{}{}
	}
	ns.judged[c] = struct{}{}
	switch last := ns.lastChosen; {
	case len(found) == 0:
		c.chosen = unselected
	case last != nil && slices.Equal(last.found, found):
		c.chosen = last
	default:
		c.chosen = newSelection(ns, slices.Clone(found))
		ns.lastChosen = c.chosen
	}
	return c.chosen
}

// newSelection is of policies of one namespace.
func newSelection(ns *namespace, found []*parsed) *selection {
	s := &selection{found: found}
	sorted := slices.SortedFunc(slices.Values(found), func(a, b *parsed) int { return strings.Compare(a.Name, b.Name) })
	for _, p := range sorted {
		for _, d := range []Direction{Ingress, Egress} {
			switch {
			case !p.isolates[d]:
			case p.audited(ns):
				s.audited[d] = append(s.audited[d], p)
			default:
				s.policies[d] = append(s.policies[d], p)
				s.named[d] = append(s.named[d], p.named[d]...)
			}
		}
	}
	for d := range s.named {
		slices.SortFunc(s.named[d], NamedPortRef.compare)
		s.named[d] = slices.Compact(s.named[d])
	}
	return s
}

// keyOf is the content address of the Pods' allow set. Only names in ingress
// rules are resolved on the subject.
func (s *selection) keyOf(d Direction, ports []NamedPort) string {
	if d == Ingress && len(s.named[d]) > 0 {
		if r := &s.resolved; r.key == "" || !samePorts(r.ports, ports) {
			r.ports, r.key = ports, s.hash(d, ports)
		}
		return s.resolved.key
	}
	if s.key[d] == "" {
		s.key[d] = s.hash(d, nil)
	}
	return s.key[d]
}

func (s *selection) hash(d Direction, ports []NamedPort) string {
	b := append([]byte(d.String()), '\n')
	for _, p := range s.policies[d] {
		b = append(append(b, p.Namespace...), '/')
		b = append(append(b, p.Name...), ' ')
		b = append(append(b, p.hash[d]...), '\n')
	}
	if d == Ingress {
		for _, n := range s.named[d] {
			b = append(b, n.String()...)
			for _, r := range resolvePort(ports, n.Name, n.Protocol) {
				b = strconv.AppendUint(append(b, ' '), uint64(r.First), 10)
			}
			b = append(b, '\n')
		}
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// resolvePort gives the numbers of a named port on a Pod, sorted, each once.
func resolvePort(ports []NamedPort, name string, proto Protocol) []PortRange {
	var out []PortRange
	for _, p := range ports {
		if p.Protocol == proto && p.Name == name {
			out = append(out, PortRange{Protocol: proto, First: p.Number, Last: p.Number})
		}
	}
	slices.SortFunc(out, func(a, b PortRange) int { return cmp.Compare(a.First, b.First) })
	return slices.Compact(out)
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
	s := &AllowSet{Key: key, Direction: d}
	for _, p := range policies {
		s.Policies = append(s.Policies, p.NamespacedName)
		for i := range p.rules[d] {
			s.Rules = append(s.Rules, p.rules[d][i].allow(ports))
		}
	}
	return s
}

// allow is the rule as part of an allow set, for a subject with these ports.
func (r *rule) allow(ports []NamedPort) AllowRule {
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
		for _, name := range slices.SortedFunc(maps.Keys(x.subjects), compareNames) {
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

func compareNames(a, b types.NamespacedName) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}
