package manifest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Keys that stand twice are found whatever else the document has: a policy of which one of
// them is lost isolates and allows nothing.
func TestKeysThatStandTwice(t *testing.T) {
	const head = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: shop}\nspec:\n  podSelector: {}\n"
	const above = "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}\n---\n"
	twice := func(line int, key string) []string {
		return []string{fmt.Sprintf("f.yaml:%d: not valid YAML: key %q stands twice in one mapping: remove one", line+strings.Count(above, "\n"), key)}
	}
	indented := strings.ReplaceAll(strings.TrimSuffix(head, "\n"), "\n", "\n  ")
	for _, c := range []struct {
		name, in string
		problems []string
		// rules are those of the policies.
		rules []int
	}{
		{"a comment with <<", head + "  # see <<runbook>>\n  ingress: []\n  ingress: [{}]\n", twice(8, "ingress"), []int{0}},
		{"a string with <<", head + "  ingress: []\n  ingress: [{}]\n# x: <<: y\n", twice(7, "ingress"), []int{0}},
		{"a merge key", head + "  ingress: []\n  ingress: [{<<: {from: []}}]\n", twice(7, "ingress"), []int{0}},
		{"the key is also merged", head + "  <<: &m {ingress: [{}]}\n  ingress: []\n  ingress: [{}]\n", twice(8, "ingress"), []int{0}},
		{"in what is merged", head + "  <<: {ingress: [], ingress: [{}]}\n  ingress: []\n", twice(6, "ingress"), []int{0}},
		{"in a list of what is merged", head + "  <<: [{policyTypes: []}, {ingress: [], ingress: [{}]}]\n  ingress: []\n", twice(6, "ingress"), []int{0}},
		{"in what an alias stands for", "x: &m {ingress: [], ingress: [{}]}\n" + head + "  <<: *m\n  policyTypes: [Ingress]\n",
			append(twice(1, "ingress"), "f.yaml:3: NetworkPolicy shop/p: x: is no field of a NetworkPolicy: check its spelling and its indentation"), []int{0}},
		{"once with quotes", head + "  <<: &m {ingress: [{}]}\n  \"in\\x67ress\": []\n  ingress: [{}]\n", twice(8, "ingress"), []int{0}},
		{"once by an alias", head + "  <<: {policyTypes: [&k ingress]}\n  policyTypes: [Ingress]\n  *k : []\n  ingress: [{}]\n", twice(9, "ingress"), []int{0}},
		{"once with a tag", head + "  <<: {ingress: []}\n  !!binary aW5ncmVzcw==: []\n  ingress: [{}]\n", twice(8, "ingress"), []int{0}},
		{"two words for true", head + "  <<: {policyTypes: []}\n  policyTypes: [Ingress]\n  on: 1\n  yes: 2\n",
			append(twice(9, "true"), "f.yaml:3: NetworkPolicy shop/p: spec.true: is no field of a NetworkPolicy: check its spelling and its indentation"), []int{0}},
		{"merged and given", head + "  <<: {ingress: [], policyTypes: [Egress]}\n  ingress: [{}, {}]\n", nil, []int{2}},
		{"merged twice", head + "  <<: [{ingress: [{}]}, {ingress: []}]\n", nil, []int{1}},
		{"two merge keys", head + "  <<: {ingress: [{}]}\n  <<: {policyTypes: [Ingress]}\n", nil, []int{1}},
		{"in the item of a list", "apiVersion: v1\nkind: List\nitems:\n- " + indented + "\n    ingress: []\n    ingress: [{}]\n- " + strings.Replace(indented, "name: p", "name: q", 1) + "\n    ingress: [{}]\n",
			twice(10, "ingress"), []int{0, 1}},
		{"in a list in flow style", "{apiVersion: v1, kind: List, items: [{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, namespace: shop}, spec: {podSelector: {}, ingress: [{}], ingress: []}}]}\n",
			twice(1, "ingress"), []int{0}},
		{"in the item of a list with aliases", "apiVersion: v1\nkind: List\nitems:\n- &n\n  " + indented + "\n    ingress: [{}]\n    ingress: []\n- {<<: *n, metadata: {name: q, namespace: shop}}\n",
			twice(11, "ingress"), []int{0, 0}},
		{"documents that only the parser tells apart", "apiVersion: v1\rkind: Namespace\rmetadata: {name: a, <<: {name: b}}\r---\r" + strings.ReplaceAll(head, "\n", "\r") + "  ingress: []\r  ingress: [{}]\r", twice(1, "ingress"), []int{0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			set, problems := load(above + c.in)
			if diff := cmp.Diff(c.problems, texts(problems)); diff != "" {
				t.Errorf("problems -want +got:\n%s", diff)
			}
			var rules []int
			for _, p := range set.Policies {
				rules = append(rules, len(p.Spec.Ingress))
			}
			if diff := cmp.Diff(c.rules, rules); diff != "" {
				t.Errorf("rules -want +got:\n%s", diff)
			}
		})
	}
}
