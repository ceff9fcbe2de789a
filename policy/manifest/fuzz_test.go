package manifest

import (
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/policy"
)

var fuzzSeeds = []string{
	"", "---\n", "...\n", "{}", "[]", "null", "- a", "a: b: c", "\ufeff", "\xff\xfe", "%YAML 1.1\n---\n",
	shop, podA, shop + "---\n" + podA,
	podText(1, "", ""), string(podList(1000)), string(podJSON(1000)),
	"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec:\n  podSelector: {matchLabels: {a: b}}\n  policyTypes: [Ingress, Egress]\n  ingress:\n  - from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]\n    ports: [{port: 80, endPort: 90}, {port: http, protocol: UDP}]\n",
	"apiVersion: extensions/v1beta1\nkind: NetworkPolicy\nmetadata: {generateName: p}\nspec: {podSelector: 1, egress: 2}\n",
	"apiVersion: v1\nkind: List\nitems:\n- apiVersion: &a v1\n  kind: Pod\n- *a\n- {<<: {a: b}, a: c}\n",
	"{\"apiVersion\":\"v1\",\"kind\":\"PodList\",\"items\":[{\"metadata\":{\"name\":\"a\"}},null,1]} # x\n{\"kind\":",
	entrySeed,
	"a: &a {b: 1, b: 2}\nc: {<<: *a, b: 3, ? {d: e} : f, !!binary Yg== : 4}\nd: {<<: [*a, {b: 5}], *a : 6}\n",
	"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, kind: Pod, <<: {kind: x}}\n- <<: {a: 1}\n  a: 2\n",
	"[{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": {\"name\": \"a\"}}, {\"a\": [1]}, null]",
	"a: &a [x]\nb: &b [*a,*a]\nc: [*b,*b,*a]\n",
	"a: !!binary aGVsbG8=\nb: !!timestamp 2001-01-01\n? [c]\n: d\n1: 2\n.inf: .nan\n",
}

// Whatever is read: no panic, the same again every time, bounded, and a set
// that keeps its promises.
func FuzzLoader(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := string(data)
		set, problems := load(string(data))
		var l Loader
		l.Add("f.yaml", data)
		again, problemsAgain := l.Finish()
		if string(data) != before {
			t.Fatal("Add changed its input")
		}
		if diff := cmp.Diff(set, again); diff != "" {
			t.Fatalf("the set differs from run to run:\n%s", diff)
		}
		if diff := cmp.Diff(problems, problemsAgain); diff != "" {
			t.Fatalf("the problems differ from run to run:\n%s", diff)
		}
		for _, p := range problems {
			if p.Message == "" || len(p.Message) > 2*longest || !strings.HasPrefix(p.Source, "f.yaml") {
				t.Fatalf("%#v is of no use", p)
			}
		}
		checkSet(t, set, problems)
		repository := Loader{Repository: true}
		repository.Add("f.yaml", data)
		set, problems = repository.Finish()
		checkSet(t, set, problems)
	})
}

func checkSet(t *testing.T, set Set, problems []Problem) {
	t.Helper()
	seen := map[string]bool{}
	for _, object := range objects(set) {
		if seen[object] {
			t.Fatalf("%s is there twice", object)
		}
		seen[object] = true
	}
	for _, n := range set.Namespaces {
		if n.Labels["kubernetes.io/metadata.name"] != n.Name {
			t.Fatalf("Namespace %s has not its own name as label", n.Name)
		}
	}
	entries := map[string]bool{}
	for _, e := range set.Entries {
		id := identity{e.Kind, e.Namespace, e.Name}.String()
		if entries[id] || e.Name == "" || e.Namespace == "" || entryKinds[e.Kind] == "" {
			t.Fatalf("entry %s is there twice, or not whole", id)
		}
		entries[id] = true
		backends := map[string]bool{}
		for _, b := range e.Backends {
			if b.Name == "" || len(b.At) == 0 || len(b.At) > mostAt {
				t.Fatalf("%s: backend %#v", id, b)
			}
			for _, at := range b.At {
				if utf8.RuneCountInString(at) > longestAddress+1 || strings.ContainsFunc(at, func(r rune) bool { return !unicode.IsPrint(r) && r != '\ufffd' }) {
					t.Fatalf("%s: address %q", id, at)
				}
			}
			key := fmt.Sprintf("%q %q %q", b.Kind, b.NamespacedName, b.Port)
			if backends[key] {
				t.Fatalf("%s: backend %s twice", id, key)
			}
			backends[key] = true
		}
	}
	valid := true
	for _, p := range problems {
		valid = valid && p.Notice
	}
	for _, p := range set.Pods {
		if p.Name == "" || !seen["Namespace "+p.Namespace] {
			t.Fatalf("Pod %q is in no namespace of the set, %q", p.Name, p.Namespace)
		}
		if _, err := policy.PodFromAPI(p); valid && err != nil {
			t.Fatalf("no error was reported, but %v", err)
		}
	}
	index := policy.NewIndex(policy.Options{})
	for _, p := range set.Policies {
		if p.Name == "" || !seen["Namespace "+p.Namespace] || len(p.Spec.PolicyTypes) == 0 {
			t.Fatalf("policy %s/%s is not complete", p.Namespace, p.Name)
		}
		if err := index.SetPolicy(p); valid && err != nil {
			t.Fatalf("no error was reported, but %v", err)
		}
	}
}
