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
	Name  string
	Key   KeyType
	Value ValueType
	// Interval: elements may be ranges. Such a set never changes.
	Interval bool
	// Timeout is how long elements stay that packets add. It is zero for all other sets.
	Timeout time.Duration
	// Size is how many there can be, 0 without a limit.
	Size uint64
	// Elements are sorted by key. Those that packets add are not among them.
	Elements []Element
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

// Dynamic reports whether packets add elements to the set.
func (s *Set) Dynamic() bool { return s.Timeout != 0 }

// Unnamed reports whether nft has no name for a part of the key's type: it must be given
// a field that has it.
func (s *Set) Unnamed() bool { return slices.Contains(s.Key[:], Integer) }

func (r *Ruleset) sort() {
	slices.Sort(r.Counters)
	slices.SortFunc(r.Sets, func(a, b Set) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(r.Chains, func(a, b Chain) int { return strings.Compare(a.Name, b.Name) })
}
