package policy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

func selectorFromYAML(t testing.TB, manifest string) *metav1.LabelSelector {
	t.Helper()
	s := &metav1.LabelSelector{}
	if err := yaml.UnmarshalStrict([]byte(manifest), s); err != nil {
		t.Fatalf("test manifest: %v", err)
	}
	return s
}

func TestSelectorCanonicalForm(t *testing.T) {
	for _, c := range []struct{ manifest, want string }{
		{`{}`, "*"},
		{`{matchLabels: {}, matchExpressions: []}`, "*"},
		{`{matchLabels: {b: "2", a: "1"}}`, "a=1,b=2"},
		{`{matchExpressions: [{key: a, operator: In, values: ["1"]}], matchLabels: {a: "1"}}`, "a=1"},
		{`{matchExpressions: [{key: a, operator: In, values: [z, x, z]}]}`, "a in (x,z)"},
		{`{matchExpressions: [{key: a, operator: NotIn, values: [x, x]}]}`, "a!=x"},
		{`{matchExpressions: [{key: a, operator: NotIn, values: [z, x]}]}`, "a notin (x,z)"},
		{`{matchExpressions: [{key: b, operator: Exists}, {key: a, operator: DoesNotExist}]}`, "!a,b"},
		{`{matchLabels: {k: ""}}`, "k="},
	} {
		s, err := parseSelector(selectorFromYAML(t, c.manifest))
		if err != nil || s.text != c.want {
			t.Errorf("%s is %v, %v; want %s", c.manifest, s, err, c.want)
		}
	}
}

func TestSelectorRefused(t *testing.T) {
	for _, c := range []struct{ manifest, want string }{
		{`{matchExpressions: [{key: a, operator: Equals, values: [x]}]}`, `matchExpressions[0]: unknown operator "Equals"`},
		{`{matchExpressions: [{key: a, operator: In}]}`, "matchExpressions[0]: operator In needs values"},
		{`{matchExpressions: [{key: a, operator: Exists, values: [x]}]}`, "matchExpressions[0]: operator Exists takes no values"},
		{`{matchLabels: {"": x}}`, `invalid label key ""`},
		{`{matchLabels: {a: "x,b=y"}}`, `invalid value "x,b=y" of label a`},
	} {
		if s, err := parseSelector(selectorFromYAML(t, c.manifest)); s != nil || errorText(err) != c.want {
			t.Errorf("%s: %v, %v; want %s", c.manifest, s, err, c.want)
		}
	}
}

func TestSelectorMatches(t *testing.T) {
	labels := map[string]string{"app": "web", "empty": ""}
	for _, c := range []struct {
		manifest string
		want     bool
	}{
		{`{}`, true},
		{`{matchLabels: {app: web}}`, true},
		{`{matchLabels: {app: api}}`, false},
		{`{matchLabels: {empty: ""}}`, true},
		{`{matchLabels: {absent: ""}}`, false},
		{`{matchExpressions: [{key: app, operator: In, values: [api, web]}]}`, true},
		{`{matchExpressions: [{key: absent, operator: In, values: [""]}]}`, false},
		{`{matchExpressions: [{key: app, operator: NotIn, values: [web]}]}`, false},
		{`{matchExpressions: [{key: absent, operator: NotIn, values: [web]}]}`, true},
		{`{matchExpressions: [{key: empty, operator: Exists}]}`, true},
		{`{matchExpressions: [{key: absent, operator: Exists}]}`, false},
		{`{matchExpressions: [{key: absent, operator: DoesNotExist}]}`, true},
		{`{matchExpressions: [{key: empty, operator: DoesNotExist}]}`, false},
		{`{matchLabels: {app: web}, matchExpressions: [{key: app, operator: NotIn, values: [web]}]}`, false},
	} {
		s, err := parseSelector(selectorFromYAML(t, c.manifest))
		if err != nil {
			t.Fatal(err)
		}
		if s.matches(listLabels(labels)) != c.want {
			t.Errorf("%s: %v, want %v", c.manifest, !c.want, c.want)
		}
	}
}

// TestAnchoredFindsAll compares with looking at every selector.
func TestAnchoredFindsAll(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	word := func(n int) string { return fmt.Sprint(r.IntN(n)) }
	type item struct {
		s  *selector
		at int
	}
	var a anchored[*item]
	var items []*item
	for round := range 5_000 {
		if len(items) > 60 || len(items) > 0 && r.IntN(3) == 0 {
			i := r.IntN(len(items))
			a.remove(items[i].s, items[i].at, items[i])
			items = slices.Delete(items, i, i+1)
		}
		var in metav1.LabelSelector
		for range r.IntN(3) {
			op := []metav1.LabelSelectorOperator{"In", "NotIn", "Exists", "DoesNotExist"}[r.IntN(4)]
			e := metav1.LabelSelectorRequirement{Key: word(3), Operator: op}
			if op == "In" || op == "NotIn" {
				e.Values = []string{word(3), word(3)}
			}
			in.MatchExpressions = append(in.MatchExpressions, e)
		}
		s, err := parseSelector(&in)
		if err != nil {
			t.Fatal(err)
		}
		it := &item{s: s}
		it.at = a.add(s, it)
		items = append(items, it)

		labels := map[string]string{word(3): word(3), word(3): word(3)}
		seen := map[*item]int{}
		a.candidates(listLabels(labels), func(i *item) { seen[i]++ })
		for _, i := range items {
			if i.s.matches(listLabels(labels)) && seen[i] != 1 || seen[i] > 1 {
				t.Fatalf("round %d: %s is seen %d times for %v", round, i.s.text, seen[i], labels)
			}
			delete(seen, i)
		}
		if len(seen) > 0 {
			t.Fatalf("round %d: %d removed selectors are still there", round, len(seen))
		}
	}
	for _, i := range items {
		a.remove(i.s, i.at, i)
	}
	if n := len(a.byKey) + len(a.byLabel) + len(a.rest); n > 0 {
		t.Errorf("%d places are left", n)
	}
}
