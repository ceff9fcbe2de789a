package app

import (
	"strings"
	"testing"
)

// An answer that lacks workloads which are there is not complete: it is given for the
// others, with what they lack and exit code 2. To lint these are findings.
func TestWorkloadsThatCannotBeRead(t *testing.T) {
	const template = "metadata: {name: NAME, namespace: shop}\nspec: {selector: {matchLabels: {app: x}}, template: {metadata: {labels: {app: x}}, spec: {containers: [{name: c, ports: [{containerPort: 80}]}]}}}\n"
	object := func(head, name string) string { return head + strings.Replace(template, "NAME", name, 1) + "---\n" }
	bad := object("apiVersion: v1\nkind: Deployment\n", "a") + object("apiVersion: apps/v1\nkind: deployment\n", "b") +
		strings.Replace(object("apiVersion: apps/v1\nkind: Deployment\n", "c"), "80}", `"80"}`, 1) +
		strings.Replace(object("apiVersion: apps/v1\nkind: Deployment\n", "d"), "name: d, ", "", 1)
	file := write(t, "bad.yaml", bad+shopManifests)
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"list", "-f", file}, exitUnusable},
		{[]string{"exposure", "-f", file}, exitUnusable},
		{[]string{"explain", "shop/web", "shop/db", "-f", file}, exitUnusable},
		{[]string{"diff", file, file}, exitUnusable},
		{[]string{"lint", "-f", file}, exitFailed},
	} {
		r := sluice(t, "", c.args...)
		for _, want := range []string{"Deployment shop/a", "deployment shop/b", "Deployment shop/c", "metadata.name"} {
			if r.code != c.code || !strings.Contains(r.out+r.err, want) {
				t.Errorf("%v: %d, want %d, and %q in\n%s%s", c.args, r.code, c.code, want, r.out, r.err)
			}
		}
	}
	if r := sluice(t, "", "list", "-f", file); !strings.Contains(r.out, "shop/web → shop/db") || strings.Count(r.err, "error: ") != 4 {
		t.Errorf("%+v", r)
	}
}

// An array of objects, as jq prints items, is read as their List.
func TestArrayOfObjects(t *testing.T) {
	const pod = `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "NAME", "namespace": "shop", "labels": {"app": "NAME"}}}`
	file := write(t, "array.json", "[\n"+strings.ReplaceAll(pod, "NAME", "db")+",\n"+strings.ReplaceAll(pod, "NAME", "web")+`,
{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "db", "namespace": "shop"}, "spec": {
"podSelector": {"matchLabels": {"app": "db"}},
"ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]}]}}]`)
	r := sluice(t, "", "list", "-f", file, "--why", "-q", "--focus", "shop/db", "--direction", "ingress")
	if r.code != exitOK || !strings.Contains(r.out, "shop/web → shop/db") || strings.Contains(r.out, "internet") || !strings.Contains(r.out, "array.json:6") {
		t.Errorf("%+v", r)
	}
}

// Where there is nothing at all, as from a program that failed, no command answers.
func TestNothingGiven(t *testing.T) {
	file, empty := write(t, "shop.yaml", shopManifests), write(t, "empty.yaml", "# nothing\n---\n")
	flows := write(t, "flows.txt", "shop/web -> shop/db:5432\n")
	for _, args := range [][]string{
		{"list", "-f", "-"}, {"exposure", "-f", "-"}, {"lint", "-f", "-"}, {"explain", "shop/web", "shop/db", "-f", "-"},
		{"verify", "-f", "-", "--flows", flows}, {"diff", file, "-"}, {"diff", "-", file}, {"diff", file, "-", "--apply"},
		{"list", "-f", empty}, {"list", "-f", empty, "-f", empty},
	} {
		if r := sluice(t, "\n", args...); r.code != exitUnusable || r.out != "" || !strings.Contains(r.err, "there is no object in them") {
			t.Errorf("%v: %+v", args, r)
		}
	}
	for in, args := range map[string][]string{
		"{apiVersion: v1, kind: List, items: []}\n": {"list", "-f", "-"},
		"name: chart\n": {"list", "-f", "-"},
		"":              {"list", "-f", file, "-f", "-"},
	} {
		if r := sluice(t, in, args...); r.code != exitOK {
			t.Errorf("%q: %+v", in, r)
		}
	}
}
