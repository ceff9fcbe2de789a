package entries_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/connectivity/entries"
	"github.com/sluice-net/sluice/policy/connectivity/inventory"
	"github.com/sluice-net/sluice/policy/manifest"
)

func deployment(namespace, name, labels string) string {
	return fmt.Sprintf("{apiVersion: apps/v1, kind: Deployment, metadata: {namespace: %[1]s, name: %[2]s}, spec: {selector: {matchLabels: {%[3]s}}, template: {metadata: {labels: {%[3]s}}, spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}}}}\n---\n", namespace, name, labels)
}

const (
	service = "{apiVersion: v1, kind: Service, metadata: {namespace: shop, name: web}, spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}}\n---\n"
	ingress = "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {namespace: shop, name: web}, spec: {CLASS rules: [{host: a.example, http: {paths: [{path: /, backend: {service: {name: web, port: {number: 80}}}}]}}]}}\n---\n"
	nginx   = "app.kubernetes.io/name: ingress-nginx, app.kubernetes.io/component: controller"
)

func policyFrom(from string) string {
	return "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: shop, name: web}, spec: {podSelector: {matchLabels: {app: web}}, ingress: [" + from + "]}}\n---\n"
}

func judged(t *testing.T, text string) []entries.Way {
	t.Helper()
	l := manifest.Loader{Repository: true}
	l.Add("f.yaml", []byte(text))
	set, problems := l.Finish()
	for _, p := range problems {
		if !p.Notice {
			t.Fatal(p)
		}
	}
	c := inventory.Cluster(&set)
	return entries.Judge(&set, &c, connectivity.New(&c))
}

// told is ways on a line each.
func told(ways []entries.Way) []string {
	var out []string
	for _, w := range ways {
		head := fmt.Sprintf("%s %s/%s: ", w.Entry.Kind, w.Entry.Namespace, w.Entry.Name)
		if w.Fault != "" {
			out = append(out, head+w.Fault)
		}
		for _, b := range w.Backends {
			line := fmt.Sprintf("%s%s %s %s, outside %s", head, b.Workloads[0].Name, b.Port, b.Answer, b.Outside)
			for i := range b.Admitted {
				line += "; " + b.Admitted[i].String()
			}
			for _, c := range b.If {
				line += "; if " + c.String()
			}
			out = append(out, line)
		}
	}
	return out
}

