package rulesim

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Errors as the kernel gives them.
var (
	ErrExists   = errors.New("File exists")
	ErrNotFound = errors.New("No such file or directory")
	ErrBusy     = errors.New("Device or resource busy")
	ErrFull     = errors.New("Too many open files in system")
	ErrLinks    = errors.New("Too many links")
)

// refs counts who refers to an object.
type refs struct{ n int }

type dataKind uint8

const (
	noData dataKind = iota
	verdictData
	counterData
)

// set is a set or a map, also an anonymous one.
type set struct {
	refs
	name string
	key  []*datatype
	data dataKind
	// intervals: the set holds intervals, as an rbtree if its key has one
	// field, as a pipapo if it is a concatenation.
	intervals, dynamic, timeout bool
	size                        int
	declared                    string

	hash   map[string]*element
	ranges []*element
	// starts finds the intervals of a pipapo by their first field where that
	// is a single value; the others are in wide.
	starts map[string][]*element
	wide   []*element
}

type element struct {
	spans []span
	// lo is the whole key, the lower end of an interval.
	lo      string
	verdict verdict
	counter *counter
	limiter limiter
}

func newSet(name string) *set {
	return &set{name: name, hash: map[string]*element{}, starts: map[string][]*element{}}
}

func (s *set) isMap() bool { return s.data != noData }

func (s *set) pipapo() bool { return s.intervals && len(s.key) > 1 }

func (s *set) width() int {
	n := 0
	for _, d := range s.key {
		n += d.width
	}
	return n
}

func (s *set) len() int { return len(s.hash) + len(s.ranges) }

func (s *set) all() []*element {
	out := slices.Clone(s.ranges)
	for _, e := range s.hash {
		out = append(out, e)
	}
	return out
}

// same reports whether the data of two elements are equal.
func (e *element) same(o *element) bool { return e.verdict == o.verdict && e.counter == o.counter }

func (e *element) equalKey(o *element) bool { return slices.Equal(e.spans, o.spans) }

func (e *element) overlaps(o *element) bool {
	for i, a := range e.spans {
		if b := o.spans[i]; a.hi < b.lo || b.hi < a.lo {
			return false
		}
	}
	return true
}

func (e *element) contains(key string) bool {
	at := 0
	for _, s := range e.spans {
		part := key[at : at+len(s.lo)]
		if part < s.lo || part > s.hi {
			return false
		}
		at += len(s.lo)
	}
	return true
}

// find looks a packet's key up.
func (s *set) find(key []byte) *element {
	if !s.intervals {
		return s.hash[string(key)]
	}
	if !s.pipapo() {
		i := sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i].lo > string(key) })
		if i > 0 && s.ranges[i-1].contains(string(key)) {
			return s.ranges[i-1]
		}
		return nil
	}
	for _, list := range [][]*element{s.starts[string(key[:s.key[0].width])], s.wide} {
		for _, e := range list {
			if e.contains(string(key)) {
				return e
			}
		}
	}
	return nil
}

// clash is the element that stands where e wants to be: the same, or one that
// overlaps.
func (s *set) clash(e *element) *element {
	if !s.intervals {
		return s.hash[e.lo]
	}
	if !s.pipapo() {
		i := sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i].lo >= e.lo })
		for _, at := range []int{i - 1, i} {
			if at >= 0 && at < len(s.ranges) && s.ranges[at].overlaps(e) {
				return s.ranges[at]
			}
		}
		return nil
	}
	for _, o := range s.ranges {
		if o.overlaps(e) {
			return o
		}
	}
	return nil
}

// insert adds e. It reports whether the set changed: an equal element that is
// already there is no error.
func (s *set) insert(e *element) (bool, error) {
	if old := s.clash(e); old != nil {
		if old.equalKey(e) && old.same(e) {
			return false, nil
		}
		return false, fmt.Errorf("element %s beside %s of %s: %w", s.showKey(e), s.showKey(old), s.name, ErrExists)
	}
	if s.size > 0 && s.len() >= s.size {
		return false, fmt.Errorf("%s is full: %w", s.name, ErrFull)
	}
	s.put(e)
	return true, nil
}

// put adds an element that clashes with none.
func (s *set) put(e *element) {
	if !s.intervals {
		s.hash[e.lo] = e
		return
	}
	i, _ := slices.BinarySearchFunc(s.ranges, e, func(a, b *element) int { return cmp.Compare(a.lo, b.lo) })
	s.ranges = slices.Insert(s.ranges, i, e)
	if s.pipapo() {
		s.index(e)
	}
}

func (s *set) index(e *element) {
	if first := e.spans[0]; first.lo == first.hi {
		s.starts[first.lo] = append(s.starts[first.lo], e)
	} else {
		s.wide = append(s.wide, e)
	}
}

// remove takes the element with e's key out.
func (s *set) remove(e *element) (*element, error) {
	old := s.clash(e)
	if old == nil {
		return nil, fmt.Errorf("delete element %s of %s: %w", s.showKey(e), s.name, ErrNotFound)
	}
	if !old.equalKey(e) {
		return nil, fmt.Errorf("delete element %s of %s would delete %s", s.showKey(e), s.name, s.showKey(old))
	}
	s.drop(old)
	return old, nil
}

func (s *set) drop(e *element) {
	if !s.intervals {
		delete(s.hash, e.lo)
		return
	}
	s.ranges = slices.DeleteFunc(s.ranges, func(o *element) bool { return o == e })
	if s.pipapo() {
		clear(s.starts)
		s.wide = nil
		for _, o := range s.ranges {
			s.index(o)
		}
	}
}

func (s *set) showKey(e *element) string {
	parts := make([]string, len(e.spans))
	for i, sp := range e.spans {
		parts[i] = s.key[i].showSpan(sp)
	}
	return strings.Join(parts, " . ")
}

// hold adds n to the references that the element's data makes.
func (e *element) hold(n int) {
	if e.verdict.chain != nil {
		e.verdict.chain.n += n
	}
	if e.counter != nil {
		e.counter.n += n
	}
}
