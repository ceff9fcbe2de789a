package app

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/policy/lint/report"
)

// lintShop is a policy beside the workload that it misses by a letter.
const lintShop = `apiVersion: apps/v1
kind: Deployment
metadata: {name: carts, namespace: shop}
spec: {template: {metadata: {labels: {name: carts}}, spec: {containers: [{name: c}]}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: cart-access, namespace: shop}
spec:
  podSelector:
    matchLabels:
      name: cart
  ingress:
  - from:
    - podSelector: {}
    ports:
    - port: 80
    - port: 80
`

// A session as a person has it: the command line, what it says, its exit code.
func TestLintGolden(t *testing.T) {
	home, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := os.Mkdir("deploy", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("deploy", "shop.yaml"), []byte(lintShop), 0o600); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, line := range []string{
		"lint -f deploy",
		"lint -f deploy --fail-on error",
		"lint -f deploy -o github",
		"lint -f -",
		"lint -f nowhere",
		"lint",
	} {
		got := sluice(t, strings.Replace(lintShop, "name: cart\n", "name: carts\n", 1), strings.Fields(line)...)
		b.WriteString("$ sluice " + line + "\n" + got.out + got.err)
		b.WriteString("[exit code " + string(rune('0'+got.code)) + "]\n\n")
	}
	t.Chdir(home)
	golden(t, "lint.txt", b.String())
}

func TestLintJSON(t *testing.T) {
	got := sluice(t, lintShop, "lint", "-f", "-", "-o", "json")
	var d report.Document
	if err := json.Unmarshal([]byte(got.out), &d); err != nil {
		t.Fatal(err)
	}
	if got.code != exitFailed || d.Kind != "LintResult" || len(d.Findings) != 2 || d.Findings[0].Place.String() != "stdin:12" {
		t.Errorf("code %d: %+v", got.code, d)
	}
}

func TestLintFormats(t *testing.T) {
	for format, want := range map[string]string{"sarif": `"version": "2.1.0"`, "junit": "<testsuites", "text": "[policy-selects-nothing]"} {
		if got := sluice(t, lintShop, "lint", "-f", "-", "-o", format); got.code != exitFailed || !strings.Contains(got.out, want) || got.err != "" {
			t.Errorf("%s: %+v", format, got)
		}
	}
}

func TestLintExitCodes(t *testing.T) {
	dir := t.TempDir()
	tests := map[string]struct {
		stdin string
		args  []string
		want  int
	}{
		"a warning":            {lintShop, []string{"-f", "-"}, exitFailed},
		"errors count":         {lintShop, []string{"-f", "-", "--fail-on", "error"}, exitOK},
		"a note":               {strings.Replace(lintShop, "name: cart\n", "name: carts\n", 1), []string{"-f", "-"}, exitOK},
		"notes count":          {strings.Replace(lintShop, "name: cart\n", "name: carts\n", 1), []string{"-f", "-", "--fail-on", "note"}, exitFailed},
		"a broken file":        {"a: [", []string{"-f", "-"}, exitFailed},
		"nothing":              {"# only a comment\n", []string{"-f", "-"}, exitUnusable},
		"an empty directory":   {"", []string{"-f", dir}, exitUnusable},
		"a file that is not":   {"", []string{"-f", filepath.Join(dir, "x.yaml")}, exitUnusable},
		"an unknown format":    {"", []string{"-f", dir, "-o", "xml"}, exitUnusable},
		"stdin twice":          {"", []string{"-f", "-", "-f", "-"}, exitUnusable},
		"an argument too many": {lintShop, []string{"-f", "-", "x"}, exitUnusable},
	}
	for name, tt := range tests {
		if got := sluice(t, tt.stdin, append([]string{"lint"}, tt.args...)...); got.code != tt.want {
			t.Errorf("%s: %+v, want exit code %d", name, got, tt.want)
		}
	}
}
