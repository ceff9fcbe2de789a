package manifest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

// A policy that says something else than was meant must not allow what was not
// meant. A misspelt "from" would allow everybody.
func TestMisunderstoodPoliciesIsolate(t *testing.T) {
	for _, c := range []struct{ name, spec, want string }{
		{"misspelt from",
			`{podSelector: {matchLabels: {app: web}}, ingress: [{form: [{podSelector: {}}]}]}`,
			`{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}`},
		{"a peer's fields under from",
			`{podSelector: {matchLabels: {app: web}}, ingress: [{from: {podSelector: {}}}]}`,
			`{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}`},
		{"a number in quotes as endPort",
			`{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{ports: [{port: 1, endPort: "2"}]}]}`,
			`{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}`},
		{"a port that is a bool",
			`{egress: [{ports: [{port: true}]}]}`,
			`{policyTypes: [Ingress, Egress]}`},
		{"a fraction as port",
			`{ingress: [{ports: [{port: 80.5}]}]}`,
			`{policyTypes: [Ingress]}`},
		{"misspelt podSelector",
			`{podselector: {matchLabels: {app: web}}, ingress: [{}]}`,
			`{policyTypes: [Ingress, Egress]}`},
		{"misspelt policyTypes",
			`{podSelector: {}, policyType: [Egress], ingress: [{}]}`,
			`{policyTypes: [Ingress, Egress]}`},
		{"misspelt matchLabels select everybody",
			`{podSelector: {matchLabel: {app: web}}, policyTypes: [Egress], egress: [{}]}`,
			`{policyTypes: [Egress]}`},
		{"labels that are no strings select everybody",
			`{podSelector: {matchLabels: {app: web, on: yes}}, egress: [{}]}`,
			`{policyTypes: [Ingress, Egress]}`},
		{"policyTypes that are no list",
			`{podSelector: {}, policyTypes: Ingress, ingress: [{}]}`,
			`{policyTypes: [Ingress, Egress]}`},
		{"keys that stand twice",
			"\n  podSelector: {}\n  ingress: [{from: [{podSelector: {}}]}]\n  ingress: [{}]",
			`{policyTypes: [Ingress]}`},
		{"no spec at all", `[1]`, `{policyTypes: [Ingress, Egress]}`},
		{"an unknown policy type stays for the index to judge",
			`{policyTypes: [egress], ingress: [{form: []}]}`,
			`{policyTypes: [egress]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			set, problems := load(shop + "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: shop}\nspec: " + c.spec)
			if len(problems) == 0 || problems[0].Notice {
				t.Errorf("got %v, want an error", problems)
			}
			var want networkingv1.NetworkPolicySpec
			if err := yaml.UnmarshalStrict([]byte(c.want), &want); err != nil {
				t.Fatal(err)
			}
			if len(set.Policies) != 1 {
				t.Fatalf("got %d policies, want 1", len(set.Policies))
			}
			if diff := cmp.Diff(want, set.Policies[0].Spec); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestPolicyDefaultsAreApplied(t *testing.T) {
	set, problems := load(shop + "---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, namespace: shop}, spec: {egress: [{ports: [{port: 80}]}]}}")
	if problems != nil {
		t.Fatal(problems)
	}
	spec := set.Policies[0].Spec
	if diff := cmp.Diff([]networkingv1.PolicyType{"Ingress", "Egress"}, spec.PolicyTypes); diff != "" {
		t.Errorf("policyTypes -want +got:\n%s", diff)
	}
	if got := *spec.Egress[0].Ports[0].Protocol; got != "TCP" {
		t.Errorf("protocol %s, want TCP", got)
	}
}

// An unknown field outside the spec is reported, and the policy stays whole.
func TestUnknownMetadataKeepsTheRules(t *testing.T) {
	set, problems := load(shop + "---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, namespace: shop, colour: red}, spec: {ingress: [{}]}}")
	want := []string{"f.yaml:3: NetworkPolicy shop/p: metadata.colour: is no field of a NetworkPolicy: check its spelling and its indentation"}
	if diff := cmp.Diff(want, texts(problems)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if len(set.Policies) != 1 || len(set.Policies[0].Spec.Ingress) != 1 {
		t.Errorf("got %v, want the policy with its rule", set.Policies)
	}
}
