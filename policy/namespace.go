package policy

import (
	"slices"
	"strings"
)

// namespace exists while it is known, has Pods or policies, or is the scope of
// a group in use.
type namespace struct {
	name string
	// known: the Namespace object was given; before, no namespaceSelector
	// matches.
	known  bool
	labels labelList

	// pods are sorted by name.
	pods []*entry
	// locals are the Pods of this node, whatever their state.
	locals map[*entry]struct{}
	// contenders are the Pods that share addresses, local or not, with how many.
	contenders map[*entry]int
	// classes by the hash of their labels; size counts them.
	classes map[uint64]*class
	size    int
	// judged are the classes of which it is known which policies select them: those
	// of local Pods, and whom else somebody asked about.
	judged map[*class]struct{}
	// lastChosen is what was found for the last of them, which others often share.
	lastChosen *selection
	// scopes in use that the namespace is in.
	scopes []*scope

	policies   []*parsed // sorted by name
	policiesBy anchored[*parsed]
	// asleep are the policies until the namespace is awake, sorted by name.
	asleep []dormant
	awake  bool
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

// policy returns the policy of that name, nil if there is none, and where in
// ns.policies it is or belongs.
func (ns *namespace) policy(name string) (p *parsed, at int) {
	at, found := slices.BinarySearchFunc(ns.policies, name, func(p *parsed, name string) int { return strings.Compare(p.Name, name) })
	if found {
		p = ns.policies[at]
	}
	return p, at
}

func (x *Index) dropIfEmpty(ns *namespace) {
	if ns.known || len(ns.pods)+len(ns.policies)+len(ns.asleep) > 0 {
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
	if ns.known && ns.labels.same(labels) {
		return
	}
	x.relabel(ns, true, listLabels(labels))
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
func (x *Index) relabel(ns *namespace, known bool, labels labelList) {
	x.past.namespace(ns)
	for _, l := range ns.labels {
		removeFrom(x.spaces, l, ns)
	}
	if known && !ns.known {
		x.counts.Namespaces++
	} else if ns.known && !known {
		x.counts.Namespaces--
	}
	audited := ns.audits()
	ns.known, ns.labels = known, labels
	x.changeMode(ns, audited)
	for _, l := range labels {
		x.spaces[l] = append(x.spaces[l], ns)
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
		for _, ns := range x.spaces[label{best.key, value}] {
			check(ns)
		}
	}
}
