package manifest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// load reads one source called f.yaml.
func load(data string) (Set, []Problem) {
	var l Loader
	l.Add("f.yaml", []byte(data))
	return l.Finish()
}

// objects lists what is in a set as "Kind namespace/name".
func objects(s Set) []string {
	var out []string
	for _, p := range s.Pods {
		out = append(out, identity{"Pod", p.Namespace, p.Name}.String())
	}
	for _, n := range s.Namespaces {
		out = append(out, identity{"Namespace", "", n.Name}.String())
	}
	for _, p := range s.Policies {
		out = append(out, identity{"NetworkPolicy", p.Namespace, p.Name}.String())
	}
	for _, p := range s.Services {
		out = append(out, identity{"Service", p.Namespace, p.Name}.String())
	}
	return out
}

func texts(problems []Problem) []string {
	var out []string
	for _, p := range problems {
		out = append(out, p.String())
	}
	return out
}

const (
	podA = "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: shop}, status: {podIP: 10.0.0.1}}\n"
	shop = "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}\n"
)

// Each case begins with what is under test; problems are the whole output.
func TestForms(t *testing.T) {
	pod := func(name string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata:\n  name: " + name + "\n  namespace: shop\nstatus:\n  podIP: 10.0.0." + name[1:] + "\n"
	}
	for _, c := range []struct {
		name, in string
		want     []string
		problems []string
	}{
		{name: "nothing"},
		{name: "only blank lines", in: "\n \n\t\n"},
		{name: "only comments and markers", in: "# a\n---\n# b\n--- # c\n...\n---\n"},
		{name: "a null document", in: "---\nnull\n---\n~\n"},
		{name: "one document", in: pod("p1") + "---\n" + shop, want: []string{"Pod shop/p1", "Namespace shop"}},
		{name: "without a last line break", in: "---\n" + shop + "---\n" + podA[:len(podA)-1], want: []string{"Pod shop/a", "Namespace shop"}},
		{name: "empty documents between", in: "---\n---\n\n" + shop + "---\n# x\n---\n" + podA + "---\n", want: []string{"Pod shop/a", "Namespace shop"}},
		{name: "content on the marker's line", in: "--- " + shop + "---\t" + podA, want: []string{"Pod shop/a", "Namespace shop"}},
		{name: "a marker with a comment", in: shop + "--- # next\n" + podA, want: []string{"Pod shop/a", "Namespace shop"}},
		{name: "ended by dots", in: shop + "...\n" + podA + "...\n# end\n", want: []string{"Pod shop/a", "Namespace shop"}},
		{name: "directives", in: "%YAML 1.2\n---\n" + shop + "...\n%YAML 1.1\n---\n" + podA, want: []string{"Pod shop/a", "Namespace shop"}},
		{name: "CRLF", in: "---\r\n" + crlf(pod("p1")) + "---\r\n" + crlf(shop), want: []string{"Pod shop/p1", "Namespace shop"}},
		{name: "CR alone, as old Macs wrote", in: "kind: Namespace\rapiVersion: v1\rmetadata: {name: shop}\r---\rapiVersion: v1\rkind: Namespace\rmetadata: {name: b}\r", want: []string{"Namespace shop", "Namespace b"}},
		{name: "BOM", in: "\ufeff" + pod("p1") + "---\n" + shop, want: []string{"Pod shop/p1", "Namespace shop"}},
		{name: "a marker inside a block scalar", in: "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  namespace: shop\n  annotations:\n    x: |\n      one\n      ---\n      two\nstatus: {podIP: 10.0.0.1}\n---\n" + shop,
			want: []string{"Pod shop/a", "Namespace shop"}},
		{name: "three dashes that are no marker", in: shop + "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  namespace: shop\n  annotations: {x: ---a}\nstatus: {podIP: 10.0.0.1}\n", want: []string{"Pod shop/a", "Namespace shop"}},
		{name: "anchors and merge keys", in: "apiVersion: v1\nkind: Namespace\nmetadata: &m\n  name: shop\n  labels: &l {a: b}\n  annotations:\n    <<: *l\n    a: c\n", want: []string{"Namespace shop"}},
		{name: "JSON", in: `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}}`, want: []string{"Namespace shop"}},
		{name: "JSON values one after the other", in: "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"shop\"}}\n{\n\t\"kind\":\"Namespace\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"b\"}} {\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"c\"}}",
			want: []string{"Namespace shop", "Namespace b", "Namespace c"}},
		{name: "comments around JSON", in: "# a\n{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"shop\"}}\n# b\n", want: []string{"Namespace shop"}},
		{name: "JSON and YAML in one file", in: "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"shop\"}}\n---\n" + pod("p1") + "---\n" + `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"b"}}`, want: []string{"Pod shop/p1", "Namespace shop", "Namespace b"}},
		{name: "List in JSON, kind last", in: `{"items":[` + "\n" + `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}},{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"b"}}],"apiVersion":"v1","metadata":{"resourceVersion":""},"kind":"List"}`, want: []string{"Namespace shop", "Namespace b"}},
		{name: "List in flow style", in: "{apiVersion: v1, kind: List, items: [" + shop + ", " + podA + "]}", want: []string{"Pod shop/a", "Namespace shop"}},
		{name: "List as kubectl prints it", in: "apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata:\n    name: shop\n- apiVersion: v1\n  kind: Namespace\n  metadata:\n    name: b\nkind: List\nmetadata:\n  resourceVersion: \"\"\n", want: []string{"Namespace shop", "Namespace b"}},
		{name: "List with indented items", in: "---\nkind: List\napiVersion: v1\nitems: # all\n\n  # first\n  - apiVersion: v1\n    kind: Namespace\n    metadata:\n      name: shop\n# odd\n  -   apiVersion: v1\n      kind: Namespace\n      metadata: {name: b}\n", want: []string{"Namespace shop", "Namespace b"}},
		{name: "List with an anchor in one item and its alias in another", in: "apiVersion: v1\nkind: List\nitems:\n- apiVersion: &v v1\n  kind: Namespace\n  metadata: {name: shop}\n- apiVersion: *v\n  kind: Namespace\n  metadata: {name: b}\n", want: []string{"Namespace shop", "Namespace b"}},
		{name: "what looks like a List in quotes", in: "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  annotations:\n    a: \"\nitems:\n- x\n- y\n\"\n", want: []string{"Namespace shop"}},
		{name: "empty List", in: "apiVersion: v1\nkind: List\nitems: []\n---\n{apiVersion: v1, kind: List}\n---\n{apiVersion: v1, kind: List, items: null}"},
		{name: "List in a List", in: `{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: List, items: [` + shop + `]}, {apiVersion: v1, kind: PodList, items: [{metadata: {name: a, namespace: shop}, status: {podIP: 10.0.0.1}}]}]}`, want: []string{"Pod shop/a", "Namespace shop"}},
		{name: "typed lists, whose items need no kind", in: "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicyList\nitems:\n- metadata: {name: p, namespace: shop}\n- metadata: {name: q, namespace: shop}\n  spec: {}\n---\n{apiVersion: v1, kind: NamespaceList, items: [{metadata: {name: shop}}]}\n---\n{apiVersion: v1, kind: ServiceList, items: [{metadata: {name: s, namespace: shop}}]}",
			want: []string{"Namespace shop", "NetworkPolicy shop/p", "NetworkPolicy shop/q", "Service shop/s"}},
		{name: "defaults of namespaces", in: "{apiVersion: v1, kind: Pod, metadata: {name: a}, status: {podIP: 10.0.0.1}}\n---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p}}\n---\n{apiVersion: v1, kind: Service, metadata: {name: s}}\n---\n{apiVersion: v1, kind: Namespace, metadata: {name: default}}",
			want: []string{"Pod default/a", "Namespace default", "NetworkPolicy default/p", "Service default/s"}},
		{name: "implied namespaces", in: podA + "---\n{apiVersion: v1, kind: Service, metadata: {name: s, namespace: b}}\n",
			want: []string{"Pod shop/a", "Namespace b", "Namespace shop", "Service b/s"},
			problems: []string{
				"f.yaml:3: Namespace b: notice: is not given: it is taken to have no label but kubernetes.io/metadata.name=b",
				"f.yaml:1: Namespace shop: notice: is not given: it is taken to have no label but kubernetes.io/metadata.name=shop"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			set, problems := load(c.in)
			if diff := cmp.Diff(c.want, objects(set)); diff != "" {
				t.Errorf("objects -want +got:\n%s", diff)
			}
			if diff := cmp.Diff(c.problems, texts(problems)); diff != "" {
				t.Errorf("problems -want +got:\n%s", diff)
			}
		})
	}
}

func crlf(s string) string {
	var out []byte
	for _, c := range []byte(s) {
		if c == '\n' {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	return string(out)
}
