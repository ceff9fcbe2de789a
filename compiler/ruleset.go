package compiler

import (
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/knftables"
)

// Ruleset is the content of table inet sluice as data. Everything in it is
// sorted by name, but rules.
type Ruleset struct {
	Counters []string
	Sets     []Set
	Chains   []Chain
}

// Set is a set, or a map if Value says what it maps to.
type Set struct {
	Name string
	// Type is the key's type as nft writes it, e.g. "ipv4_addr . inet_service".
	Type string
	// TypeOf is the key as rules write it, where a part of it has no name; empty
	// for all others.
	TypeOf string
	// Value is "verdict" or "counter" for a map, empty for a set.
	Value string
	// Interval: elements may be ranges. Such a set never changes.
	Interval bool
	// Timeout is how long elements stay that packets add; Size is then how many
	// there can be. Both are zero for all other sets.
	Timeout time.Duration
	Size    uint64
	// Elements are sorted by key. Those that packets add are not among them.
	Elements []Element
}

// Element is an element of a set, with its value if the set is a map.
type Element struct {
	// Key joins the parts with " . ".
	Key, Value string
}

// Chain is a chain with its rules.
type Chain struct {
	Name string
	// Hook is nil but for base chains.
	Hook  *Hook
	Rules []Rule
}

// Hook is where a base chain hangs.
type Hook struct {
	Name     knftables.BaseChainHook
	Priority knftables.BaseChainPriority
	Policy   knftables.BaseChainPolicy
	// Device is for chains of the netdev family.
	Device string
}

// Rule is a rule as nft writes it.
type Rule struct {
	Text, Comment string
}

// Dynamic reports whether packets add elements to the set.
func (s *Set) Dynamic() bool { return s.Timeout != 0 }

func (s *Set) flags() []knftables.SetFlag {
	switch {
	case s.Interval:
		return []knftables.SetFlag{knftables.IntervalFlag}
	case s.Dynamic():
		return []knftables.SetFlag{knftables.DynamicFlag, knftables.TimeoutFlag}
	}
	return nil
}

// object is what declares the set.
func (s *Set) object() knftables.Object {
	if s.Value != "" {
		return &knftables.Map{Name: s.Name, Type: s.Type + " : " + s.Value, Flags: s.flags()}
	}
	out := &knftables.Set{Name: s.Name, Type: s.Type, Flags: s.flags()}
	if s.TypeOf != "" {
		out.Type, out.TypeOf = "", s.TypeOf
	}
	if s.Dynamic() {
		timeout, size := s.Timeout, s.Size
		out.Timeout, out.Size = &timeout, &size
	}
	return out
}

// reference is enough of the object to delete it.
func (s *Set) reference() knftables.Object {
	if s.Value != "" {
		return &knftables.Map{Name: s.Name}
	}
	return &knftables.Set{Name: s.Name}
}

func (s *Set) element(e Element) *knftables.Element {
	out := &knftables.Element{Key: strings.Split(e.Key, " . ")}
	if s.Value == "" {
		out.Set = s.Name
		return out
	}
	out.Map = s.Name
	if e.Value != "" {
		out.Value = []string{e.Value}
	}
	return out
}

func (c *Chain) object() *knftables.Chain {
	out := &knftables.Chain{Name: c.Name}
	if c.Hook != nil {
		kind, h := knftables.FilterType, *c.Hook
		out.Type, out.Hook, out.Priority, out.Policy = &kind, &h.Name, &h.Priority, &h.Policy
		if h.Device != "" {
			out.Device = &h.Device
		}
	}
	return out
}

func (c *Chain) rule(r Rule) *knftables.Rule {
	out := &knftables.Rule{Chain: c.Name, Rule: r.Text}
	if r.Comment != "" {
		out.Comment = &r.Comment
	}
	return out
}

func (r *Ruleset) sort() {
	slices.Sort(r.Counters)
	slices.SortFunc(r.Sets, func(a, b Set) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(r.Chains, func(a, b Chain) int { return strings.Compare(a.Name, b.Name) })
}
