package manifest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	ours      = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: a}}\n"
	otherTeam = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: b, new: x}}\n"
	deploy    = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\nspec: {replicas: 1, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c}]}}}\n"
	otherRun  = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\nspec: {replicas: 1, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x, args: [run], env: [{name: ports, value: z}]}]}}}\n"
	moved     = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\nspec: {replicas: 1, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, ports: [{containerPort: 80}]}]}}}\n"
	scaled    = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\nspec: {replicas: 2, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b, c: d}}, spec: {containers: [{name: c}]}}}\n"
)

// A repository has copies, overlays and files of others.
func TestRepository(t *testing.T) {
	for name, c := range map[string]struct {
		docs []string
		want []string
		// labels are those of the Namespace that counts, template those of the Deployment.
		team, template string
	}{
		"the same twice": {docs: []string{ours, ours, deploy, deploy}, team: "a"},
		"the later one counts": {
			docs: []string{ours, otherTeam}, team: "b",
			want: []string{"1.yaml:1: Namespace shop: notice: replaces that of 0.yaml:1, as the later one does with kubectl apply; they differ in metadata.labels.new, metadata.labels.team"},
		},
		"of workloads, too": {
			docs: []string{ours, deploy, scaled}, team: "a", template: "d",
			want: []string{"2.yaml:1: Deployment shop/web: notice: replaces that of 1.yaml:1, as the later one does with kubectl apply; they differ in spec.replicas, spec.template.metadata.labels.c"},
		},
		"what no verdict depends on": {docs: []string{ours, deploy, otherRun}, team: "a"},
		"ports of a container": {
			docs: []string{ours, deploy, moved}, team: "a",
			want: []string{"2.yaml:1: Deployment shop/web: notice: replaces that of 1.yaml:1, as the later one does with kubectl apply; they differ in spec.template.spec.containers[0].ports"},
		},
		"documents of others": {
			docs: []string{ours, "{\"name\": \"x\", \"version\": 1}", "- a\n- b\n", "just words\n"}, team: "a",
			want: []string{
				"1.yaml:1: notice: skipped: the document has no apiVersion and no kind, so it is no Kubernetes object",
				"2.yaml:1: notice: skipped: the document is no object, so it is none of Kubernetes'",
				"3.yaml:1: notice: skipped: the document is no object, so it is none of Kubernetes'",
			},
		},
		"a kind that is forgotten": {
			docs: []string{ours, "apiVersion: v1\nmetadata: {name: x}\n"}, team: "a",
			want: []string{"1.yaml:1: kind: is missing: every object needs apiVersion, kind and metadata"},
		},
	} {
		l := Loader{Repository: true}
		o := Outline{Repository: true}
		for i, d := range c.docs {
			l.Add(string(rune('0'+i))+".yaml", []byte(d))
			o.Add(string(rune('0'+i))+".yaml", []byte(d))
		}
		set, problems := l.Finish()
		var got []string
		for _, p := range problems {
			got = append(got, p.String())
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if len(set.Namespaces) != 1 || set.Namespaces[0].Labels["team"] != c.team {
			t.Errorf("%s: %+v", name, set.Namespaces)
		}
		if len(set.Workloads) > 1 || len(set.Workloads) == 1 && set.Workloads[0].Pod.Labels["c"] != c.template {
			t.Errorf("%s: %+v", name, set.Workloads)
		}
		if s := o.Find("Namespace", "", "shop"); c.team == "b" && s.Source != "1.yaml" {
			t.Errorf("%s: found at %s", name, s.Source)
		}
	}
}

// Addresses are invented where Pods have no UID: then one for two is a mistake.
func TestRepositoryAddresses(t *testing.T) {
	for uid, notice := range map[string]bool{"": false, "\n  uid: u": true} {
		l := Loader{Repository: true}
		for _, name := range []string{"a", "b"} {
			l.Add(name, []byte("apiVersion: v1\nkind: Pod\nmetadata:\n  name: "+name+uid+"\nstatus: {podIP: 10.0.0.1}\n"))
		}
		_, problems := l.Finish()
		found := false
		for _, p := range problems {
			found = found || p.Field != "" && p.Object == "Pod default/b" && p.Notice == notice
		}
		if !found {
			t.Errorf("uid %q: %v", uid, problems)
		}
	}
}

func TestPathAt(t *testing.T) {
	text := `{"a":{"b.c":[{"d":1},{"d":["x",{"e":2}]}]},"f":3}`
	for value, want := range map[string]string{`1`: "a[b.c][0].d", `2`: "a[b.c][1].d[1].e", `3`: "f", `"x"`: "a[b.c][1].d[0]"} {
		for i := range text {
			if text[i:i+1] == value[:1] && len(text)-i >= len(value) && text[i:i+len(value)] == value {
				if got := pathAt([]byte(text), int64(i+len(value))); got != want {
					t.Errorf("%s: %q, want %q", value, got, want)
				}
			}
		}
	}
}
