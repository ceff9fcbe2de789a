package app

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// shopEntries let in to the shop of shopManifests: to web by an Ingress whose controller
// is there, and to db by a route of a Gateway of which no proxy is known.
const shopEntries = shopManifests + `---
{apiVersion: v1, kind: Service, metadata: {namespace: shop, name: web}, spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}}
---
{apiVersion: v1, kind: Service, metadata: {namespace: shop, name: db}, spec: {selector: {app: db}, ports: [{port: 5432}]}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {namespace: front, name: nginx}, spec: {selector: {matchLabels: {app.kubernetes.io/name: ingress-nginx, app.kubernetes.io/component: controller}}, template: {metadata: {labels: {app.kubernetes.io/name: ingress-nginx, app.kubernetes.io/component: controller}}, spec: {containers: [{name: c}]}}}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {namespace: shop, name: web}, spec: {ingressClassName: nginx, rules: [{host: shop.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {namespace: shop, name: gw}, spec: {gatewayClassName: eg, listeners: [{name: sql, protocol: TCP, port: 5432}]}}
---
{apiVersion: gateway.networking.k8s.io/v1alpha2, kind: TCPRoute, metadata: {namespace: shop, name: sql}, spec: {parentRefs: [{name: gw}], rules: [{backendRefs: [{name: db, port: 5432}]}]}}
`

func TestEntriesInAnswers(t *testing.T) {
	file := write(t, "shop.yaml", shopEntries)
	const (
		web = "Ingress shop/web shop.example/ → Service shop/web:80"
		sql = "TCPRoute shop/sql * (TCP 5432) → Service shop/db:5432"
	)
	for _, c := range []struct {
		args      []string
		has, lack []string
	}{
		{[]string{"list"}, []string{web, "shop.yaml:", "allowed from front/nginx, the controller of class nginx; outside addresses, past it: allowed", sql, "depends on who is the proxy of Gateway shop/gw, of which no Pod is in the input; policies let in any Pod with app=web of namespace shop"}, nil},
		{[]string{"list", "--focus", "shop/db"}, []string{sql}, []string{web}},
		{[]string{"list", "--focus", "front/nginx", "--direction", "egress"}, []string{web}, []string{sql}},
		{[]string{"list", "--focus", "front/nginx", "--direction", "ingress"}, nil, []string{web, sql}},
		{[]string{"list", "--port", "http"}, []string{web}, []string{sql}},
		{[]string{"list", "-o", "json"}, []string{`"kind": "Ingress"`, `"speaker": "the controller of class nginx"`, `"answer": "depends"`, `"admitted": [`}, nil},
		{[]string{"list", "-o", "csv"}, []string{"Ingress shop/web,shop/web,TCP 8080", "TCPRoute shop/sql,shop/db,TCP 5432 (depends)"}, nil},
		{[]string{"list", "-o", "md"}, []string{"| Ingress shop/web | shop.example/ | Service shop/web:80 → shop/web TCP 8080 | allowed"}, nil},
		{[]string{"list", "-o", "dot"}, []string{`label="Ingress shop/web"`, `label="TCPRoute shop/sql"`, "style=dashed"}, nil},
		{[]string{"list", "-o", "mermaid"}, []string{"Ingress shop/web"}, nil},
		{[]string{"exposure"}, []string{web, sql}, nil},
		{[]string{"exposure", "--direction", "egress"}, nil, []string{web}},
		{[]string{"exposure", "--focus", "shop/web"}, []string{web}, []string{sql}},
		{[]string{"exposure", "-o", "csv"}, []string{"shop/db,ingress,true,TCPRoute shop/sql,TCP 5432 (depends)"}, nil},
		{[]string{"exposure", "-o", "json"}, []string{`"entries": [`, `"Ingress"`}, nil},
		{[]string{"explain", "ingress/shop/web", "ingress/shop/web"}, []string{"ALLOWED", "its Pods are those with app.kubernetes.io/component=controller"}, nil},
		{[]string{"explain", "tcproute/shop/sql", "shop/db:5432"}, []string{"DEPENDS", "policies let in on that port: any Pod with app=web of namespace shop"}, nil},
		{[]string{"explain", "gateway/shop/gv", "shop/db:5432"}, []string{"did you mean shop/gw?"}, nil},
		{[]string{"list", "--focus", "ingress/shop/web"}, []string{"give the workload behind it, such as deploy/web"}, nil},
	} {
		r := sluice(t, "", append(c.args, "-f", file)...)
		for _, want := range c.has {
			if !strings.Contains(r.out+r.err, want) {
				t.Errorf("%v: %q is missing in\n%s%s", c.args, want, r.out, r.err)
			}
		}
		for _, not := range c.lack {
			if strings.Contains(r.out, not) {
				t.Errorf("%v: %q should not be in\n%s", c.args, not, r.out)
			}
		}
	}
	flows := "ingress/shop/web -> deploy/shop/web:8080 allow\ningress/shop/web -> sts/shop/db:5432 deny\n"
	if r := sluice(t, flows, "verify", "-f", file); r.code != exitOK {
		t.Errorf("%+v", r)
	}
}

