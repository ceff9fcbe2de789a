package manifest

import (
	"strings"
	"testing"
)

// What an answer about a repository lacks is an error: objects that the API server would
// refuse, by which Pods and addresses are found. To a node, which enforces the same without
// them, it is a notice.
func TestWhatARepositoryLacks(t *testing.T) {
	const above = "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}\n---\n"
	object := func(version, kind, rest string) string {
		return "{apiVersion: " + version + ", kind: " + kind + ", metadata: {name: x, namespace: shop}" + rest + "}\n"
	}
	const template = ", spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c"
	for _, c := range []struct{ name, in, want string }{
		{"another version", object("v1", "Deployment", ""), `Deployment shop/x: apiVersion: must be apps/v1 for a Deployment, not "v1"`},
		{"an old version", object("extensions/v1beta1", "DaemonSet", ""), `DaemonSet shop/x: apiVersion: must be apps/v1 for a DaemonSet, not "extensions/v1beta1"`},
		{"an old Ingress", object("networking.k8s.io/v1beta1", "Ingress", ""), `Ingress shop/x: apiVersion: must be networking.k8s.io/v1 for an Ingress, not "networking.k8s.io/v1beta1"`},
		{"a Gateway of no group", object("v1", "Gateway", ""), `Gateway shop/x: apiVersion: must be a version of gateway.networking.k8s.io for a Gateway, not "v1"`},
		{"a Node of another version", object("v2", "Node", ""), `Node x: apiVersion: must be v1 for a Node, not "v2"`},
		{"capitals", object("apps/v1", "deployment", ""), "deployment shop/x: kind: is misspelt: write Deployment"},
		{"plural", object("batch/v1", "CronJobs", ""), "CronJobs shop/x: kind: is misspelt: write CronJob"},
		{"a letter", object("apps/v1", "StatefullSet", ""), "StatefullSet shop/x: kind: is misspelt: write StatefulSet"},
		{"a route", object("gateway.networking.k8s.io/v1", "HttpRoute", ""), "HttpRoute shop/x: kind: is misspelt: write HTTPRoute"},
		{"a type", object("apps/v1", "Deployment", template+`, ports: [{containerPort: "8080"}]}]}}}`), "Deployment shop/x: spec.template.spec.containers[0].ports[0].containerPort: is a string where a number is needed: remove the quotes"},
		{"a port", object("apps/v1", "Deployment", template+", ports: [{containerPort: 70000}]}]}}}"), "Deployment shop/x: spec.template.spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be from 1 to 65535"},
		{"a label", object("batch/v1", "CronJob", ", spec: {jobTemplate: {spec: {template: {metadata: {labels: {a: b c}}}}}}"), "CronJob shop/x: spec.jobTemplate.spec.template.metadata.labels: Invalid value"},
		{"a selector", object("apps/v1", "ReplicaSet", ", spec: {selector: {matchExpressions: [{key: a, operator: Is}]}, template: {}}"), "ReplicaSet shop/x: spec.selector: Invalid value"},
		{"a controller's port", object("v1", "ReplicationController", ", spec: {template: {spec: {containers: [{ports: [{containerPort: 0}]}]}}}"), "ReplicationController shop/x: spec.template.spec.containers[0].ports[0].containerPort: Invalid value: 0"},
		{"a name", "{apiVersion: apps/v1, kind: Deployment, metadata: {name: A_b, namespace: shop}, spec: {template: {}}}\n", "Deployment shop/A_b: metadata.name: Invalid value"},
		{"no name", "{apiVersion: apps/v1, kind: Deployment, metadata: {namespace: shop}}\n", "Deployment: metadata.name: is missing: give the object a name"},
		{"a generated name", "{apiVersion: batch/v1, kind: Job, metadata: {generateName: a-, namespace: shop}}\n", "Job: metadata.name: is missing: nobody generates one from generateName here, write the name"},
		{"a backend without a Service", object("networking.k8s.io/v1", "Ingress", ", spec: {defaultBackend: {}}"), "Ingress shop/x: spec.defaultBackend: leads nowhere: it needs service.name and service.port"},
		{"a route without a port", object("gateway.networking.k8s.io/v1", "HTTPRoute", ", spec: {rules: [{backendRefs: [{name: a}]}]}"), "HTTPRoute shop/x: spec.rules[0].backendRefs[0].port: is missing, so it leads nowhere: give that of the Service"},
		{"a Node", object("v1", "Node", ", status: {addresses: {}}"), "Node x: status.addresses: is a mapping where a list is needed"},
	} {
		in := above + object("apps/v1", "Deployment", ", spec: {template: {metadata: {labels: {a: b}}}}") + "---\n"
		in = strings.Replace(in, "name: x", "name: good", 1) + c.in
		for _, repository := range []bool{true, false} {
			l := Loader{Repository: repository}
			l.Add("f.yaml", []byte(in))
			set, problems := l.Finish()
			errors := 0
			var told []string
			for _, p := range problems {
				told = append(told, p.String())
				if !p.Notice {
					errors++
				}
			}
			if (errors > 0) != repository || repository && !strings.Contains(strings.Join(told, "\n"), "f.yaml:5: "+c.want) {
				t.Errorf("%s, repository %t: %q\nwant %s", c.name, repository, told, c.want)
			}
			if len(set.Workloads) == 0 || set.Workloads[0].Name != "good" {
				t.Errorf("%s took the others away: %v", c.name, set.Workloads)
			}
		}
	}
}

