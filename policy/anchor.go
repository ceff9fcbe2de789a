package policy

import "slices"

// label is a key with its value.
type label struct{ key, value string }

// anchored holds things that are found by a selector, such that those that
// can match given labels are found without looking at the others: each hangs
// on one requirement of its selector, the anchor. The zero value is ready.
type anchored[T comparable] struct {
	byLabel map[label][]T  // In: once for each value
	byKey   map[string][]T // Exists
	rest    []T            // the first few, and those whose selector demands no label
}

// noAnchor says that a thing is in rest.
const noAnchor = -1

// few things need no anchors: looking at them all costs less than the maps, of
// which there would be some for every namespace.
const few = 8

// add returns the anchor that remove must be given.
func (a *anchored[T]) add(s *selector, v T) int {
	at := noAnchor
	if len(a.rest) >= few || len(a.byLabel)+len(a.byKey) > 0 {
		at = a.choose(s)
	}
	if at == noAnchor {
		a.rest = append(a.rest, v)
		return at
	}
	r := &s.reqs[at]
	if r.op == opExists {
		if a.byKey == nil {
			a.byKey = map[string][]T{}
		}
		a.byKey[r.key] = append(a.byKey[r.key], v)
		return at
	}
	if a.byLabel == nil {
		a.byLabel = map[label][]T{}
	}
	for _, value := range r.values {
		l := label{r.key, value}
		a.byLabel[l] = append(a.byLabel[l], v)
	}
	return at
}

// choose prefers the requirement on which the least hangs already, so that a
// value that all selectors name does not become everybody's anchor.
func (a *anchored[T]) choose(s *selector) int {
	best, load := noAnchor, 0
	for i := range s.reqs {
		r := &s.reqs[i]
		n := 0
		switch r.op {
		case opIn:
			for _, value := range r.values {
				n += 1 + len(a.byLabel[label{r.key, value}])
			}
		case opExists:
			n = 1 + len(a.byKey[r.key])
		default:
			continue
		}
		if best == noAnchor || n < load {
			best, load = i, n
		}
	}
	return best
}

func (a *anchored[T]) remove(s *selector, at int, v T) {
	if at == noAnchor {
		a.rest = without(a.rest, v)
		return
	}
	r := &s.reqs[at]
	if r.op == opExists {
		removeFrom(a.byKey, r.key, v)
		return
	}
	for _, value := range r.values {
		removeFrom(a.byLabel, label{r.key, value}, v)
	}
}

// candidates visits, each once, all whose selector may match labels. Labels
// have one value for a key, so no two anchors of a selector can both match.
func (a *anchored[T]) candidates(of labels, visit func(T)) {
	if len(a.byLabel)+len(a.byKey) > 0 {
		of.each(func(k, v string) {
			for _, t := range a.byLabel[label{k, v}] {
				visit(t)
			}
			for _, t := range a.byKey[k] {
				visit(t)
			}
		})
	}
	for _, t := range a.rest {
		visit(t)
	}
}

// without removes v from list, in place and without keeping the order.
func without[T comparable](list []T, v T) []T {
	i := slices.Index(list, v)
	if i < 0 {
		return list
	}
	last := len(list) - 1
	list[i] = list[last]
	var zero T
	list[last] = zero
	return list[:last]
}

func removeFrom[K, T comparable](m map[K][]T, k K, v T) {
	if list := without(m[k], v); len(list) > 0 {
		m[k] = list
	} else {
		delete(m, k)
	}
}
