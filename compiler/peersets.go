package compiler

import (
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/policy"
)

// memberSet is a hash set that follows the members of groups: the addresses of all
// of them together, or those with the ports that some rules give by name. It is the
// only content of peers that changes in place.
type memberSet struct {
	family family
	// groups are sorted, each once.
	groups []policy.GroupKey
	// named is nil in sets of addresses.
	named *namedPeers
	// counts says of how many groups an element is. A set of one group has each
	// element once and keeps only the addresses.
	counts map[member]uint32
	single map[netip.Addr]struct{}
}

// member is an element of a memberSet.
type member struct {
	addr     netip.Addr
	protocol policy.Protocol // 0 in sets of addresses
	port     uint16
}

func (m member) key() Key {
	if m.protocol == 0 {
		return addrKey(m.addr)
	}
	out := append(make([]byte, 0, 19), addrKey(m.addr)...)
	return Key(appendPort(append(out, byte(m.protocol)), m.port))
}

func newMemberSet(f family, groups []policy.GroupKey) *memberSet {
	s := &memberSet{family: f, groups: groups}
	if len(groups) == 1 {
		s.single = map[netip.Addr]struct{}{}
	} else {
		s.counts = map[member]uint32{}
	}
	return s
}

func newNamedSet(f family, lookups []lookup) *memberSet {
	s := &memberSet{family: f, named: newNamedPeers(lookups), counts: map[member]uint32{}}
	for i := range lookups {
		s.groups = append(s.groups, lookups[i].groups...)
	}
	slices.Sort(s.groups)
	s.groups = slices.Compact(s.groups)
	return s
}

// declaration names the set by its groups, and by what ports of theirs it has.
func (s *memberSet) declaration() *Set {
	text := s.family.String() + "-"
	if n := len(s.groups); n > 1 {
		text += strconv.Itoa(n) + "-from-"
	}
	if s.named != nil {
		l := &s.named.lookups[0]
		text += l.names[0].Name + "-" + string(l.groups[0])
		return &Set{
			Name: contentName(namedLetter, s.family.String()+s.named.content(), text),
			Key:  keyType(s.family.addrType(), InetProto, InetService),
		}
	}
	var content strings.Builder
	content.WriteString(s.family.String())
	for _, g := range s.groups {
		content.WriteString("\n" + strconv.Quote(string(g)) + " 0 \"\"") // no port's name
	}
	return &Set{Name: contentName(peersLetter, content.String(), text+string(s.groups[0])), Key: keyType(s.family.addrType())}
}

// fill takes all members of all groups.
func (s *memberSet) fill(x *policy.Index) {
	for _, g := range s.groups {
		for m := range x.Members(g) {
			for k := range s.members(g, m) {
				s.add(k)
			}
		}
	}
}

// members yields the elements that a member of a group is, each once.
func (s *memberSet) members(g policy.GroupKey, m policy.Member) iter.Seq[member] {
	return func(yield func(member) bool) {
		if familyOf(m.Addr) != s.family {
			return
		}
		if s.named == nil {
			yield(member{addr: m.Addr})
			return
		}
		for p := range s.named.ports(g, m.Ports) {
			if !yield(member{m.Addr, p.Protocol, p.Number}) {
				return
			}
		}
	}
}

func (s *memberSet) has(m member) bool {
	if s.single != nil {
		_, ok := s.single[m.addr]
		return ok
	}
	return s.counts[m] > 0
}

func (s *memberSet) add(m member) {
	if s.single != nil {
		s.single[m.addr] = struct{}{}
		return
	}
	s.counts[m]++
}

func (s *memberSet) remove(m member) {
	if s.single != nil {
		delete(s.single, m.addr)
		return
	}
	if s.counts[m] > 1 {
		s.counts[m]--
		return
	}
	delete(s.counts, m)
}

// apply takes the change of one of its groups over. touched keeps what was there
// before, by element.
func (s *memberSet) apply(gc policy.GroupChange, touched map[member]bool) {
	for _, step := range []struct {
		members []policy.Member
		do      func(member)
	}{{gc.Removed, s.remove}, {gc.Added, s.add}} {
		for _, m := range step.members {
			for k := range s.members(gc.Group, m) {
				if _, known := touched[k]; !known {
					touched[k] = s.has(k)
				}
				step.do(k)
			}
		}
	}
}

// elements are in any order.
func (s *memberSet) elements() []Element {
	out := make([]Element, 0, len(s.single)+len(s.counts))
	for a := range s.single {
		out = append(out, Element{Key: addrKey(a)})
	}
	for m := range s.counts {
		out = append(out, Element{Key: m.key()})
	}
	return out
}
