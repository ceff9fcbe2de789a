package manifest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const entrySeed = `{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: web, namespace: shop, annotations: {kubernetes.io/ingress.class: old}}, spec: {ingressClassName: nginx, defaultBackend: {service: {name: web, port: {name: http}}}, rules: [{host: a.example, http: {paths: [{path: /x, backend: {service: {name: api, port: {number: 80}}}}, {path: /y, backend: {service: {name: api, port: {number: 80}}}}, {path: /z, backend: {resource: {kind: Bucket, name: b}}}, {path: /n, backend: {serviceName: api, servicePort: 80}}]}}, {host: b.example}]}}
---
{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: nginx, annotations: {ingressclass.kubernetes.io/is-default-class: "true"}}, spec: {controller: k8s.io/ingress-nginx}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: gw, namespace: infra}, spec: {gatewayClassName: eg, listeners: [{name: a, protocol: HTTPS, port: 443}, {protocol: TCP, port: 5432}]}}
---
{apiVersion: gateway.networking.k8s.io/v1beta1, kind: GatewayClass, metadata: {name: eg}, spec: {controllerName: gateway.envoyproxy.io/gatewayclass-controller}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r, namespace: shop}, spec: {parentRefs: [{name: gw, namespace: infra}, {kind: Service, name: mesh}], hostnames: [a.example, b.example], rules: [{matches: [{path: {type: PathPrefix, value: /v1}, method: GET}], backendRefs: [{name: api, port: 80}, {name: far, namespace: other, port: 81}, {name: no-port}]}, {backendRefs: [{group: x.example, kind: Bucket, name: b}]}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, metadata: {name: g, namespace: shop}, spec: {parentRefs: [{name: gw}], rules: [{matches: [{method: {service: shop.Cart, method: Add}}], backendRefs: [{name: api, port: 90}]}]}}
---
{apiVersion: gateway.networking.k8s.io/v1alpha2, kind: TCPRoute, metadata: {name: t, namespace: shop}, spec: {rules: [{backendRefs: [{name: db, port: 5432}]}]}}
`

// told is an entry on one line.
func told(e *Entry) string {
	out := fmt.Sprintf("%s %s class=%q listeners=%v gateways=%v", e.Kind, e.NamespacedName, e.Class, e.Listeners, e.Gateways)
	for _, b := range e.Backends {
		out += fmt.Sprintf("\n  %s %s:%s at %s by %s", b.Kind, b.NamespacedName, b.Port, strings.Join(b.At, " "), b.Field)
	}
	return out
}

