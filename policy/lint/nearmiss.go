package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/spelling"
)

// term is one requirement of a selector, with its place.
type term struct {
	path path
	set  policy.LabelSet
	key  string
	// values are those of which a label must have one; nil for other requirements.
	values []string
}

// terms are the requirements of a selector that parses.
func terms(s *metav1.LabelSelector, at path) []term {
	var out []term
	add := func(one metav1.LabelSelector, at path, key string) {
		set, err := policy.NewLabelSet(&one)
		if err != nil {
			return
		}
		values, _ := set.Values(key)
		out = append(out, term{at, set, key, values})
	}
	for _, key := range slices.Sorted(maps.Keys(s.MatchLabels)) {
		add(metav1.LabelSelector{MatchLabels: map[string]string{key: s.MatchLabels[key]}}, at.at("matchLabels", key), key)
	}
	for i, e := range s.MatchExpressions {
		add(metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{e}}, at.at("matchExpressions", i), e.Key)
	}
	return out
}

// nearMiss is what would have been selected but for one label that is nearly right.
type nearMiss struct {
	// path is the requirement's.
	path path
	// asks is the requirement, has what the end has instead.
	asks, has string
	end       *end
	// sameKey: the value is nearly right; otherwise the key is another one.
	sameKey bool
}

func (n *nearMiss) String() string { return fmt.Sprintf("%s has %s", n.end.object, n.has) }

func (n *nearMiss) mend() string {
	if n.sameKey {
		return fmt.Sprintf("write %s, if these Pods are meant", n.has)
	}
	return fmt.Sprintf("select by %s, if these Pods are meant", n.has)
}

// nearest finds the first end that all requirements but one match, and that one
// nearly; nil if there is none. It is for selectors that match none of the ends.
func nearest(s *metav1.LabelSelector, at path, ends []*end) *nearMiss {
	if s == nil {
		return nil
	}
	list := terms(s, at)
	var best *nearMiss
	for _, e := range ends {
		missed := slices.DeleteFunc(slices.Clone(list), func(t term) bool { return e.may(t.set) })
		if len(missed) != 1 {
			continue
		}
		if n := missed[0].nearly(e); n != nil && (best == nil || n.sameKey && !best.sameKey) {
			best = n
		}
	}
	return best
}

// nearly reports how an end nearly meets the requirement.
func (t *term) nearly(e *end) *nearMiss {
	n := &nearMiss{path: t.path, asks: t.set.String(), end: e}
	if given, ok := e.pod.Labels[t.key]; ok {
		if !slices.ContainsFunc(t.values, func(v string) bool { return similar(v, given) }) {
			return nil
		}
		n.has, n.sameKey = t.key+"="+given, true
		return n
	}
	for _, key := range slices.Sorted(maps.Keys(e.pod.Labels)) {
		if slices.Contains(t.values, e.pod.Labels[key]) && nameKey(key) && nameKey(t.key) {
			n.has = key + "=" + e.pod.Labels[key]
			return n
		}
	}
	return nil
}

// nameKey reports whether a label is one of those by which workloads are told apart.
func nameKey(key string) bool {
	switch key {
	case "app", "name", "k8s-app", "component", "app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component", "service", "io.kompose.service":
		return true
	}
	return false
}

// similar reports whether one of two values may be a slip of the pen for the other:
// the same but for capitals and dashes, a plural, or one or two letters. Values that
// differ in digits, as db-1 and db-2, are two things.
func similar(a, b string) bool {
	plain := func(s string) string {
		return strings.NewReplacer("-", "", "_", "", ".", "").Replace(strings.ToLower(s))
	}
	letters := func(s string) string { return strings.Trim(strings.Map(dropDigit, s), "-_.") }
	switch p, q := plain(a), plain(b); {
	case a == b || letters(a) == letters(b) && plain(a) != plain(b):
		return false
	case p == q, p+"s" == q, q+"s" == p:
		return p != ""
	}
	longest := max(len(a), len(b))
	return longest >= 5 && spelling.Distance(a, b, 1) <= 1 || longest >= 8 && spelling.Distance(a, b, 2) <= 2
}

func dropDigit(r rune) rune {
	if '0' <= r && r <= '9' {
		return -1
	}
	return r
}

// whatIsThere says what labels the ends have for the keys that a selector asks for,
// so that a reader need not look.
func whatIsThere(s *metav1.LabelSelector, ends []*end) string {
	if s == nil {
		return ""
	}
	for _, t := range terms(s, nil) {
		if slices.ContainsFunc(ends, func(e *end) bool { return e.may(t.set) }) {
			continue
		}
		values := map[string]bool{}
		for _, e := range ends {
			if v, ok := e.pod.Labels[t.key]; ok {
				values[v] = true
			}
		}
		if len(values) == 0 {
			return "none of them has a label " + t.key
		}
		list := slices.Sorted(maps.Keys(values))
		if len(list) > 5 {
			list = append(list[:5], "…")
		}
		return fmt.Sprintf("of %s they have %s", t.key, strings.Join(list, ", "))
	}
	return "none of them has all of these labels"
}

// many writes a number with its noun.
func many(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
