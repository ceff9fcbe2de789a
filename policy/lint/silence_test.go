package lint_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A finding is silenced by an annotation on its object, and by a comment at its
// field or at one that holds it; by nothing else.
func TestSilence(t *testing.T) {
	const policy = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: p
  namespace: shop
  annotations: {}
spec:
  podSelector: {}
  ingress:
  - from:
    - podSelector: {}
    ports:
    - port: 5432
    - port: 5432
    - port: 5432
`
	two := []string{"note port-adds-nothing: NetworkPolicy shop/p spec.ingress[0].ports[1]", "note port-adds-nothing: NetworkPolicy shop/p spec.ingress[0].ports[2]"}
	tests := map[string]struct {
		from, to       string
		left, silenced []string
	}{
		"nothing":                    {"", "", two, nil},
		"an annotation":              {"annotations: {}", "annotations: {sluice-net.github.io/lint-ignore: port-adds-nothing}", nil, two},
		"an annotation with others":  {"annotations: {}", "annotations: {sluice-net.github.io/lint-ignore: 'rule-split, port-adds-nothing it is generated'}", nil, two},
		"all by an annotation":       {"annotations: {}", "annotations: {sluice-net.github.io/lint-ignore: '*'}", nil, two},
		"an annotation for another":  {"annotations: {}", "annotations: {sluice-net.github.io/lint-ignore: rule-split}", two, nil},
		"a reason is no list":        {"annotations: {}", "annotations: {sluice-net.github.io/lint-ignore: 'rule-split not, port-adds-nothing'}", two, nil},
		"above the object":           {"apiVersion", "# sluice-lint-ignore: port-adds-nothing\napiVersion", nil, two},
		"on the line of a list":      {"    ports:", "    ports: # sluice-lint-ignore: port-adds-nothing", nil, two},
		"above the rule":             {"  - from", "  # sluice-lint-ignore: port-adds-nothing generated\n  - from", nil, two},
		"on one line":                {"    - port: 5432\n    - port: 5432\n    - port: 5432", "    - port: 5432\n    - port: 5432 # sluice-lint-ignore: port-adds-nothing\n    - port: 5432", two[1:], two[:1]},
		"above one line":             {"    - port: 5432\n    - port: 5432\n    - port: 5432", "    - port: 5432\n    - port: 5432\n    # sluice-lint-ignore: port-adds-nothing\n    - port: 5432", two[:1], two[1:]},
		"at a neighbour":             {"    - podSelector: {}", "    - podSelector: {} # sluice-lint-ignore: port-adds-nothing", two, nil},
		"a blank line above is none": {"  - from", "  # sluice-lint-ignore: port-adds-nothing\n\n  - from", two, nil},
		"in a text":                  {"annotations: {}", "annotations: {note: 'sluice-lint-ignore: port-adds-nothing'}", two, nil},
	}
	for name, tt := range tests {
		input := strings.Replace(policy, tt.from, tt.to, 1)
		if tt.from != "" && input == policy {
			t.Fatalf("%s: nothing was replaced", name)
		}
		got := run(input)
		if diff := cmp.Diff(tt.left, lines(got.Findings)); diff != "" {
			t.Errorf("%s: findings (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(tt.silenced, lines(got.Silenced)); diff != "" {
			t.Errorf("%s: silenced (-want +got):\n%s", name, diff)
		}
		for _, f := range got.Silenced {
			if f.Silenced == "" {
				t.Errorf("%s: %+v does not say by what", name, f)
			}
		}
	}
}

// Workloads and Namespaces have annotations, too.
func TestSilenceOfOthers(t *testing.T) {
	input := carts + deploy("shop", "web", "name: web", "") +
		strings.Replace(deploy("shop", "db", "name: db", ""), "namespace: shop}", "namespace: shop, annotations: {sluice-net.github.io/lint-ignore: pod-not-isolated}}", 1) +
		np("shop", "p", "podSelector: {matchExpressions: [{key: name, operator: In, values: [carts, web]}]}") +
		"---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop, annotations: {net.beta.kubernetes.io/network-policy: x, sluice-net.github.io/lint-ignore: obsolete-annotation}}\n"
	got := run(input)
	want := []string{"note pod-not-isolated: Deployment shop/db", "warning obsolete-annotation: Namespace shop metadata.annotations[net.beta.kubernetes.io/network-policy]"}
	if diff := cmp.Diff(want, lines(got.Silenced)); diff != "" || len(got.Findings) > 0 {
		t.Errorf("(-want +got):\n%s\n%v", diff, got.Findings)
	}
}

// An object of another group with the name of a policy silences nothing of it, and does
// not say where it stands; what it asks for itself is found at its own line.
func TestSilenceByAnotherGroup(t *testing.T) {
	const calico = "---\napiVersion: crd.projectcalico.org/v1\nkind: NetworkPolicy\nmetadata: {name: typo, namespace: shop, annotations: {sluice-net.github.io/lint-ignore: 'policy-selects-nothing, rule-splt'}}\nspec: {selector: all()}\n"
	policy := np("shop", "typo", "podSelector: {matchLabels: {name: nobody}}")
	for name, input := range map[string]string{"after it": carts + policy + calico, "before it": carts + calico + policy} {
		got := run(input)
		places := map[string]int{}
		for _, f := range got.Findings {
			places[f.ID] = f.Place.Line
		}
		if len(got.Silenced) > 0 || places["policy-selects-nothing"] != lineOf(input, "podSelector: {matchLabels: {name: nobody}}") || places["unknown-ignore"] != lineOf(input, "apiVersion: crd")+2 {
			t.Errorf("%s: lines %v, silenced %v", name, places, got.Silenced)
		}
	}
}

// lineOf is the line on which the text begins.
func lineOf(input, text string) int {
	before, _, _ := strings.Cut(input, text)
	return strings.Count(before, "\n") + 1
}