func TestEntriesInDiff(t *testing.T) {
	open := write(t, "open.yaml", shopEntries)
	closed := write(t, "closed.yaml", strings.Replace(shopEntries, "spec:\n  podSelector: {matchLabels: {app: db}}", "spec:\n  podSelector: {}", 1))
	none := write(t, "none.yaml", strings.Replace(shopEntries, "host: shop.example", "host: other.example", 1))
	for _, c := range []struct {
		args []string
		code int
		has  []string
	}{
		{[]string{open, open}, exitOK, []string{"No difference in who can reach whom."}},
		{[]string{closed, open, "--fail-on", "allowed"}, exitFailed, []string{"Newly let in by an entry", "Ingress shop/web → Service shop/web:80 → Deployment shop/web  TCP 8080 from shop.example/", "policies denied it (" + open}},
		{[]string{open, closed, "--fail-on", "allowed"}, exitOK, []string{"No longer let in by an entry", "policies deny it"}},
		{[]string{open, none}, exitFailed, []string{"Let in by an entry otherwise", "was from shop.example/", "entries from outside: 1 change."}},
		{[]string{open, none, "--fail-on", "allowed"}, exitFailed, []string{"from other.example/"}},
		{[]string{open, none, "-o", "json"}, exitFailed, []string{`"oldAt": [`, `"kind": "changed"`}},
		{[]string{open, none, "-o", "md"}, exitFailed, []string{"#### Entries from outside", "let in by an entry otherwise"}},
		{[]string{open, none, "-o", "sarif"}, exitFailed, []string{`"ruleId": "entry-changed"`}},
		{[]string{open, none, "-o", "github"}, exitFailed, []string{"title=sluice diff%3A entry-changed::Ingress shop/web"}},
		{[]string{open, none, "-o", "junit"}, exitFailed, []string{`classname="sluice.diff.entry-changed"`}},
	} {
		r := sluice(t, "", append([]string{"diff"}, c.args...)...)
		if r.code != c.code {
			t.Errorf("%v: exit code %d, want %d: %s%s", c.args, r.code, c.code, r.out, r.err)
		}
		for _, want := range c.has {
			if !strings.Contains(r.out, want) {
				t.Errorf("%v: %q is missing in\n%s%s", c.args, want, r.out, r.err)
			}
		}
	}
}

// liveEntries serves shopEntries, with the Gateway API's discovery, if there is one.
func liveEntries(t *testing.T, manifests string, gateways bool) (*apiServer, string) {
	t.Helper()
	s := &apiServer{t: t}
	s.load(manifests)
	if gateways {
		s.groups = map[string]any{
			"gateway.networking.k8s.io": map[string]any{"kind": "APIGroup", "apiVersion": "v1", "name": "gateway.networking.k8s.io", "versions": []any{
				map[string]any{"groupVersion": "gateway.networking.k8s.io/v1", "version": "v1"}, map[string]any{"groupVersion": "gateway.networking.k8s.io/v1alpha2", "version": "v1alpha2"},
			}, "preferredVersion": map[string]any{"groupVersion": "gateway.networking.k8s.io/v1", "version": "v1"}},
			"gateway.networking.k8s.io/v1": map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "gateway.networking.k8s.io/v1", "resources": []any{
				map[string]any{"kind": "Gateway", "name": "gateways", "namespaced": true}, map[string]any{"kind": "Gateway", "name": "gateways/status", "namespaced": true},
				map[string]any{"kind": "GatewayClass", "name": "gatewayclasses"}, map[string]any{"kind": "HTTPRoute", "name": "httproutes", "namespaced": true},
			}},
			"gateway.networking.k8s.io/v1alpha2": map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "gateway.networking.k8s.io/v1alpha2", "resources": []any{
				map[string]any{"kind": "Gateway", "name": "gateways", "namespaced": true}, map[string]any{"kind": "TCPRoute", "name": "tcproutes", "namespaced": true},
			}},
		}
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, kubeconfig(t, server.URL)
}

