package compiler

import (
	"cmp"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/policy"
)

// lookup is the Pods of some groups with the ports that they have under some names:
// what one rule for egress to named ports allows, or several that differ in one of
// both lists. They are sorted, each once.
type lookup struct {
	groups []policy.GroupKey
	names  []policy.NamedPortRef
}

// lookups are those of the rules, but for the groups that the chain lets pass anyway.
// A rule is never written as the product of its lists: each stays as long as it is.
func (a *allowance) lookups(rules []policy.AllowRule) []lookup {
	var list []lookup
	for i := range rules {
		if len(rules[i].NamedPorts) == 0 {
			continue
		}
		l := lookup{groups: slices.Clone(rules[i].NamedGroups), names: slices.Clone(rules[i].NamedPorts)}
		if l.groups = a.without(peers{groups: l.groups}).groups; len(l.groups) > 0 {
			list = append(list, l.tidy())
		}
	}
	list = merge(list, lookup.namesKey, func(l *lookup, o lookup) { l.groups = append(l.groups, o.groups...) })
	list = merge(list, lookup.groupsKey, func(l *lookup, o lookup) { l.names = append(l.names, o.names...) })
	slices.SortFunc(list, func(a, b lookup) int {
		return cmp.Or(slices.Compare(a.groups, b.groups), slices.CompareFunc(a.names, b.names, compareNamed))
	})
	return list
}

// merge joins lookups that have the same key.
func merge(list []lookup, key func(lookup) string, join func(*lookup, lookup)) []lookup {
	var out []lookup
	known := map[string]int{}
	for _, l := range list {
		k := key(l)
		if at, ok := known[k]; ok {
			join(&out[at], l)
			continue
		}
		known[k] = len(out)
		out = append(out, l)
	}
	for i := range out {
		out[i] = out[i].tidy()
	}
	return out
}

func (l lookup) tidy() lookup {
	slices.Sort(l.groups)
	l.groups = slices.Compact(l.groups)
	slices.SortFunc(l.names, compareNamed)
	l.names = slices.Compact(l.names)
	return l
}

func compareNamed(a, b policy.NamedPortRef) int {
	return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Name, b.Name))
}

func (l lookup) groupsKey() string {
	var b strings.Builder
	for _, g := range l.groups {
		b.WriteString("\n" + strconv.Quote(string(g)))
	}
	return b.String()
}

func (l lookup) namesKey() string {
	var b strings.Builder
	for _, n := range l.names {
		b.WriteString(" " + strconv.Itoa(int(n.Protocol)) + " " + strconv.Quote(n.Name))
	}
	return b.String()
}

// namedPeers finds the ports of Pods that lookups let pass. It is as large as these,
// and what it costs to ask about a Pod is a matter of the Pod's own ports.
type namedPeers struct {
	lookups []lookup
	// of is which lookups have a group, by which have a name, sorted.
	of map[policy.GroupKey][]int32
	by map[policy.NamedPortRef][]int32
}

func newNamedPeers(lookups []lookup) *namedPeers {
	n := &namedPeers{lookups: lookups, of: map[policy.GroupKey][]int32{}, by: map[policy.NamedPortRef][]int32{}}
	for i := range lookups {
		for _, g := range lookups[i].groups {
			n.of[g] = append(n.of[g], int32(i))
		}
		for _, name := range lookups[i].names {
			n.by[name] = append(n.by[name], int32(i))
		}
	}
	return n
}

// content is all that decides about the elements.
func (n *namedPeers) content() string {
	var b strings.Builder
	for _, l := range n.lookups {
		b.WriteString(l.groupsKey() + l.namesKey())
	}
	return b.String()
}

// ports yields those of a member of a group that pass, each protocol and number
// once.
func (n *namedPeers) ports(g policy.GroupKey, ports []policy.NamedPort) iter.Seq[policy.NamedPort] {
	return func(yield func(policy.NamedPort) bool) {
		of := n.of[g]
		passing := make([]policy.NamedPort, 0, 8)
		for _, p := range ports {
			if meet(of, n.by[policy.NamedPortRef{Protocol: p.Protocol, Name: p.Name}]) {
				passing = append(passing, policy.NamedPort{Protocol: p.Protocol, Number: p.Number})
			}
		}
		slices.SortFunc(passing, func(a, b policy.NamedPort) int {
			return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Number, b.Number))
		})
		for _, p := range slices.Compact(passing) {
			if !yield(p) {
				return
			}
		}
	}
}

// meet reports whether two sorted lists have something in common.
func meet(a, b []int32) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	for _, v := range a {
		if _, found := slices.BinarySearch(b, v); found {
			return true
		}
	}
	return false
}
