package policy_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/spectest"
)

// labelWorlds are all labels of two keys with values that selectors of randomSelector
// name, with one that they do not, and without.
func labelWorlds() []map[string]string {
	values := []string{"", "x", "y", "z"}
	var out []map[string]string
	for _, a := range append(values, "left-out") {
		for _, b := range append(values, "left-out") {
			labels := map[string]string{}
			if a != "left-out" {
				labels["a"] = a
			}
			if b != "left-out" {
				labels["b"] = b
			}
			out = append(out, labels)
		}
	}
	return out
}

func randomSelector(r *rand.Rand) *metav1.LabelSelector {
	s := &metav1.LabelSelector{}
	values := []string{"", "x", "y"}
	for range r.IntN(4) {
		key := []string{"a", "b"}[r.IntN(2)]
		if r.IntN(4) == 0 {
			if s.MatchLabels == nil {
				s.MatchLabels = map[string]string{}
			}
			s.MatchLabels[key] = values[r.IntN(3)]
			continue
		}
		e := metav1.LabelSelectorRequirement{Key: key, Operator: []metav1.LabelSelectorOperator{
			metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn, metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist,
		}[r.IntN(4)]}
		if e.Operator == metav1.LabelSelectorOpIn || e.Operator == metav1.LabelSelectorOpNotIn {
			for i := range 1 + r.IntN(2) {
				e.Values = append(e.Values, values[(r.IntN(3)+i)%3])
			}
		}
		s.MatchExpressions = append(s.MatchExpressions, e)
	}
	return s
}

// Comparing selectors says the same as trying all labels on both.
func TestLabelSetsCompareAsTheirLabelsDo(t *testing.T) {
	worlds := labelWorlds()
	covers, overlaps, empty := 0, 0, 0
	for seed := range uint64(20_000) {
		r := spectest.Seeded(seed)
		one, two := randomSelector(r), randomSelector(r)
		s, errS := policy.NewLabelSet(one)
		o, errO := policy.NewLabelSet(two)
		if errS != nil || errO != nil {
			t.Fatalf("seed %d: %v, %v", seed, errS, errO)
		}
		wantCovers, wantOverlaps, wantEmpty := true, false, true
		for _, labels := range worlds {
			inS, inO := s.Contains(labels), o.Contains(labels)
			wantCovers = wantCovers && (inS || !inO)
			wantOverlaps = wantOverlaps || inS && inO
			wantEmpty = wantEmpty && !inS
			if inS != s.MayContain(labels, func(string) bool { return false }) {
				t.Fatalf("seed %d: %s: MayContain with all known differs from Contains of %v", seed, s, labels)
			}
		}
		if s.Covers(o) != wantCovers || s.Overlaps(o) != wantOverlaps || o.Overlaps(s) != wantOverlaps || s.Empty() != wantEmpty {
			t.Fatalf("seed %d: %q and %q: covers %v, overlaps %v, empty %v; want %v, %v, %v", seed, s, o,
				s.Covers(o), s.Overlaps(o), s.Empty(), wantCovers, wantOverlaps, wantEmpty)
		}
		for _, n := range []struct {
			is bool
			n  *int
		}{{wantCovers, &covers}, {wantOverlaps, &overlaps}, {wantEmpty, &empty}} {
			if n.is {
				*n.n++
			}
		}
	}
	if covers < 1000 || overlaps < 1000 || empty < 100 {
		t.Errorf("of 20000 cases %d cover, %d overlap, %d are empty: too few to prove anything", covers, overlaps, empty)
	}
}

// MayContain is true if the labels that are not known can be such that it matches.
func TestLabelSetsOfUnknownLabels(t *testing.T) {
	unknown := func(key string) bool { return key == "b" }
	for seed := range uint64(5_000) {
		s, err := policy.NewLabelSet(randomSelector(spectest.Seeded(seed)))
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range []string{"left-out", "", "x", "z"} {
			want := false
			for _, labels := range labelWorlds() {
				given, ok := labels["a"]
				if ok == (a != "left-out") && given == map[bool]string{true: a}[ok] {
					want = want || s.Contains(labels)
				}
			}
			known := map[string]string{}
			if a != "left-out" {
				known["a"] = a
			}
			if got := s.MayContain(known, unknown); got != want {
				t.Fatalf("seed %d: %q of a=%q: %v, want %v", seed, s, a, got, want)
			}
		}
	}
}

func TestLabelSetValues(t *testing.T) {
	tests := map[string]struct {
		selector metav1.LabelSelector
		want     string
	}{
		"matchLabels":     {metav1.LabelSelector{MatchLabels: map[string]string{"a": "x"}}, "[x] true"},
		"In":              {metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "In", Values: []string{"y", "x"}}}}, "[x y] true"},
		"In and NotIn":    {metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "In", Values: []string{"y", "x"}}, {Key: "a", Operator: "NotIn", Values: []string{"x"}}}}, "[y] true"},
		"NotIn":           {metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "NotIn", Values: []string{"x"}}}}, "[] false"},
		"another key":     {metav1.LabelSelector{MatchLabels: map[string]string{"b": "x"}}, "[] false"},
		"DoesNotExist":    {metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "DoesNotExist"}}}, "[] false"},
		"a contradiction": {metav1.LabelSelector{MatchLabels: map[string]string{"a": "x"}, MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "DoesNotExist"}}}, "[] true"},
	}
	for name, tt := range tests {
		s, err := policy.NewLabelSet(&tt.selector)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		values, known := s.Values("a")
		if got := fmt.Sprint(values, known); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

// A selector that does not parse matches nothing, and nil everything.
func TestLabelSetOfNothing(t *testing.T) {
	bad, err := policy.NewLabelSet(&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}})
	if err == nil || !bad.Empty() || bad.Contains(nil) || bad.All() {
		t.Errorf("%q, %v", bad, err)
	}
	all, err := policy.NewLabelSet(nil)
	if err != nil || !all.All() || !all.Contains(nil) || !all.Covers(bad) || bad.Covers(all) || all.Overlaps(bad) {
		t.Errorf("%q, %v", all, err)
	}
}
