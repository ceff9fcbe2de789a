package manifest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each case is one thing wrong. Sets hold shop, so that no namespace is
// implied.
func TestProblems(t *testing.T) {
	policy := func(spec string) string {
		return "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: shop}\nspec:\n" + spec
	}
	const policyObject = "NetworkPolicy shop/p"
	for _, c := range []struct {
		name, in string
		want     []string
		problems []string
	}{
		{name: "cut off in a key", in: policy("  policyTypes: [Ingress]\n  podSel"), problems: []string{
			"f.yaml:8: not valid YAML: could not find expected ':'"}},
		{name: "cut off in the first key", in: policy("  podSel"), want: []string{policyObject}, problems: []string{
			"f.yaml:3: NetworkPolicy shop/p: spec: is a string where a mapping is needed"}},
		{name: "cut off in quotes", in: policy("  podSelector:\n    matchLabels: {app: \"we"), problems: []string{
			"f.yaml:8: not valid YAML: found unexpected end of stream"}},
		{name: "cut off in a flow mapping", in: policy("  podSelector: {matchLabels: {app: web"), problems: []string{
			"f.yaml:7: not valid YAML: did not find expected ',' or '}'"}},
		{name: "cut off JSON", in: "{\"apiVersion\": \"v1\",\n\"kind\": \"Pod\",\n\"metadata\": {\"name\": ", problems: []string{
			"f.yaml:5: not valid JSON: it ends in the middle of a value: is the file cut off?"}},
		{name: "an unreadable document takes nothing from the others", in: "a: b: c\n---\n" + podA, want: []string{"Pod shop/a"}, problems: []string{
			"f.yaml:3: not valid YAML: mapping values are not allowed in this context"}},
		{name: "tabs", in: "apiVersion: v1\nkind: Pod\nmetadata:\n\tname: a\n", problems: []string{
			"f.yaml:6: not valid YAML: found character that cannot start any token; indent with spaces, not with tabs"}},
		{name: "invalid UTF-8", in: "# ok\napiVersion: v1\nkind: \xc3\x28\n", problems: []string{
			"f.yaml:5: byte 0xc3 is not UTF-8: save the file as UTF-8"}},
		{name: "control characters", in: "apiVersion: v1\nkind: \x01\n", problems: []string{
			"f.yaml:3: not valid YAML: control characters are not allowed"}},
		{name: "keys that stand twice", in: "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  name: b\n  namespace: shop\nstatus: {podIP: 10.0.0.1}\n", want: []string{"Pod shop/a"}, problems: []string{
			`f.yaml:7: not valid YAML: key "name" stands twice in one mapping: remove one`}},
		{name: "keys that stand twice in JSON", in: `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","name":"b","namespace":"shop"},"status":{"podIP":"10.0.0.1"}}`, want: []string{"Pod shop/b"}, problems: []string{
			"f.yaml:3: Pod shop/b: metadata.name: notice: stands twice: remove one"}},
		{name: "a scalar", in: "hello\n", problems: []string{
			"f.yaml:3: the document is no object: it needs apiVersion, kind and metadata"}},
		{name: "a sequence", in: "- apiVersion: v1\n- kind: Pod\n", problems: []string{
			"f.yaml:3: the document is no object: it needs apiVersion, kind and metadata"}},
		{name: "a sequence of objects", in: "- apiVersion: v1\n  kind: Pod\n- " + podA + "- kind: Pod\n- a\n", want: []string{"Pod shop/a"}, problems: []string{
			"f.yaml:3: Pod: metadata.name: is missing: give the object a name",
			"f.yaml:3: Pod: apiVersion: is missing: write apiVersion: v1",
			"f.yaml:3: List: items[3]: is no object: it needs apiVersion, kind and metadata"}},
		{name: "an array in JSON", in: "[\n{\"apiVersion\": \"v1\",\n\"kind\": \"Pod\"},\n" + `{"kind": "Pod"}]` + " {\"a\": 1}\n[{\"a\": 1}]\n", problems: []string{
			"f.yaml:4: Pod: metadata.name: is missing: give the object a name",
			"f.yaml:6: Pod: apiVersion: is missing: write apiVersion: v1",
			"f.yaml:6: kind: is missing: every object needs apiVersion, kind and metadata",
			"f.yaml:7: the document is no object: it needs apiVersion, kind and metadata"}},
		{name: "an array that is cut off", in: "[{\"apiVersion\": \"v1\",\n\"kind\": \"Pod\"},\n", problems: []string{
			"f.yaml:5: not valid JSON: it ends in the middle of a value: is the file cut off?"}},
		{name: "a policy in an array isolates, version or not", in: `[{"kind": "NetworkPolicy", "metadata": {"name": "p", "namespace": "shop"}, "spec": {"podSelector": {}, "ingress": [{}]}}]`, want: []string{policyObject}, problems: []string{
			"f.yaml:3: NetworkPolicy shop/p: apiVersion: is missing: write apiVersion: networking.k8s.io/v1"}},
		{name: "no kind", in: "a: b\n", problems: []string{
			"f.yaml:3: kind: is missing: every object needs apiVersion, kind and metadata"}},
		{name: "no apiVersion", in: "kind: Pod\nmetadata: {name: a}\n---\nkind: ConfigMap\n", problems: []string{
			"f.yaml:3: Pod default/a: apiVersion: is missing: write apiVersion: v1",
			"f.yaml:6: ConfigMap: apiVersion: is missing: every object needs apiVersion, kind and metadata"}},
		{name: "unknown kinds", in: "\n# a web\napiVersion: batch/v2\nkind: Job\nmetadata: {name: web, namespace: shop}\n---\n{apiVersion: v1, kind: DeploymentList}\n---\n{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: s}}\n---\n{apiVersion: crd.projectcalico.org/v1, kind: NetworkPolicy, metadata: {name: s, namespace: shop}}\n", problems: []string{
			"f.yaml:5: Job shop/web: notice: skipped: of batch/v2 Job nothing is read, only of Namespaces, NetworkPolicies, Nodes, Pods, Services, workloads, Ingresses, Gateways and routes",
			"f.yaml:9: DeploymentList: notice: skipped: of v1 DeploymentList nothing is read, only of Namespaces, NetworkPolicies, Nodes, Pods, Services, workloads, Ingresses, Gateways and routes",
			"f.yaml:11: Service default/s: apiVersion: notice: skipped: serving.knative.dev/v1 Service is not Kubernetes' own Service, which is v1",
			"f.yaml:13: NetworkPolicy shop/s: apiVersion: notice: skipped: crd.projectcalico.org/v1 NetworkPolicy is not Kubernetes' own NetworkPolicy, which is networking.k8s.io/v1"}},
		{name: "misspelt kinds", in: "{apiVersion: networking.k8s.io/v1, kind: Networkpolicy, metadata: {name: p, namespace: shop}}\n---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolcy}\n---\n{apiVersion: v1, kind: pods}\n", problems: []string{
			"f.yaml:3: Networkpolicy shop/p: kind: is misspelt: write NetworkPolicy",
			"f.yaml:5: NetworkPolcy: kind: is misspelt: write NetworkPolicy",
			"f.yaml:7: pods: kind: is misspelt: write Pod"}},
		{name: "wrong versions", in: "{apiVersion: v2, kind: Pod, metadata: {name: a, namespace: shop}}\n---\n{apiVersion: extensions/v1beta1, kind: NetworkPolicy, metadata: {name: p, namespace: shop}, spec: {ingress: [{}]}}\n", want: []string{policyObject}, problems: []string{
			`f.yaml:3: Pod shop/a: apiVersion: must be v1 for a Pod, not "v2"`,
			`f.yaml:5: NetworkPolicy shop/p: apiVersion: must be networking.k8s.io/v1 for a NetworkPolicy, not "extensions/v1beta1"`}},
		{name: "kind and apiVersion that are no strings", in: "{apiVersion: 1, kind: Pod, metadata: {name: a}}\n---\n{apiVersion: v1, kind: [Pod]}\n", problems: []string{
			`f.yaml:3: Pod default/a: apiVersion: must be v1 for a Pod, not "1"`,
			`f.yaml:5: ["Pod"]: notice: skipped: of v1 ["Pod"] nothing is read, only of Namespaces, NetworkPolicies, Nodes, Pods, Services, workloads, Ingresses, Gateways and routes`}},
		{name: "items that are no list", in: "{apiVersion: v1, kind: List, items: {a: b}}", problems: []string{
			"f.yaml:3: List: items: must be one list of objects"}},
		{name: "items that are no objects", in: "apiVersion: v1\nkind: List\nitems:\n- a\n-\n- kind: Pod\n", problems: []string{
			"f.yaml:6: List: items[0]: is no object: it needs apiVersion, kind and metadata",
			"f.yaml:7: List: items[1]: is no object: it needs apiVersion, kind and metadata",
			"f.yaml:8: Pod: apiVersion: is missing: write apiVersion: v1"}},
		{name: "an item knows its line", in: "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[\n{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\n\"metadata\":{}},\n{\"kind\":\"Pod\"}]}", problems: []string{
			"f.yaml:4: Pod: metadata.name: is missing: give the object a name",
			"f.yaml:6: Pod: apiVersion: is missing: write apiVersion: v1"}},
		{name: "names missing", in: "{apiVersion: v1, kind: Pod}\n---\n{apiVersion: v1, kind: Namespace, metadata: {generateName: x-}}\n---\n{apiVersion: v1, kind: Service}\n---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: shop}}\n", want: []string{"NetworkPolicy shop/unnamed-1"}, problems: []string{
			"f.yaml:3: Pod: metadata.name: is missing: give the object a name",
			"f.yaml:5: Namespace: metadata.name: is missing: nobody generates one from generateName here, write the name",
			"f.yaml:7: Service: metadata.name: is missing: give the object a name",
			"f.yaml:9: NetworkPolicy: metadata.name: is missing: give the object a name"}},
		{name: "duplicates", in: podA + "---\n" + podA + "---\n" + policy("  {}\n") + "---\n" + policy("  ingress: [{}]\n"), want: []string{"Pod shop/a", policyObject}, problems: []string{
			"f.yaml:5: Pod shop/a: metadata.name: the same object is already at f.yaml:3, and that one counts: remove or rename one",
			"f.yaml:13: NetworkPolicy shop/p: metadata.name: the same object is already at f.yaml:7, and that one counts: remove or rename one"}},

		{name: "invalid policies stay", in: policy("  ingress:\n  - from:\n    - podSelector: {}\n    - ipBlock: {cidr: 10.0.0.0/33}\n"), want: []string{policyObject}, problems: []string{
			`f.yaml:3: NetworkPolicy shop/p: spec.ingress[0].from[1].ipBlock.cidr: Invalid value: "10.0.0.0/33": must be a CIDR: the prefix length must be a number from 0 to 32, not "33"`}},
		{name: "legacy CIDRs", in: policy("  ingress: [{from: [{ipBlock: {cidr: 10.0.0.1/8}}]}]\n"), want: []string{policyObject}, problems: []string{
			`f.yaml:3: NetworkPolicy shop/p: spec.ingress[0].from[0].ipBlock.cidr: notice: Invalid value: "10.0.0.1/8": is an old form that is read as 10.0.0.0/8: write that, if it is what you mean`}},
		{name: "an old status", in: policy("  {}\nstatus: {}\n"), want: []string{policyObject}, problems: []string{
			"f.yaml:3: NetworkPolicy shop/p: status: notice: NetworkPolicies have no status any more: it is ignored"}},

		{name: "a Pod without address", in: "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: shop}}\n---\n{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: shop}, status: {phase: Succeeded}}\n", want: []string{"Pod shop/a", "Pod shop/b"}, problems: []string{
			"f.yaml:3: Pod shop/a: status.podIP: notice: is missing: nothing is enforced on the Pod until it has one"}},
		{name: "invalid addresses", in: "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: shop}, status: {podIP: 10.0.0.256}}\n---\n{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: shop}, status: {podIPs: [{ip: 10.0.0.1}, {ip: 'fe80::1%eth0'}]}}\n---\n{apiVersion: v1, kind: Pod, metadata: {name: c, namespace: shop}, status: {podIP: 10.0.0.2, podIPs: [{ip: 10.0.0.3}]}}\n", want: []string{"Pod shop/a", "Pod shop/b", "Pod shop/c"}, problems: []string{
			`f.yaml:3: Pod shop/a: status.podIP: Invalid value: "10.0.0.256": must be an IP address, e.g. 10.9.8.7 or 2001:db8::7`,
			`f.yaml:5: Pod shop/b: status.podIPs[1].ip: Invalid value: "fe80::1%eth0": must be an IP address, e.g. 10.9.8.7 or 2001:db8::7`,
			`f.yaml:7: Pod shop/c: status.podIP: Invalid value: "10.0.0.2": must be the first of podIPs, which is "10.0.0.3"`}},
		{name: "a shared address", in: podA + "---\n" + strings.Replace(podA, "name: a", "name: b", 1), want: []string{"Pod shop/a", "Pod shop/b"}, problems: []string{
			"f.yaml:5: Pod shop/b: status.podIPs: notice: 10.0.0.1 is also the address of Pod shop/a: the policies of each count"}},
		{name: "labels", in: "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: shop, labels: {'a b': c, d: '-'}}, status: {podIP: 10.0.0.1}}\n", want: []string{"Pod shop/a"}, problems: []string{
			`f.yaml:3: Pod shop/a: metadata.labels: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`,
			`f.yaml:3: Pod shop/a: metadata.labels: Invalid value: "-": of key "d": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`}},
		{name: "names", in: "{apiVersion: v1, kind: Pod, metadata: {name: A, namespace: shop}, status: {podIP: 10.0.0.1}}\n", want: []string{"Pod shop/A"}, problems: []string{
			`f.yaml:3: Pod shop/A: metadata.name: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`}},
		{name: "values of the wrong type", in: "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: shop, labels: {on: yes}}}\n---\n{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: shop}, spec: {containers: {}}}\n---\n{apiVersion: v1, kind: Service, metadata: {name: a, namespace: shop}, spec: {ports: [{port: '80'}, {port: 99999999999}]}}\n", problems: []string{
			"f.yaml:3: Pod shop/a: metadata.labels.true: is a bool where a string is needed: put it in quotes",
			"f.yaml:5: Pod shop/a: spec.containers: is a mapping where a list is needed",
			"f.yaml:7: Service shop/a: spec.ports[0].port: is a string where a number is needed: remove the quotes"}},
		{name: "container ports", in: "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: shop}, spec: {initContainers: [{ports: [{containerPort: 0}]}], containers: [{ports: [{containerPort: 80, name: HTTP, protocol: tcp}]}]}, status: {podIP: 10.0.0.1}}\n", want: []string{"Pod shop/a"}, problems: []string{
			"f.yaml:3: Pod shop/a: spec.initContainers[0].ports[0].containerPort: Invalid value: 0: must be from 1 to 65535",
			`f.yaml:3: Pod shop/a: spec.containers[0].ports[0].name: Invalid value: "HTTP": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)`,
			`f.yaml:3: Pod shop/a: spec.containers[0].ports[0].name: Invalid value: "HTTP": must contain at least one letter (a-z)`,
			`f.yaml:3: Pod shop/a: spec.containers[0].ports[0].protocol: Unsupported value: "tcp": supported values: "TCP", "UDP", "SCTP"`}},
		{name: "unknown fields of Pods", in: "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: shop}, spec: {newThing: 1}, status: {podIP: 10.0.0.1}}\n", want: []string{"Pod shop/a"}, problems: []string{
			"f.yaml:3: Pod shop/a: spec.newThing: notice: is no field of a Pod: check its spelling and its indentation"}},
		{name: "namespaces", in: "{apiVersion: v1, kind: Namespace, metadata: {name: a.b, namespace: c, labels: {kubernetes.io/metadata.name: x}}}\n", want: nil, problems: []string{
			"f.yaml:3: Namespace a.b: metadata.namespace: must not be set: a Namespace is in none",
			"f.yaml:3: Namespace a.b: metadata.labels: notice: kubernetes.io/metadata.name is a.b in the API server, whatever is written",
			`f.yaml:3: Namespace a.b: metadata.name: Invalid value: "a.b": must not contain dots`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			set, problems := load(shop + "---\n" + c.in)
			if c.name == "namespaces" {
				set.Namespaces = set.Namespaces[:1]
			}
			want := append(append([]string{}, withKind(c.want, "Pod")...), "Namespace shop")
			want = append(want, withKind(c.want, "NetworkPolicy")...)
			if diff := cmp.Diff(want, objects(set)); diff != "" {
				t.Errorf("objects -want +got:\n%s", diff)
			}
			if diff := cmp.Diff(c.problems, texts(problems)); diff != "" {
				t.Errorf("problems -want +got:\n%s", diff)
			}
		})
	}
}

func withKind(objects []string, kind string) []string {
	var out []string
	for _, o := range objects {
		if strings.HasPrefix(o, kind+" ") {
			out = append(out, o)
		}
	}
	return out
}
