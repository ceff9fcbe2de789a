package policy

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LabelSet is the set of all labels that a selector matches, so that selectors can
// be compared with one another: does one match all that the other does? The answer
// is about any Pod that may ever be, not about those of one cluster.
//
// It reads selectors as the [Index] does. What it takes for granted is that a label
// can have more values than any selector lists.
type LabelSet struct {
	sel *selector
	// keys are sorted: what each key that the selector names may be.
	keys []keySet
}

// keySet is what the label of one key may be.
type keySet struct {
	key string
	// absent: the label may be left out.
	absent bool
	// values are those that it may have or, with except, those that it may not.
	except bool
	values []string
}

// anything is what a key may be that a selector does not name.
var anything = keySet{absent: true, except: true}

// NewLabelSet reads a selector; nil and the empty one match everything. One that
// does not parse matches nothing, and the error says why.
func NewLabelSet(s *metav1.LabelSelector) (LabelSet, error) {
	sel, err := parseSelector(s)
	if err != nil {
		return LabelSet{}, err
	}
	set := LabelSet{sel: sel}
	for i := range sel.reqs {
		k := keySetOf(&sel.reqs[i])
		at, found := slices.BinarySearchFunc(set.keys, k.key, func(a keySet, key string) int { return strings.Compare(a.key, key) })
		if found {
			set.keys[at] = set.keys[at].and(k)
		} else {
			set.keys = slices.Insert(set.keys, at, k)
		}
	}
	return set, nil
}

func keySetOf(r *requirement) keySet {
	switch r.op {
	case opIn:
		return keySet{key: r.key, values: r.values}
	case opNotIn:
		return keySet{key: r.key, absent: true, except: true, values: r.values}
	case opExists:
		return keySet{key: r.key, except: true}
	}
	return keySet{key: r.key, absent: true}
}

// String is the selector in canonical form: "app=web,tier!=db"; "*" matches
// everything.
func (s LabelSet) String() string {
	if s.sel == nil {
		return "nothing"
	}
	return s.sel.text
}

// Contains reports whether the selector matches labels.
func (s LabelSet) Contains(labels map[string]string) bool {
	return s.sel != nil && s.sel.matches(listLabels(labels))
}

// MayContain is Contains where it is not known what the labels of some keys are:
// whether there are labels that match.
func (s LabelSet) MayContain(labels map[string]string, unknown func(key string) bool) bool {
	if s.Empty() {
		return false
	}
	list := listLabels(labels)
	for i := range s.sel.reqs {
		if r := &s.sel.reqs[i]; !unknown(r.key) && !r.matches(list) {
			return false
		}
	}
	return true
}

// All reports whether the selector matches everything because it demands nothing.
func (s LabelSet) All() bool { return s.sel != nil && len(s.sel.reqs) == 0 }

// Empty reports whether no labels can ever match: the selector contradicts itself.
func (s LabelSet) Empty() bool {
	return s.sel == nil || slices.ContainsFunc(s.keys, keySet.empty)
}

// Covers reports whether s matches all that o matches.
func (s LabelSet) Covers(o LabelSet) bool {
	if o.Empty() {
		return true
	}
	if s.sel == nil {
		return false
	}
	for _, k := range s.keys {
		if !k.covers(o.key(k.key)) {
			return false
		}
	}
	return true
}

// Overlaps reports whether some labels match both.
func (s LabelSet) Overlaps(o LabelSet) bool {
	if s.Empty() || o.Empty() {
		return false
	}
	for _, k := range s.keys {
		if k.and(o.key(k.key)).empty() {
			return false
		}
	}
	return true
}

// Values are all that the label of key can be in labels that match; known is false
// if that is no list, or if it may be left out.
func (s LabelSet) Values(key string) (values []string, known bool) {
	k := s.key(key)
	if s.sel == nil || k.absent || k.except {
		return nil, false
	}
	return slices.Clone(k.values), true
}

func (s LabelSet) key(key string) keySet {
	at, found := slices.BinarySearchFunc(s.keys, key, func(a keySet, key string) int { return strings.Compare(a.key, key) })
	if !found {
		return anything
	}
	return s.keys[at]
}

func (k keySet) empty() bool { return !k.absent && !k.except && len(k.values) == 0 }

// covers reports whether all that o may be, k may be.
func (k keySet) covers(o keySet) bool {
	switch {
	case o.absent && !k.absent:
		return false
	case o.except && !k.except:
		return false
	case o.except:
		// What k leaves out o must leave out, too.
		return containsAll(o.values, k.values)
	case k.except:
		return !slices.ContainsFunc(o.values, func(v string) bool { return slices.Contains(k.values, v) })
	}
	return containsAll(k.values, o.values)
}

// and is what both may be.
func (k keySet) and(o keySet) keySet {
	out := keySet{key: k.key, absent: k.absent && o.absent}
	switch {
	case k.except && o.except:
		out.except = true
		out.values = slices.Concat(k.values, o.values)
		slices.Sort(out.values)
		out.values = slices.Compact(out.values)
	case k.except:
		return keySet{key: k.key, absent: out.absent, values: valuesWithout(o.values, k.values)}
	case o.except:
		out.values = valuesWithout(k.values, o.values)
	default:
		for _, v := range k.values {
			if slices.Contains(o.values, v) {
				out.values = append(out.values, v)
			}
		}
	}
	return out
}

func containsAll(list, of []string) bool {
	return !slices.ContainsFunc(of, func(v string) bool { return !slices.Contains(list, v) })
}

func valuesWithout(list, these []string) []string {
	var out []string
	for _, v := range list {
		if !slices.Contains(these, v) {
			out = append(out, v)
		}
	}
	return out
}
