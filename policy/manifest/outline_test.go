package manifest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const outlined = `# above
---
# sluice-lint-ignore: whole
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: web
  namespace: shop
spec:
  podSelector:
    matchLabels:
      app.kubernetes.io/name: web
  ingress: # sluice-lint-ignore: list
  # sluice-lint-ignore: first, and why
  # sluice-lint-ignore: too
  - from:
    - podSelector: {}
    - ipBlock:
        cidr: 10.0.0.0/8 # sluice-lint-ignore: block
  - from:
    ports:
    - port: 80
---
apiVersion: v1
kind: List
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata:
    name: web
    namespace: shop
  spec:
    template:
      metadata: {labels: {app: web}}
      spec:
        hostNetwork: true
        containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]
- apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  metadata:
    name: listed
  spec:
    podSelector: {}
    egress:
    - to:
      - podSelector: {matchLabels: {a: b}}
`

func TestOutlinePlaces(t *testing.T) {
	var o Outline
	o.Add("m.yaml", []byte(outlined))
	at := func(name string, path ...any) string {
		s := o.Find("NetworkPolicy", map[string]string{"web": "shop", "listed": "default"}[name], name)
		if s == nil {
			return "not there"
		}
		f := s.Field(path...)
		text := fmt.Sprint(f.Line)
		if f.Null {
			text += " null"
		}
		return text
	}
	for want, got := range map[string]string{
		"the object: 4":               "the object: " + at("web"),
		"name: 7":                     "name: " + at("web", "metadata", "name"),
		"a label with a slash: 12":    "a label with a slash: " + at("web", "spec", "podSelector", "matchLabels", "app.kubernetes.io/name"),
		"a rule: 16":                  "a rule: " + at("web", "spec", "ingress", 0),
		"a peer: 18":                  "a peer: " + at("web", "spec", "ingress", 0, "from", 1),
		"a CIDR: 19":                  "a CIDR: " + at("web", "spec", "ingress", 0, "from", 1, "ipBlock", "cidr"),
		"null: 20 null":               "null: " + at("web", "spec", "ingress", 1, "from"),
		"filled in by default: 22":    "filled in by default: " + at("web", "spec", "ingress", 1, "ports", 0, "protocol"),
		"a rule that is not: 13":      "a rule that is not: " + at("web", "spec", "ingress", 7),
		"listed: 38":                  "listed: " + at("listed"),
		"a label in a flow style: 46": "a label in a flow style: " + at("listed", "spec", "egress", 0, "to", 0, "podSelector", "matchLabels", "a"),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestOutlineTemplates(t *testing.T) {
	var o Outline
	o.Add("m.yaml", []byte(outlined))
	s := o.Find("Deployment", "shop", "web")
	if s == nil || s.Template == nil || s.Line != 27 || s.Unreadable {
		t.Fatalf("%+v", s)
	}
	p := s.Template
	if p.Namespace != "shop" || p.Name != "web" || p.Labels["app"] != "web" || !p.Spec.HostNetwork || p.Spec.Containers[0].Ports[0].Protocol != "TCP" {
		t.Errorf("%+v", p)
	}
	o.Add("others.yaml", []byte(`
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec: {jobTemplate: {spec: {template: {metadata: {labels: {app: nightly}}, spec: {containers: []}}}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: patched}
spec: {replicas: 3}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: odd}
spec: {template: {spec: {hostNetwork: "yes"}}}
---
apiVersion: apps/v1beta2
kind: Deployment
metadata: {name: old}
spec: {template: {metadata: {labels: {app: old}}}}
---
apiVersion: apps/v1
kind: deployment
metadata: {name: small}
---
apiVersion: apps.kruise.io/v1
kind: StatefulSet
metadata: {name: other}
`))
	if s := o.Find("CronJob", "default", "nightly"); s == nil || s.Template == nil || s.Template.Labels["app"] != "nightly" {
		t.Errorf("CronJob: %+v", s)
	}
	for _, of := range []string{"StatefulSet/patched", "DaemonSet/odd", "Deployment/old", "deployment/small"} {
		kind, name, _ := strings.Cut(of, "/")
		if s := o.Find(kind, "default", name); s == nil || s.Template != nil || !s.Unreadable {
			t.Errorf("%s: %+v", of, s)
		}
	}
	if s := o.Find("StatefulSet.apps.kruise.io", "default", "other"); s == nil || s.Template != nil || s.Unreadable {
		t.Errorf("of another group: %+v", s)
	}
}

func TestOutlineDirectives(t *testing.T) {
	var o Outline
	o.Add("m.yaml", []byte(outlined))
	s := o.Find("NetworkPolicy", "shop", "web")
	for name, tt := range map[string]struct {
		path []any
		want []string
	}{
		"the object":      {nil, []string{"lint-ignore: whole"}},
		"the list":        {[]any{"spec", "ingress"}, []string{"lint-ignore: whole", "lint-ignore: list"}},
		"the first rule":  {[]any{"spec", "ingress", 0}, []string{"lint-ignore: whole", "lint-ignore: list", "lint-ignore: too", "lint-ignore: first, and why"}},
		"the second rule": {[]any{"spec", "ingress", 1}, []string{"lint-ignore: whole", "lint-ignore: list"}},
		"a CIDR": {[]any{"spec", "ingress", 0, "from", 1, "ipBlock", "cidr"},
			[]string{"lint-ignore: whole", "lint-ignore: list", "lint-ignore: too", "lint-ignore: first, and why", "lint-ignore: block"}},
	} {
		var got []string
		for _, d := range s.Directives(s.Field(tt.path...)) {
			got = append(got, d.Text)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if all := o.AllDirectives(); len(all) != 5 || all[0].String() != "m.yaml:3" {
		t.Errorf("%v", all)
	}
}

func TestOutlineOfJSON(t *testing.T) {
	var o Outline
	o.Add("m.json", []byte(`{"apiVersion": "v1", "kind": "NetworkPolicyList", "items": [
  {"metadata": {"name": "a"},
   "spec": {"podSelector": {},
	"ingress": [{}]}}
]}
{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "annotations": {"k": "v"}}}`))
	if s := o.Find("NetworkPolicy", "default", "a"); s == nil || s.Line != 2 || s.Field("spec", "ingress", 0).Line != 4 {
		t.Errorf("%+v", s)
	}
	if s := o.Find("Namespace", "ignored", "n"); s == nil || s.Line != 6 || s.Annotations["k"] != "v" {
		t.Errorf("%+v", s)
	}
}

// What cannot be read is named with its place, and takes nothing from the rest.
func TestOutlineUnread(t *testing.T) {
	var o Outline
	o.Add("m.yaml", []byte("a: [\n---\n\nkind: Namespace\napiVersion: v1\nmetadata: {name: nn}\n---\n{{ template }}\n---\n- 1\n"))
	if diff := cmp.Diff([]string{"m.yaml:1", "m.yaml:8", "m.yaml:10"}, o.Unread()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if s := o.Find("Namespace", "", "nn"); s == nil || s.Line != 4 {
		t.Errorf("%+v", s)
	}
}

// Of one name the first is found, and all are listed.
func TestOutlineTwins(t *testing.T) {
	var o Outline
	o.Add("a.yaml", []byte(outlined))
	o.Add("b.yaml", []byte(outlined))
	if s := o.Find("Deployment", "shop", "web"); s == nil || s.Source != "a.yaml" {
		t.Errorf("%+v", s)
	}
	if n := len(o.Objects()); n != 6 {
		t.Errorf("%d objects", n)
	}
}

// An object of another group is another one, whatever its kind is called, and of two
// versions the one counts that is read.
func TestOutlineGroups(t *testing.T) {
	object := func(apiVersion, kind, namespace string) string {
		return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: x, namespace: %s}\n", apiVersion, kind, namespace)
	}
	for _, c := range []struct{ kind, ours, other, otherKind string }{
		{"NetworkPolicy", "networking.k8s.io/v1", "crd.projectcalico.org/v1", "NetworkPolicy.crd.projectcalico.org"},
		{"NetworkPolicy", "networking.k8s.io/v1", "projectcalico.org/v3", "NetworkPolicy.projectcalico.org"},
		{"Namespace", "v1", "tenancy.example.org/v1", "Namespace.tenancy.example.org"},
		{"Service", "v1", "serving.knative.dev/v1", "Service.serving.knative.dev"},
		{"Job", "batch/v1", "batch.volcano.sh/v1alpha1", "Job.batch.volcano.sh"},
		{"Gateway", "gateway.networking.k8s.io/v1", "networking.istio.io/v1", "Gateway.networking.istio.io"},
		{"Route", "route.openshift.io/v1", "serving.knative.dev/v1", "Route.serving.knative.dev"},
		{"Ingress", "networking.k8s.io/v1", "config.openshift.io/v1", "Ingress.config.openshift.io"},
		{"Ingress", "networking.k8s.io/v1", "extensions/v1beta1", ""},
		{"Deployment", "apps/v1", "extensions/v1beta1", ""},
	} {
		ours, other := object(c.ours, c.kind, "shop"), object(c.other, c.kind, "shop")
		for _, repository := range []bool{false, true} {
			for order, text := range map[string]string{"first": ours + "---\n" + other, "last": other + "---\n" + ours} {
				o := Outline{Repository: repository}
				o.Add("m.yaml", []byte(text))
				if s := o.Find(c.kind, "shop", "x"); s == nil || s.APIVersion != c.ours {
					t.Errorf("%s %s, %s, repository %v: found %+v", c.ours, c.kind, order, repository, s)
				}
				if s := o.Find(c.otherKind, "shop", "x"); c.otherKind != "" && (s == nil || s.APIVersion != c.other) {
					t.Errorf("%s, ours %s, repository %v: found %+v", c.otherKind, order, repository, s)
				}
				if n := len(o.Objects()); n != 2 {
					t.Errorf("%s: %d objects", c.other, n)
				}
			}
		}
		// What is not there has no place, as where a change is applied to what others have.
		o := Outline{}
		o.Add("m.yaml", []byte(other))
		if s := o.Find(c.kind, "shop", "x"); c.otherKind != "" && s != nil {
			t.Errorf("%s %s is not there, and is %+v", c.ours, c.kind, s)
		}
	}
}

// FuzzOutline: what the Loader reads, the outline has, at a line of the source.
func FuzzOutline(f *testing.F) {
	f.Add([]byte(outlined))
	f.Add([]byte(`{"kind":"List","apiVersion":"v1","items":[{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p"}}]}`))
	f.Add([]byte("kind: List\napiVersion: v1\nitems:\n- kind: Pod\n  apiVersion: v1\n  metadata: {name: &a p, labels: {x: *a}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		var l Loader
		var o Outline
		l.Add("m", data)
		o.Add("m", data)
		set, _ := l.Finish()
		for _, p := range set.Pods {
			if o.Find("Pod", p.Namespace, p.Name) == nil {
				t.Errorf("Pod %s/%s is not in the outline", p.Namespace, p.Name)
			}
		}
		last := strings.Count(string(data), "\n") + 1
		for _, s := range o.Objects() {
			for _, at := range []Field{s.Field(), s.Field("spec", "ingress", 0, "from", 0), s.Field("metadata", "name")} {
				if at.Line < 1 || at.Line > last {
					t.Errorf("%s %s: line %d of %d", s.Kind, s.Name, at.Line, last)
				}
				s.Directives(at)
			}
		}
	})
}
