package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
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
