package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// -k builds what kubectl apply -k would apply: bases, patches, namespaces. The same
// directory with -f is read as it is, and says so.
func TestKustomize(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"base/kustomization.yaml": "resources: [all.yaml]\n",
		"base/all.yaml": pod("", "web", "app: web", "10.0.0.1", "") + "\n---\n" + pod("", "db", "app: db", "10.0.0.2", "") + `
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db}
spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}
`,
		"live/kustomization.yaml": `
namespace: shop
resources: [../base]
patches:
- path: open.yaml
`,
		"live/open.yaml": `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db}
spec: {ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}
`,
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for of, want := range map[string]string{"base": "DENIED", "live": "ALLOWED"} {
		namespace := map[string]string{"base": "default", "live": "shop"}[of]
		got := sluice(t, "", "explain", "-q", "-n", namespace, "web", "db:80", "-k", filepath.Join(dir, of))
		if got.code != exitOK || !strings.HasPrefix(got.out, want) {
			t.Errorf("%s: want %s, got %+v", of, want, got)
		}
	}
	got := sluice(t, "", "explain", "web", "db:80", "-f", filepath.Join(dir, "base"))
	if !strings.Contains(got.err, "give -k "+filepath.Join(dir, "base")) {
		t.Errorf("nobody is told of -k: %+v", got)
	}
	got = sluice(t, "", "list", "-k", filepath.Join(dir, "base", "all.yaml"))
	if got.code != exitUnusable || !strings.Contains(got.err, "build kustomization") {
		t.Errorf("%+v", got)
	}
}