func TestJudge(t *testing.T) {
	web := deployment("shop", "web", "app: web") + service
	classed := func(class string) string {
		if class != "" {
			class = "ingressClassName: " + class + ","
		}
		return strings.Replace(ingress, "CLASS", class, 1)
	}
	fromFront := policyFrom("{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: front}}}], ports: [{port: 8080}]}")
	controller := deployment("front", "controller", nginx)
	for name, c := range map[string]struct {
		in   string
		want []string
	}{
		"the controller is let in":                   {web + classed("nginx") + controller + fromFront, []string{"Ingress shop/web: web TCP 8080 allowed, outside denied"}},
		"the controller is not let in":               {web + classed("nginx") + controller + policyFrom(""), []string{"Ingress shop/web: web TCP 8080 denied, outside denied"}},
		"no policy":                                  {web + classed("nginx"), []string{"Ingress shop/web: web TCP 8080 allowed, outside allowed"}},
		"no controller":                              {web + classed("nginx") + fromFront, []string{"Ingress shop/web: web TCP 8080 depends, outside denied; any Pod of namespace front"}},
		"another's controller":                       {web + classed("traefik") + controller + fromFront, []string{"Ingress shop/web: web TCP 8080 depends, outside denied; any Pod of namespace front"}},
		"nobody is let in":                           {web + classed("nginx") + policyFrom("{from: [{podSelector: {}}], ports: [{port: 1}]}"), []string{"Ingress shop/web: web TCP 8080 denied, outside denied"}},
		"everybody is let in":                        {web + classed("nginx") + policyFrom("{ports: [{port: 8080}]}"), []string{"Ingress shop/web: web TCP 8080 allowed, outside allowed"}},
		"every Pod is let in":                        {web + classed("nginx") + policyFrom("{from: [{namespaceSelector: {}}]}"), []string{"Ingress shop/web: web TCP 8080 depends, outside denied; every namespace"}},
		"without a class, whose controller is there": {web + classed("") + controller + fromFront, []string{"Ingress shop/web: web TCP 8080 allowed, outside denied"}},
		"the default class": {web + classed("") + controller + fromFront +
			"{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: mine, annotations: {ingressclass.kubernetes.io/is-default-class: \"true\"}}, spec: {controller: k8s.io/ingress-nginx}}\n",
			[]string{"Ingress shop/web: web TCP 8080 allowed, outside denied"}},
		"a class of another controller under a known name": {web + classed("nginx") + controller + fromFront +
			"{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: nginx}, spec: {controller: example.com/mine}}\n",
			[]string{"Ingress shop/web: web TCP 8080 depends, outside denied; any Pod of namespace front"}},
		"a cloud's load balancer": {web + classed("alb") + policyFrom("{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}"), []string{"Ingress shop/web: web TCP 8080 depends, outside depends"}},
		"a range that may hold the controller": {web + classed("nginx") + controller + policyFrom("{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}"),
			[]string{"Ingress shop/web: web TCP 8080 depends, outside depends; if the address is in 10.0.0.0/8"}},
		"no Service":          {classed("nginx"), []string{"Ingress shop/web: Service shop/web is not in the input"}},
		"nobody behind":       {service + classed("nginx"), []string{"Ingress shop/web: Service shop/web selects no workload of the input"}},
		"no such port":        {web + strings.Replace(classed("nginx"), "number: 80", "number: 81", 1), []string{"Ingress shop/web: Service shop/web has no port 81/TCP: it has 80/TCP (http)"}},
		"no such target":      {strings.ReplaceAll(web, "name: http, containerPort", "name: other, containerPort") + classed("nginx"), []string{"Ingress shop/web: no workload that Service shop/web selects has its targetPort http"}},
		"a name outside":      {"{apiVersion: v1, kind: Service, metadata: {namespace: shop, name: web}, spec: {type: ExternalName, externalName: a.example, ports: [{port: 80}]}}\n---\n" + classed("nginx"), []string{"Ingress shop/web: Service shop/web is a name for a.example, outside"}},
		"no selector":         {"{apiVersion: v1, kind: Service, metadata: {namespace: shop, name: web}, spec: {ports: [{port: 80}]}}\n---\n" + classed("nginx"), []string{"Ingress shop/web: Service shop/web selects nothing; its endpoints are not looked at"}},
		"no backend":          {"{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {namespace: shop, name: web}}", []string{"Ingress shop/web: it names no backend"}},
		"a Gateway, no route": {"{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {namespace: shop, name: gw}}", []string{"Gateway shop/gw: no route of the input stands behind it"}},
		"a Gateway and its proxy": {
			web + policyFrom("{from: [{podSelector: {}}]}") + deployment("shop", "proxy", "gateway.networking.k8s.io/gateway-name: gw") +
				"{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {namespace: shop, name: gw}}\n---\n" +
				"{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {namespace: shop, name: r}, spec: {parentRefs: [{name: gw}], rules: [{backendRefs: [{name: web, port: 80}]}]}}",
			[]string{"HTTPRoute shop/r: web TCP 8080 allowed, outside denied"},
		},
		"a route of no Gateway": {
			web + "{apiVersion: gateway.networking.k8s.io/v1alpha2, kind: TCPRoute, metadata: {namespace: shop, name: r}, spec: {rules: [{backendRefs: [{name: web, port: 80}]}]}}",
			[]string{"TCPRoute shop/r: web TCP 8080 allowed, outside allowed"},
		},
	} {
		if diff := cmp.Diff(c.want, told(judged(t, c.in))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// A Route of OpenShift leads to ports of Pods: by their number, by the name that the
// Service gives them, or to all that are TCP's.
func TestRoutes(t *testing.T) {
	const routed = "{apiVersion: v1, kind: Service, metadata: {namespace: shop, name: web}, spec: {selector: {app: web}, ports: [{name: web, port: 80, targetPort: http}, {name: admin, port: 81, targetPort: 9090}, {name: dns, port: 53, protocol: UDP}]}}\n---\n"
	const router = "ingresscontroller.operator.openshift.io/deployment-ingresscontroller: "
	route := func(spec, status string) string {
		return "{apiVersion: route.openshift.io/v1, kind: Route, metadata: {namespace: shop, name: r}, spec: {" + spec + "to: {kind: Service, name: web}}, status: {" + status + "}}\n---\n"
	}
	web := deployment("shop", "web", "app: web") + routed
	fromIngress := policyFrom("{from: [{namespaceSelector: {matchLabels: {network.openshift.io/policy-group: ingress}}}]}") +
		"{apiVersion: v1, kind: Namespace, metadata: {name: openshift-ingress, labels: {network.openshift.io/policy-group: ingress}}}\n---\n"
	shard := "ingress: [{routerName: shard, conditions: [{type: Admitted, status: 'True'}]}]"
	for name, c := range map[string]struct {
		in   string
		want []string
	}{
		"every port":                  {web + route("", ""), []string{"Route shop/r: web TCP 8080 allowed, outside allowed", "Route shop/r: web TCP 9090 allowed, outside allowed"}},
		"by the Pods' number":         {web + route("port: {targetPort: 8080},", ""), []string{"Route shop/r: web TCP 8080 allowed, outside allowed"}},
		"by the number as a string":   {web + route("port: {targetPort: '9090'},", ""), []string{"Route shop/r: web TCP 9090 allowed, outside allowed"}},
		"by the Service's name":       {web + route("port: {targetPort: web},", ""), []string{"Route shop/r: web TCP 8080 allowed, outside allowed"}},
		"not by the Service's number": {web + route("port: {targetPort: 80},", ""), []string{"Route shop/r: no Pod behind Service shop/web has the TCP port 80, by its number or by the Service's name for it: the Service has 80/TCP (web), 81/TCP (admin), 53/UDP (dns)"}},
		"not by the Pods' name":       {web + route("port: {targetPort: http},", ""), []string{"Route shop/r: no Pod behind Service shop/web has the TCP port http, by its number or by the Service's name for it: the Service has 80/TCP (web), 81/TCP (admin), 53/UDP (dns)"}},
		"nobody behind":               {routed + route("", ""), []string{"Route shop/r: Service shop/web selects no workload of the input"}},
		"no Service":                  {deployment("shop", "web", "app: web") + route("", ""), []string{"Route shop/r: Service shop/web is not in the input"}},
		"the router is let in":        {web + route("port: {targetPort: web},", "") + fromIngress + deployment("openshift-ingress", "router-default", router+"default"), []string{"Route shop/r: web TCP 8080 allowed, outside denied"}},
		"a namesake elsewhere":        {web + route("port: {targetPort: web},", "") + fromIngress + deployment("shop", "router-default", router+"default"), []string{"Route shop/r: web TCP 8080 depends, outside denied; any Pod of namespace openshift-ingress; any Pod of a namespace with network.openshift.io/policy-group=ingress"}},
		"another router took it":      {web + route("port: {targetPort: web},", shard) + fromIngress + deployment("openshift-ingress", "router-default", router+"default"), []string{"Route shop/r: web TCP 8080 depends, outside denied; any Pod of namespace openshift-ingress; any Pod of a namespace with network.openshift.io/policy-group=ingress"}},
		"its router is not let in":    {web + route("port: {targetPort: web},", shard) + policyFrom("") + deployment("openshift-ingress", "router-shard", router+"shard"), []string{"Route shop/r: web TCP 8080 denied, outside denied"}},
	} {
		if diff := cmp.Diff(c.want, told(judged(t, c.in))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Every controller that is known is found by its labels, of each class that names it.
func TestKnownControllers(t *testing.T) {
	for _, p := range entries.Known {
		if p.Cloud {
			continue
		}
		for _, controller := range p.Controllers {
			for _, labels := range p.Labels {
				set := manifest.Set{EntryClasses: []manifest.EntryClass{{Kind: "IngressClass", Name: "mine", Controller: controller}}}
				who := entries.SpeakerOf(&set, &manifest.Entry{Kind: "Ingress", Class: "mine"})
				if !who.Matches("any", labels) || who.Matches("any", map[string]string{"app": "web"}) {
					t.Errorf("%s: %v", controller, labels)
				}
			}
		}
		for _, class := range p.Classes {
			if who := entries.SpeakerOf(&manifest.Set{}, &manifest.Entry{Kind: "Ingress", Class: class}); !who.Matches("any", p.Labels[0]) {
				t.Errorf("class %s: %v", class, p.Labels[0])
			}
		}
	}
}

func TestDiff(t *testing.T) {
	web := deployment("shop", "web", "app: web") + deployment("front", "controller", nginx) + service + strings.Replace(ingress, "CLASS", "ingressClassName: nginx,", 1)
	open, closed := web, web+policyFrom("")
	moved := strings.Replace(web, "a.example", "b.example", 1)
	for name, c := range map[string]struct {
		before, after string
		want          []string
		opens         bool
	}{
		"the same":        {open, open, nil, false},
		"denied twice":    {closed, closed, nil, false},
		"newly allowed":   {closed, open, []string{"allowed web denied to allowed"}, true},
		"newly denied":    {open, closed, []string{"denied web allowed to denied"}, false},
		"another host":    {open, moved, []string{"changed web allowed to allowed"}, true},
		"no entry before": {deployment("shop", "web", "app: web"), open, []string{"allowed web absent to allowed"}, true},
		"no entry after":  {open, deployment("shop", "web", "app: web"), []string{"denied web allowed to absent"}, false},
		"depends now":     {open, strings.ReplaceAll(web, nginx, "app: other") + policyFrom("{from: [{namespaceSelector: {}}]}"), []string{"changed web allowed to depends"}, false},
	} {
		var got []string
		opens := false
		for _, one := range entries.Diff(judged(t, c.before), judged(t, c.after)) {
			got = append(got, fmt.Sprintf("%s %s %s to %s", one.Kind, one.Workloads[0].Name, one.OldAnswer, one.NewAnswer))
			opens = opens || one.Opens()
		}
		if diff := cmp.Diff(c.want, got); diff != "" || opens != c.opens {
			t.Errorf("%s: opens %t (-want +got):\n%s", name, opens, diff)
		}
	}
}