// A cluster is answered as its manifests are.
func TestLiveConnections(t *testing.T) {
	file := write(t, "shop.yaml", shopEntries)
	// A file has lines, and a cluster has none.
	inFile := strings.NewReplacer(" ("+file+":", " (", "\n", "\n")
	for _, args := range [][]string{{"list"}, {"list", "--focus", "shop/db", "--direction", "ingress"}, {"exposure"}, {"list", "-o", "csv"}, {"list", "-o", "json"}, {"exposure", "-o", "json"}} {
		_, config := liveEntries(t, shopEntries, true)
		live := sluice(t, "", append(args, "--kubeconfig", config)...)
		said := sluice(t, "", append(args, "-f", file)...)
		want := withoutPlaces(inFile.Replace(said.out))
		if live.code != exitOK || withoutPlaces(live.out) != want || live.out == "" {
			t.Errorf("%v: %d\n%s\nof manifests:\n%s\n%s", args, live.code, live.out, want, live.err)
		}
	}
	_, config := liveEntries(t, shopEntries, true)
	if r := sluice(t, "", "diff", "cluster", file, "--kubeconfig", config); r.code != exitOK || !strings.Contains(r.out, "No difference in who can reach whom.") {
		t.Errorf("%+v", r)
	}
	changed := write(t, "changed.yaml", strings.Replace(shopEntries, "port: sql", "port: 80", 1))
	if r := sluice(t, "", "diff", "cluster", changed, "--kubeconfig", config); r.code != exitFailed || !strings.Contains(r.out, "shop/web → shop/db  TCP 80, was TCP 5432") || !strings.Contains(r.out, "changed.yaml:") {
		t.Errorf("%+v", r)
	}
	for question, want := range map[string]string{
		"ingress/shop/web deploy/shop/web:8080": "ALLOWED", "tcproute/shop/sql sts/shop/db:5432": "DEPENDS", "ingress/shop/none deploy/shop/web:8080": "no Ingress shop/none in the cluster",
	} {
		if r := sluice(t, "", append(append([]string{"explain"}, strings.Fields(question)...), "--kubeconfig", config)...); !strings.Contains(r.out+r.err, want) {
			t.Errorf("%s: %+v", question, r)
		}
	}
}

