package app

import (
	"encoding/json"
	"testing"
)

// What an audited policy would deny passes, and explain says what enforcing it would
// change, and that it would change nothing.
func TestExplainAudited(t *testing.T) {
	const shop = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {sluice-net.github.io/mode: audit}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: api}}}]
---
`
	path := write(t, "m.yaml", shop+
		pod("shop", "web", "app: web", "10.0.0.1", "")+"\n---\n"+
		pod("shop", "api", "app: api", "10.0.0.3", "")+"\n---\n"+
		pod("shop", "db", "app: db", "10.0.0.2", "{containerPort: 5432}"))
	for client, wouldDeny := range map[string]bool{"web": true, "api": false} {
		got := sluice(t, "", "explain", "-n", "shop", client, "db:5432", "-f", path, "-o", "json")
		var e explanationDocument
		if err := json.Unmarshal([]byte(got.out), &e); err != nil {
			t.Fatalf("%v: %+v", err, got)
		}
		if !e.Allowed || e.Ingress.Reason != "NotIsolated" || len(e.Ingress.Policies) != 0 {
			t.Errorf("%s: an audited policy has a say: %s", client, got.out)
		}
		if e.Audit == nil || e.Audit.WouldDeny != wouldDeny || e.Audit.Allowed == wouldDeny || !e.Audit.Ingress.Policies[0].Audited {
			t.Errorf("%s: audit %+v, want wouldDeny %v", client, e.Audit, wouldDeny)
		}
	}
	golden(t, "explain-audited.txt", sluice(t, "", "explain", "-n", "shop", "web", "db:5432", "-f", path).out)
	got := sluice(t, "", "explain", "-n", "shop", "db", "web:80", "-f", path, "-o", "json")
	var e explanationDocument
	if err := json.Unmarshal([]byte(got.out), &e); err != nil || e.Audit != nil {
		t.Errorf("nobody is audited, but %v %s", err, got.out)
	}
}
