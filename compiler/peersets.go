package compiler

import (
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/policy"
)

// memberSet is a hash set that follows the members of groups: the union of its
// terms, either all with a port's name or all without. It is the only content
// of peers that changes in place.
type memberSet struct {
	family family
	terms  []term
	// counts says how many terms have an element. A set of one group has each
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

func (m member) key() string {
	if m.protocol == 0 {
		return m.addr.String()
	}
	return m.addr.String() + " . " + protocolName(m.protocol) + " . " + strconv.Itoa(int(m.port))
}

func newMemberSet(f family, terms []term) *memberSet {
	s := &memberSet{family: f, terms: terms}
	if len(terms) == 1 && terms[0].port.Name == "" {
		s.single = map[netip.Addr]struct{}{}
	} else {
		s.counts = map[member]uint32{}
	}
	return s
}

// declaration names the set by its terms.
func (s *memberSet) declaration() *Set {
	var content strings.Builder
	content.WriteString(s.family.String())
	for _, t := range s.terms {
		content.WriteString("\n" + strconv.Quote(string(t.group)) + " " + strconv.Itoa(int(t.port.Protocol)) + " " + strconv.Quote(t.port.Name))
	}
	text := s.family.String() + "-" + string(s.terms[0].group)
	letter, kind := byte(peersLetter), s.family.addrType()
	if s.terms[0].port.Name != "" {
		letter, kind = namedLetter, kind+" . inet_proto . inet_service"
		text = s.family.String() + "-" + s.terms[0].port.Name + "-" + string(s.terms[0].group)
	}
	if n := len(s.terms); n > 1 {
		text = s.family.String() + "-" + strconv.Itoa(n) + "-from-" + text[len(s.family.String())+1:]
	}
	return &Set{Name: contentName(letter, content.String(), text), Type: kind}
}

// fill takes all members of all groups.
func (s *memberSet) fill(x *policy.Index) {
	for _, t := range s.terms {
		for m := range x.Members(t.group) {
			for k := range s.members(t, m) {
				s.add(k)
			}
		}
	}
}

// members yields what a term makes of a member of its group, each once.
func (s *memberSet) members(t term, m policy.Member) iter.Seq[member] {
	return func(yield func(member) bool) {
		if familyOf(m.Addr) != s.family {
			return
		}
		if t.port.Name == "" {
			yield(member{addr: m.Addr})
			return
		}
		for i, p := range m.Ports {
			if p.Name != t.port.Name || p.Protocol != t.port.Protocol || slices.Contains(m.Ports[:i], p) {
				continue
			}
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

// apply takes the change of one group over. touched keeps what was there
// before, by element.
func (s *memberSet) apply(gc policy.GroupChange, touched map[member]bool) {
	for _, t := range s.terms {
		if t.group != gc.Group {
			continue
		}
		for _, step := range []struct {
			members []policy.Member
			do      func(member)
		}{{gc.Removed, s.remove}, {gc.Added, s.add}} {
			for _, m := range step.members {
				for k := range s.members(t, m) {
					if _, known := touched[k]; !known {
						touched[k] = s.has(k)
					}
					step.do(k)
				}
			}
		}
	}
}

func (s *memberSet) elements() []Element {
	out := make([]Element, 0, len(s.single)+len(s.counts))
	for a := range s.single {
		out = append(out, Element{Key: a.String()})
	}
	for m := range s.counts {
		out = append(out, Element{Key: m.key()})
	}
	return sortElements(out)
}

func sortElements(list []Element) []Element {
	slices.SortFunc(list, func(a, b Element) int { return strings.Compare(a.Key, b.Key) })
	return list
}
