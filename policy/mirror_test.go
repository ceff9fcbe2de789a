package policy_test

import (
	stdcmp "cmp"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/spectest"
)

// mirror is what the compiler gets to know of an index: its subjects and the
// members of the groups that they name. It judges flows by nothing else.
type mirror struct {
	subjects map[types.NamespacedName]*policy.Subject
	groups   map[policy.GroupKey]map[netip.Addr]policy.Member
}

// mirrorOf asks for everything at once.
func mirrorOf(x *policy.Index) (*mirror, error) {
	m := &mirror{map[types.NamespacedName]*policy.Subject{}, map[policy.GroupKey]map[netip.Addr]policy.Member{}}
	var last *policy.Subject
	for s := range x.Subjects() {
		if last != nil && compareNames(last.Pod, s.Pod) >= 0 {
			return nil, fmt.Errorf("Subjects: %s comes after %s", s.Pod, last.Pod)
		}
		m.subjects[s.Pod], last = s, s
	}
	for g := range m.groupsInUse() {
		if err := m.fetch(x, g); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// follow takes over what changed, and looks at nothing else: only a group that
// was in no use before is asked for.
func (m *mirror) follow(x *policy.Index) error {
	changes := x.Changes()
	if err := sorted(changes); err != nil {
		return err
	}
	for _, s := range changes.Subjects {
		if reflect.DeepEqual(s.Now, m.subjects[s.Pod]) {
			return fmt.Errorf("Changes lists subject %s, which is as it was", s.Pod)
		}
		if s.Now == nil {
			delete(m.subjects, s.Pod)
		} else {
			m.subjects[s.Pod] = s.Now
		}
	}
	used := m.groupsInUse()
	fresh := map[policy.GroupKey]bool{}
	for g := range used {
		if m.groups[g] == nil {
			fresh[g] = true
			if err := m.fetch(x, g); err != nil {
				return err
			}
		}
	}
	for _, g := range changes.Groups {
		if m.groups[g.Group] == nil {
			return fmt.Errorf("Changes lists group %q, which no subject uses", g.Group)
		}
		if fresh[g.Group] {
			continue
		}
		if err := m.change(g); err != nil {
			return fmt.Errorf("group %q: %w", g.Group, err)
		}
	}
	for g := range m.groups {
		if !used[g] {
			delete(m.groups, g)
		}
	}
	return nil
}

func (m *mirror) change(g policy.GroupChange) error {
	if len(g.Added)+len(g.Removed) == 0 {
		return fmt.Errorf("listed without a change")
	}
	members := m.groups[g.Group]
	for _, r := range g.Removed {
		if had, ok := members[r.Addr]; !ok || !slices.Equal(had.Ports, r.Ports) {
			return fmt.Errorf("removed %v, was %v", r, had)
		}
		delete(members, r.Addr)
	}
	for _, a := range g.Added {
		if had, ok := members[a.Addr]; ok {
			return fmt.Errorf("added %v, was there as %v", a, had)
		}
		members[a.Addr] = a
	}
	return nil
}

func (m *mirror) groupsInUse() map[policy.GroupKey]bool {
	used := map[policy.GroupKey]bool{}
	for _, s := range m.subjects {
		for _, g := range groupsIn(s) {
			used[g] = true
		}
	}
	return used
}

func (m *mirror) fetch(x *policy.Index, g policy.GroupKey) error {
	members := map[netip.Addr]policy.Member{}
	for member := range x.Members(g) {
		if _, twice := members[member.Addr]; twice {
			return fmt.Errorf("group %q has %s twice", g, member.Addr)
		}
		members[member.Addr] = member
	}
	m.groups[g] = members
	return nil
}

// diff compares what two mirrors show, as the compiler would see it.
func (m *mirror) diff(o *mirror) string {
	if reflect.DeepEqual(m, o) {
		return "" // which is much faster to find out
	}
	return cmp.Diff(m, o, cmp.AllowUnexported(mirror{}), cmpopts.EquateEmpty(),
		cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}))
}

func (m *mirror) owner(a netip.Addr) *policy.Subject {
	for _, s := range m.subjects {
		if slices.Contains(s.Addrs, a) {
			return s
		}
	}
	return nil
}

// allows judges what the policies of both ends say. Self traffic and that from
// the own node is not theirs to judge.
func (m *mirror) allows(f spectest.Flow) (egress, ingress bool) {
	egress, ingress = true, true
	if s := m.owner(f.Src); s != nil {
		if _, set := s.Sets(f.Src); set != nil {
			egress = m.allAllow(set, f.Dst, f)
		}
	}
	if s := m.owner(f.Dst); s != nil {
		if set, _ := s.Sets(f.Dst); set != nil {
			ingress = m.allAllow(set, f.Src, f)
		}
	}
	return egress, ingress
}

func (m *mirror) allAllow(set *policy.AllowSet, peer netip.Addr, f spectest.Flow) bool {
	for _, part := range set.Parts() {
		if !m.setAllows(part, peer, f) {
			return false
		}
	}
	return true
}

func (m *mirror) setAllows(set *policy.AllowSet, peer netip.Addr, f spectest.Flow) bool {
	for _, r := range set.Rules {
		if m.peerInRule(r, peer) && portInRule(r, f) || m.namedPortInRule(r, peer, f) {
			return true
		}
	}
	return false
}

func (m *mirror) peerInRule(r policy.AllowRule, peer netip.Addr) bool {
	for _, g := range r.Groups {
		if _, in := m.groups[g.Group][peer]; in {
			return true
		}
	}
	for _, b := range r.Blocks {
		if b.Block.Contains(peer) {
			return true
		}
	}
	return r.AllPeers
}

func portInRule(r policy.AllowRule, f spectest.Flow) bool {
	for _, p := range r.Ports {
		if p.Protocol == policy.Protocol(f.Protocol) && p.First <= f.Port && f.Port <= p.Last {
			return true
		}
	}
	return r.AllPorts
}

func (m *mirror) namedPortInRule(r policy.AllowRule, peer netip.Addr, f spectest.Flow) bool {
	for _, g := range r.NamedGroups {
		member, in := m.groups[g][peer]
		if !in {
			continue
		}
		for _, want := range r.NamedPorts {
			has := policy.NamedPort{Name: want.Name, Protocol: policy.Protocol(f.Protocol), Number: f.Port}
			if want.Protocol == has.Protocol && slices.Contains(member.Ports, has) {
				return true
			}
		}
	}
	return false
}

func sorted(c policy.Changes) error {
	if !slices.IsSortedFunc(c.Subjects, func(a, b policy.SubjectChange) int { return compareNames(a.Pod, b.Pod) }) {
		return fmt.Errorf("Changes.Subjects are not sorted")
	}
	if !slices.IsSortedFunc(c.Groups, func(a, b policy.GroupChange) int { return stdcmp.Compare(a.Group, b.Group) }) {
		return fmt.Errorf("Changes.Groups are not sorted")
	}
	for _, g := range c.Groups {
		for _, list := range [][]policy.Member{g.Added, g.Removed} {
			if !slices.IsSortedFunc(list, func(a, b policy.Member) int { return a.Addr.Compare(b.Addr) }) {
				return fmt.Errorf("Changes: members of %q are not sorted", g.Group)
			}
		}
	}
	return nil
}

func compareNames(a, b types.NamespacedName) int {
	return stdcmp.Or(stdcmp.Compare(a.Namespace, b.Namespace), stdcmp.Compare(a.Name, b.Name))
}