// Documents of something else are quiet in a repository, whatever words they share with
// Kubernetes'.
func TestForeignDocumentsAreQuiet(t *testing.T) {
	for in, want := range map[string]Topic{
		"image: {tag: latest}\n":                      Foreign,
		"- op: replace\n  path: /spec\n  value: {}\n": Foreign,
		"[{\"name\": \"a\"}, {\"kind\": \"Job\"}]\n":  Foreign,
		"[]\n":      Foreign,
		"[\"a\"]\n": Foreign,
		"{apiVersion: networking.istio.io/v1, kind: Gateway}\n":                       OtherKind,
		"{apiVersion: apps.kruise.io/v1alpha1, kind: StatefulSet}\n":                  OtherKind,
		"{apiVersion: batch.volcano.sh/v1alpha1, kind: job}\n":                        OtherKind,
		"{apiVersion: v1, kind: Code}\n":                                              OtherKind,
		"{apiVersion: v1, kind: PodTemplate}\n":                                       OtherKind,
		"{apiVersion: v1, kind: ServiceAccount}\n":                                    OtherKind,
		"{apiVersion: apps/v1, kind: ControllerRevision}\n":                           OtherKind,
		"{apiVersion: networking.k8s.io/v1, kind: ServiceCIDR}\n":                     OtherKind,
		"{apiVersion: gateway.networking.k8s.io/v1, kind: ListenerSet}":               OtherKind,
		"{apiVersion: policy.networking.k8s.io/v1alpha1, kind: AdminNetworkPolicy}\n": OtherKind,
	} {
		l := Loader{Repository: true}
		l.Add("f.yaml", []byte(in))
		_, problems := l.Finish()
		if len(problems) != 1 || !problems[0].Notice || problems[0].Topic != want {
			t.Errorf("%s: %v", in, texts(problems))
		}
	}
}

// Of an array the items of Kubernetes are read, and the others are something else's.
func TestArraysOfARepository(t *testing.T) {
	l := Loader{Repository: true}
	var o Outline
	in := []byte("[{\"a\": 1},\n{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": {\"name\": \"shop\"}},\n" +
		"{\"apiVersion\": \"networking.k8s.io/v1\", \"kind\": \"NetworkPolicy\", \"metadata\": {\"name\": \"p\", \"namespace\": \"shop\"}, \"spec\": {\"podSelector\": {}}}]")
	l.Add("f.json", in)
	o.Add("f.json", in)
	set, problems := l.Finish()
	if len(set.Policies) != 1 || len(set.Namespaces) != 1 || len(problems) != 1 || problems[0].Topic != Foreign {
		t.Errorf("%v, %v", objects(set), texts(problems))
	}
	if s := o.Find("NetworkPolicy", "shop", "p"); s == nil || s.Line != 3 || s.Field("spec").Line != 3 {
		t.Errorf("%+v", s)
	}
}

// An outline is empty if nothing was given at all.
func TestEmptyOutline(t *testing.T) {
	for in, want := range map[string]bool{
		"": true, "# nothing\n---\n": true, "null\n": true,
		"a: 1\n": false, "[]\n": false, "a: [\n": false, "{apiVersion: v1, kind: List, items: []}\n": false,
		"apiVersion: v1\nitems: []\nkind: List\n": false,
	} {
		var o Outline
		o.Add("f.yaml", []byte(in))
		if o.Empty() != want {
			t.Errorf("%q: %t", in, o.Empty())
		}
	}
}

// A workload without a template is left out of answers, and said to be.
func TestWorkloadsWithoutTemplate(t *testing.T) {
	l := Loader{Repository: true}
	l.Add("f.yaml", []byte("{apiVersion: v1, kind: Namespace, metadata: {name: default}}\n---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 3}}\n"))
	_, problems := l.Finish()
	if len(problems) != 1 || !problems[0].Notice || !strings.Contains(problems[0].String(), "f.yaml:3: Deployment default/web: notice: is left out: it has no template") {
		t.Errorf("%v", texts(problems))
	}
}
