package question

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const nearby = `
apiVersion: v1
kind: Pod
metadata: {name: front, labels: {app: front}}
spec: {containers: [{name: c}]}
status: {podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: carts, labels: {app: carts}}
spec: {containers: [{name: c}]}
status: {podIP: 10.0.0.2}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny}
spec: {podSelector: {}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: cart}
spec: {podSelector: {matchLabels: {app: cart}}, ingress: [{from: [{podSelector: {matchLabels: {app: front}}}]}]}
`

// Policies that only just do not select a Pod are looked for where somebody asks for them,
// and not with each of the many flows that verify explains.
func TestNearlyIsAskedFor(t *testing.T) {
	w := New(load(t, nearby))
	q, err := Parse("front", "carts:80", "default")
	if err != nil {
		t.Fatal(err)
	}
	a, err := w.Ask(q)
	if err != nil {
		t.Fatal(err)
	}
	w.Explain(&a)
	if list := a.First().Nearly; list != nil {
		t.Errorf("nobody asked for %v", list)
	}
	w.FindNearly(&a)
	var got []string
	for _, n := range a.First().Nearly {
		got = append(got, n.Policy.Name)
	}
	if diff := cmp.Diff([]string{"cart"}, got); diff != "" {
		t.Error(diff)
	}
}
