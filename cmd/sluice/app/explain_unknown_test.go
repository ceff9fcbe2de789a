package app

import (
	"strings"
	"testing"
)

// What is not known of an address is not said as if it were.
func TestExplainBlocksOfAnUnknownAddress(t *testing.T) {
	const objects = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: db, namespace: shop}
spec: {selector: {matchLabels: {app: db}}, template: {metadata: {labels: {app: db}}, spec: {containers: [{name: c}]}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}, {podSelector: {matchLabels: {app: web}}}]}]}
`
	got := sluice(t, "", "explain", "-q", "-n", "shop", "deploy/web", "deploy/db:80", "-f", write(t, "m.yaml", objects))
	for _, want := range []string{"ALLOWED", "✗ from[0]  ipBlock 10.0.0.0/8: its address is not known yet\n"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%q is missing in\n%s", want, got.out)
		}
	}
}

func TestNothingIsFetchedFromTheNetwork(t *testing.T) {
	got := sluice(t, "", "list", "-f", "https://192.0.2.1/policies.yaml")
	if want := "nothing is fetched from the network: curl -fL https://192.0.2.1/policies.yaml | sluice … -f -"; got.code != 2 || !strings.Contains(got.err, want) {
		t.Errorf("exit code %d and %q, want 2 and %q", got.code, got.err, want)
	}
}
