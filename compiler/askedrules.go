package compiler

import "encoding/binary"

// askedRules has what some of a set's rules came to, by the rules. Most questions are
// about one rule, whose answer needs no key.
type askedRules[T any] struct {
	alone []answered[T]
	known map[string]T
	key   []byte
}

type answered[T any] struct {
	value T
	there bool
}

// newAskedRules is for questions about so many rules, 0 where few are asked.
func newAskedRules[T any](rules int) askedRules[T] {
	return askedRules[T]{alone: make([]answered[T], rules), known: map[string]T{}}
}

// of is the answer about some rules, in ascending order.
func (a *askedRules[T]) of(covering []int) (value T, there bool) {
	if len(covering) == 1 && len(a.alone) > 0 {
		known := &a.alone[covering[0]]
		return known.value, known.there
	}
	a.key = a.key[:0]
	for _, i := range covering {
		a.key = binary.LittleEndian.AppendUint32(a.key, uint32(i))
	}
	value, there = a.known[string(a.key)]
	return value, there
}

// put is the answer to the last question of [askedRules.of], which was about these rules.
func (a *askedRules[T]) put(covering []int, value T) {
	if len(covering) == 1 && len(a.alone) > 0 {
		a.alone[covering[0]] = answered[T]{value, true}
	} else {
		a.known[string(a.key)] = value
	}
}
