package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const otherKinds = `
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: a}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: b}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}
---
{name: package, version: 1}
---
{name: package, version: 2}
`

// Notices of a kind are one line, what changes verdicts stands first, and -q and -v do
// as they say.
func TestNotices(t *testing.T) {
	file := write(t, "shop.yaml", shopManifests+otherKinds)
	for flag, want := range map[string][]string{
		"": {
			"Namespace shop: notice: is not given",
			"notice: skipped 3 objects of kinds that say nothing here: ServiceAccount 2, ConfigMap 1 (-v lists them)",
			"notice: skipped 2 documents that are no Kubernetes objects, the first at ",
		},
		"-q": nil,
		"-v": {"not given", "of v1 ServiceAccount nothing", "of v1 ServiceAccount nothing", "of v1 ConfigMap", "has no apiVersion", "has no apiVersion"},
	} {
		args := []string{"list", "-f", file}
		if flag != "" {
			args = append(args, flag)
		}
		r := sluice(t, "", args...)
		var lines []string
		for line := range strings.Lines(r.err) {
			lines = append(lines, line)
		}
		if len(lines) != len(want) {
			t.Errorf("%s: %s", flag, r.err)
			continue
		}
		for i := range want {
			if !strings.Contains(lines[i], want[i]) {
				t.Errorf("%s: %q lacks %q", flag, lines[i], want[i])
			}
		}
	}
}

// A Helm chart is told from manifests, and what to type is said.
func TestHelmChart(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"shop.yaml": shopManifests, "charts/api/Chart.yaml": "apiVersion: v2\nname: api\n", "charts/api/values.yaml": "a: 1\n", "charts/api/templates/d.yaml": "{{ if .Values.a }}\nkind: X\n{{ end }}\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	chart := filepath.Join(dir, "charts", "api")
	if r := sluice(t, "", "list", "-f", chart); r.code != exitUnusable || !strings.Contains(r.err, "helm template NAME "+chart+" | sluice") {
		t.Errorf("%+v", r)
	}
	if r := sluice(t, "", "list", "-f", dir); r.code != exitOK || !strings.Contains(r.err, "left out: a Helm chart") || !strings.Contains(r.out, "shop/web → shop/db") {
		t.Errorf("%+v", r)
	}
}