func TestEntries(t *testing.T) {
	set, problems := load(shop + "---\n" + entrySeed)
	var got []string
	for i := range set.Entries {
		got = append(got, told(&set.Entries[i]))
	}
	want := []string{
		`Ingress shop/web class="nginx" listeners=[] gateways=[]
  Service shop/web:http at * by spec.defaultBackend.service
  Service shop/api:80 at a.example/x a.example/y by spec.rules[0].http.paths[0].backend.service
  Bucket shop/b: at a.example/z by spec.rules[0].http.paths[2].backend.resource`,
		`Gateway infra/gw class="eg" listeners=[HTTPS 443 TCP 5432] gateways=[]`,
		`HTTPRoute shop/r class="" listeners=[] gateways=[infra/gw]
  Service shop/api:80 at a.example/v1 b.example/v1 by spec.rules[0].backendRefs[0]
  Service other/far:81 at a.example/v1 b.example/v1 by spec.rules[0].backendRefs[1]
  Bucket shop/b: at a.example b.example by spec.rules[1].backendRefs[0]`,
		`GRPCRoute shop/g class="" listeners=[] gateways=[shop/gw]
  Service shop/api:90 at */shop.Cart/Add by spec.rules[0].backendRefs[0]`,
		`TCPRoute shop/t class="" listeners=[] gateways=[]
  Service shop/db:5432 at * by spec.rules[0].backendRefs[0]`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	classes := []EntryClass{{"IngressClass", "nginx", "k8s.io/ingress-nginx", true}, {"GatewayClass", "eg", "gateway.envoyproxy.io/gatewayclass-controller", false}}
	if diff := cmp.Diff(classes, set.EntryClasses); diff != "" {
		t.Errorf("classes (-want +got):\n%s", diff)
	}
	wantTold := []string{
		"f.yaml:3: Ingress shop/web: spec.rules[0].http.paths[3].backend: notice: leads nowhere: it needs service.name and service.port",
		"f.yaml:11: HTTPRoute shop/r: spec.rules[0].backendRefs[2].port: notice: is missing, so it leads nowhere: give that of the Service",
	}
	if diff := cmp.Diff(wantTold, texts(problems)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// A Route of OpenShift leads to Pods' ports, and names the routers that took it. What
// another group calls a Route is none.
func TestRoutes(t *testing.T) {
	const routes = `{apiVersion: route.openshift.io/v1, kind: Route, metadata: {name: r, namespace: shop}, spec: {host: a.example, path: /x, port: {targetPort: 8080}, to: {kind: Service, name: web, weight: 90}, alternateBackends: [{kind: Service, name: new, weight: 0}, {weight: 1}]}, status: {ingress: [{routerName: default, conditions: [{type: Admitted, status: "True", lastTransitionTime: null}]}, {routerName: shard, conditions: [{type: Admitted, status: "False"}]}]}}
---
{apiVersion: route.openshift.io/v1, kind: Route, metadata: {name: w, namespace: shop}, spec: {host: www.a.example, wildcardPolicy: Subdomain, port: {targetPort: http}, to: {name: web}}}
---
{apiVersion: route.openshift.io/v1, kind: Route, metadata: {name: all, namespace: shop}, spec: {to: {name: web}}}
---
{apiVersion: serving.knative.dev/v1, kind: Route, metadata: {name: k, namespace: shop}, spec: {traffic: []}}
---
{apiVersion: route.openshift.io/v1, kind: Route, metadata: {name: bad, namespace: shop}, spec: {port: {targetPort: [1]}, to: {name: web}}}
`
	set, problems := load(shop + "---\n" + routes)
	var got []string
	for i := range set.Entries {
		e := &set.Entries[i]
		got = append(got, fmt.Sprintf("%s routers=%v", told(e), e.Routers))
		for _, b := range e.Backends {
			if !b.ByTarget {
				t.Errorf("%s leads to %+v", e, b)
			}
		}
	}
	want := []string{
		`Route shop/r class="" listeners=[] gateways=[]
  Service shop/web:8080 at a.example/x by spec.to
  Service shop/new:8080 at a.example/x by spec.alternateBackends[0] routers=[default]`,
		`Route shop/w class="" listeners=[] gateways=[]
  Service shop/web:http at *.a.example by spec.to routers=[]`,
		`Route shop/all class="" listeners=[] gateways=[]
  Service shop/web: at * by spec.to routers=[]`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	all := strings.Join(texts(problems), "\n")
	for _, want := range []string{
		"Route shop/r: spec.alternateBackends[1].name: notice: is missing, so it leads nowhere: name a Service",
		"of serving.knative.dev/v1 Route nothing is read", "Route shop/bad: spec.port.targetPort: notice: skipped",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is missing in\n%s", want, all)
		}
	}
}

// What is wrong with a field is a notice with its path, and takes nothing from others.
func TestEntriesThatAreWrong(t *testing.T) {
	for in, want := range map[string]string{
		`{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r}, spec: {rules: [{backendRefs: [{name: a, port: "80"}]}]}}`:                      "spec.rules[0].backendRefs[0].port: notice: skipped: is a string where a number is needed: remove the quotes",
		`{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r}, spec: {hostnames: a.example}}`:                                                 "spec.hostnames: notice: skipped: is a string where a list is needed",
		`{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r}, spec: {rules: [{backendRefs: [{port: 80}]}]}}`:                                 "spec.rules[0].backendRefs[0].name: notice: is missing, so it leads nowhere: name a Service",
		`{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: r}, spec: {listeners: [{port: 70000000000}]}}`:                                       "spec.listeners[0].port: notice: skipped: is a number where a number is needed: 70000000000 does not fit",
		`{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: r}, spec: {rules: [{http: {paths: [{backend: {service: {name: a, port: {number: x}}}}]}}]}}`: "spec.rules[0].http.paths[0].backend.service.port.number: notice: skipped: is a string where a number is needed: remove the quotes",
		`{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {}}`:                                                                                                "metadata.name: notice: skipped: it has no name",
		`{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: r}}`:                                                                                       "of networking.istio.io/v1 Gateway nothing is read",
	} {
		set, problems := load("{apiVersion: v1, kind: Namespace, metadata: {name: default}}\n---\n" + in)
		if got := strings.Join(texts(problems), "\n"); !strings.Contains(got, want) {
			t.Errorf("%s:\n%s\nwant %s", in, got, want)
		}
		for _, e := range set.Entries {
			if len(e.Backends) > 0 {
				t.Errorf("%s leads to %v", in, e.Backends)
			}
		}
	}
}

// Of a repository the later entry of a name counts.
func TestEntriesAreReplaced(t *testing.T) {
	one := "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: gw}, spec: {gatewayClassName: a}}\n---\n"
	l := Loader{Repository: true}
	l.Add("f.yaml", []byte(one+one+strings.Replace(one, "Name: a", "Name: b", 1)))
	set, problems := l.Finish()
	if len(set.Entries) != 1 || set.Entries[0].Class != "b" || len(problems) != 1 || problems[0].Topic != Replaced {
		t.Errorf("%v, %v", set.Entries, problems)
	}
}

// Whoever writes an entry cannot make it larger than is of use, nor reach a terminal.
func TestEntriesAreBounded(t *testing.T) {
	var paths strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&paths, `{path: "/%d%s", backend: {service: {name: s%d, port: {number: 80}}}},`, i, strings.Repeat("é", 300), i%2500)
		fmt.Fprintf(&paths, `{path: "/%d\u001b[31m", backend: {service: {name: same, port: {number: 80}}}},`, i)
	}
	set, _ := load("{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: r}, spec: {rules: [{http: {paths: [" + paths.String() + "]}}]}}")
	e := &set.Entries[0]
	if len(e.Backends) != mostBackends || len(e.Backends[1].At) != mostAt || e.Backends[1].More == 0 {
		t.Errorf("%d backends, %d addresses and %d more", len(e.Backends), len(e.Backends[1].At), e.Backends[1].More)
	}
	if at := e.Backends[1].At[0]; at != "*/0\ufffd[31m" {
		t.Errorf("%q", at)
	}
	if at := e.Backends[0].At[0]; len(at) > longestAddress+3 || !strings.HasSuffix(at, "…") {
		t.Errorf("%q", at)
	}
}

// What an API server says of its own objects is read as what a file says.
func FuzzEntryObject(f *testing.F) {
	set := []byte(`{"metadata":{"name":"r","namespace":"shop"},"spec":{"parentRefs":[{"name":"gw"}],"hostnames":["a"],"rules":[{"matches":[{"path":{"value":"/"}},{"method":{"service":"s"}}],"backendRefs":[{"name":"a","port":80},{"kind":"K","name":"b"}]}]}}`)
	for i := range 7 {
		f.Add(uint8(i), set)
	}
	f.Add(uint8(0), []byte(`{"spec":{"listeners":[{"port":443,"protocol":"\u001b"}]}}`))
	f.Add(uint8(7), []byte(`{"metadata":{"name":"r","namespace":"shop"},"spec":{"host":"a.b","wildcardPolicy":"Subdomain","port":{"targetPort":8080},"to":{"name":"web"},"alternateBackends":[{"kind":"K","name":"w"}]},"status":{"ingress":[{"routerName":"default","conditions":[{"type":"Admitted","status":"True"}]}]}}`))
	kinds := []string{"Gateway", "GatewayClass", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute", "Route"}
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		e, class, err := EntryObject(kinds[int(kind)%len(kinds)], data)
		again, classAgain, errAgain := EntryObject(kinds[int(kind)%len(kinds)], data)
		if diff := cmp.Diff(e, again) + cmp.Diff(class, classAgain); diff != "" || (err == nil) != (errAgain == nil) {
			t.Fatalf("differs from run to run: %s %v %v", diff, err, errAgain)
		}
		if err != nil && err.Error() == "" {
			t.Fatal("an error that says nothing")
		}
		for _, b := range e.Backends {
			if b.Name == "" || len(b.At) == 0 || len(b.At) > mostAt {
				t.Fatalf("backend %#v", b)
			}
		}
	})
}