// Routes of OpenShift are read from files and from a cluster that has them.
func TestRoutesInAnswers(t *testing.T) {
	const routed = shopManifests + `---
{apiVersion: v1, kind: Service, metadata: {namespace: shop, name: web}, spec: {selector: {app: web}, ports: [{name: plain, port: 80, targetPort: http}]}}
---
{apiVersion: route.openshift.io/v1, kind: Route, metadata: {namespace: shop, name: web}, spec: {host: shop.example, port: {targetPort: plain}, to: {kind: Service, name: web}}}
---
{apiVersion: route.openshift.io/v1, kind: Route, metadata: {namespace: shop, name: gone}, spec: {host: old.example, to: {kind: Service, name: gone}}}
`
	file := write(t, "routed.yaml", routed)
	s, config := liveEntries(t, routed, false)
	s.groups = map[string]any{
		"route.openshift.io": map[string]any{"kind": "APIGroup", "apiVersion": "v1", "name": "route.openshift.io", "versions": []any{
			map[string]any{"groupVersion": "route.openshift.io/v1", "version": "v1"},
		}, "preferredVersion": map[string]any{"groupVersion": "route.openshift.io/v1", "version": "v1"}},
		"route.openshift.io/v1": map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "route.openshift.io/v1", "resources": []any{
			map[string]any{"kind": "Route", "name": "routes", "namespaced": true}, map[string]any{"kind": "Route", "name": "routes/status", "namespaced": true},
		}},
	}
	for _, input := range [][]string{{"-f", file}, {"--kubeconfig", config}} {
		for _, c := range []struct{ args, want string }{
			{"list", "Route shop/web shop.example → Service shop/web:80"},
			{"list", "Route shop/gone old.example → Service shop/gone"},
			{"exposure", "Route shop/web shop.example → Service shop/web:80"},
			// A cluster's Services have the endpoints that it has.
			{"explain route/shop/web route/shop/web", map[bool]string{true: "ALLOWED", false: "no ready Pod matches its selector"}[input[0] == "-f"]},
			{"explain routes.route.openshift.io/shop/web deploy/shop/web:8080", "OpenShift's router default"},
			{"explain route/shop/wbe deploy/shop/web:8080", "no Route shop/wbe"},
		} {
			if r := sluice(t, "", append(strings.Fields(c.args), input...)...); !strings.Contains(r.out+r.err, c.want) {
				t.Errorf("%s %v: %q is missing in\n%s%s", c.args, input, c.want, r.out, r.err)
			}
		}
	}
	s.forbidden = []string{"routes"}
	if r := sluice(t, "", "list", "--kubeconfig", config); r.code != exitOK || !strings.Contains(r.err, "Routes may not be read") {
		t.Errorf("%+v", r)
	}
}

// withoutPlaces drops what names a file: places in brackets, and those of documents.
func withoutPlaces(text string) string {
	var out []string
	place := 0
	for _, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(trimmed, `"place": {`):
			place = 1
			continue
		case place > 0:
			if strings.HasPrefix(trimmed, "}") {
				place = 0
			}
			continue
		}
		for {
			open := strings.LastIndex(line, " (")
			end := strings.LastIndex(line, ")")
			if open < 0 || end < open || strings.Trim(line[open+2:end], "0123456789") != "" {
				break
			}
			line = line[:open] + line[end+1:]
		}
		out = append(out, strings.TrimRight(line, ","))
	}
	return strings.Join(out, "\n")
}

// A cluster without the Gateway API is none that lacks something; what the caller may not
// read is said, and the rest is answered.
func TestLiveRights(t *testing.T) {
	_, config := liveEntries(t, shopEntries, false)
	r := sluice(t, "", "list", "--kubeconfig", config)
	if r.code != exitOK || !strings.Contains(r.out, "Ingress shop/web") || strings.Contains(r.out, "TCPRoute") || r.err != "" {
		t.Errorf("%+v", r)
	}
	for _, c := range []struct {
		forbidden []string
		code      int
		err       string
		has, lack string
	}{
		{[]string{"ingresses"}, exitOK, "notice: Ingresses may not be read", "TCPRoute shop/sql", "Ingress shop/web"},
		{[]string{"tcproutes", "ingressclasses"}, exitOK, "IngressClasses, TCPRoutes may not be read", "Ingress shop/web", "TCPRoute"},
		{[]string{"ingresses", "gateways", "gatewayclasses", "httproutes", "tcproutes"}, exitOK, "Ingresses, Gateways, GatewayClasses, HTTPRoutes, TCPRoutes may not be read", "shop/web → shop/db", "Entries"},
		{[]string{"services"}, exitOK, "Services may not be read", "Service shop/web is not in the input", "front/nginx, the controller"},
		{[]string{"deployments"}, exitOK, "Deployments are left out", "workload", "shop/web → shop/db"},
		{[]string{"networkpolicies"}, exitUnusable, "list for pods and networkpolicies", "", "→"},
	} {
		s, config := liveEntries(t, shopEntries, true)
		s.forbidden = c.forbidden
		r := sluice(t, "", "list", "--kubeconfig", config)
		if r.code != c.code || !strings.Contains(r.err, c.err) || !strings.Contains(r.out, c.has) || strings.Contains(r.out, c.lack) {
			t.Errorf("%v: %+v", c.forbidden, r)
		}
	}
}
