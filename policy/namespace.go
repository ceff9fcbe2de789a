package policy

import (
	"maps"
	"slices"
)

// namespace exists while it is known, has Pods or policies, or is the scope of
// a group in use.
type namespace struct {
	name string
	// known: the Namespace object was given; before, no namespaceSelector
	// matches.
	known  bool
	labels labelMap

	// pods are sorted by name.
	pods []*entry
	// locals are the Pods of this node, whatever their state.
	locals map[*entry]struct{}
	// classes by the hash of their labels; size counts them.
	classes map[uint64]*class
	size    int
	// scopes in use that the namespace is in.
	scopes []*scope

	policies   map[string]*parsed
	policiesBy anchored[*parsed]
}

// namespace returns the namespace, which comes into being as unknown.
func (x *Index) namespace(name string) *namespace {
	ns := x.namespaces[name]
	if ns == nil {
		ns = &namespace{
			name:    name,
			classes: map[uint64]*class{},
		}
		x.namespaces[name] = ns
		if s := x.scopes[allPods.in.text]; s != nil {
			x.enter(s, ns)
		}
	}
	return ns
}

func (x *Index) dropIfEmpty(ns *namespace) {
	if ns.known || len(ns.pods)+len(ns.policies) > 0 {
		return
	}
	for _, s := range ns.scopes {
		if s.fixed {
			return
		}
	}
	for _, s := range ns.scopes {
		delete(s.spaces, ns)
	}
	ns.scopes = nil
	delete(x.namespaces, ns.name)
}

// SetNamespace adds a Namespace or replaces its labels.
func (x *Index) SetNamespace(name string, labels map[string]string) {
	ns := x.namespace(name)
	if ns.known && maps.Equal(ns.labels, labels) {
		return
	}
	x.relabel(ns, true, maps.Clone(labels))
}

// DeleteNamespace forgets a Namespace. Its Pods and policies stay until they
// are deleted, but no namespaceSelector matches them any more.
func (x *Index) DeleteNamespace(name string) {
	if ns := x.namespaces[name]; ns != nil && ns.known {
		x.relabel(ns, false, nil)
		x.dropIfEmpty(ns)
	}
}

// relabel visits the scopes whose selectors can match the new labels and
// those that the namespace is in, and no others.
func (x *Index) relabel(ns *namespace, known bool, labels map[string]string) {
	for k, v := range ns.labels {
		spaces := x.spaces[label{k, v}]
		if delete(spaces, ns); len(spaces) == 0 {
			delete(x.spaces, label{k, v})
		}
	}
	if known && !ns.known {
		x.counts.Namespaces++
	} else if ns.known && !known {
		x.counts.Namespaces--
	}
	ns.known, ns.labels = known, labels
	for k, v := range ns.labels {
		if x.spaces[label{k, v}] == nil {
			x.spaces[label{k, v}] = map[*namespace]struct{}{}
		}
		x.spaces[label{k, v}][ns] = struct{}{}
	}
	for _, s := range slices.Clone(ns.scopes) {
		x.looked++
		if s.sel != nil && !s.matches(ns) {
			x.leave(s, ns)
		}
	}
	if !known {
		return
	}
	x.scopesBy.candidates(ns.labels, func(s *scope) {
		x.looked++
		if _, in := s.spaces[ns]; !in && s.matches(ns) {
			x.enter(s, ns)
		}
	})
}

// namespacesOf visits the known namespaces that s matches, through the label
// that the fewest have.
func (x *Index) namespacesOf(s *selector, visit func(*namespace)) {
	check := func(ns *namespace) {
		x.looked++
		if ns.known && s.matches(ns.labels) {
			visit(ns)
		}
	}
	best, _ := x.shortest(s, len(x.namespaces), func(l label) int { return len(x.spaces[l]) })
	if best == nil {
		for _, ns := range x.namespaces {
			check(ns)
		}
		return
	}
	for _, value := range best.values {
		for ns := range x.spaces[label{best.key, value}] {
			check(ns)
		}
	}
}
