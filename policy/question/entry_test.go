package question_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/connectivity/entries"
	"github.com/sluice-net/sluice/policy/connectivity/inventory"
	"github.com/sluice-net/sluice/policy/manifest"
	"github.com/sluice-net/sluice/policy/question"
	"github.com/sluice-net/sluice/policy/spectest"
)

// entered is a random cluster of Deployments, with an Ingress or a Route that leads to each
// of them on several ports, and, of some seeds, the Pods of who speaks for it.
func entered(seed uint64) manifest.Set {
	c := spectest.Random(spectest.Seeded(seed), spectest.Options{Plain: true, Pods: 2 + int(seed%6)})
	set := manifest.Set{Namespaces: c.Namespaces, Policies: c.Policies}
	controller := map[string]string{"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/component": "controller"}
	deployment := func(namespace, name string, labels map[string]string, spec corev1.PodSpec) {
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		d.Spec.Template = corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec}
		set.Workloads = append(set.Workloads, manifest.NewWorkload("Deployment", &d.ObjectMeta, nil).WithTemplate(&d.Spec.Template))
	}
	for i, p := range c.Pods {
		if p.Spec.HostNetwork {
			continue
		}
		labels := map[string]string{"its": fmt.Sprint(i)}
		for k, v := range p.Labels {
			labels[k] = v
		}
		deployment(p.Namespace, p.Name, labels, p.Spec)
		svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name}}
		svc.Spec.Selector = map[string]string{"its": fmt.Sprint(i)}
		e := manifest.Entry{Kind: "Ingress", NamespacedName: types.NamespacedName{Namespace: p.Namespace, Name: p.Name}, Class: "nginx"}
		for _, port := range []int32{53, 80, 81, 443, 8080} {
			svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{Name: fmt.Sprintf("p%d", port), Port: port, Protocol: "TCP", TargetPort: intstr.FromInt32(port)})
			e.Backends = append(e.Backends, manifest.EntryBackend{Kind: "Service", NamespacedName: e.NamespacedName, Port: fmt.Sprint(port), At: []string{"*"}})
		}
		if seed%4 >= 2 {
			e.Kind, e.Class = "Route", ""
			e.Backends = []manifest.EntryBackend{{Kind: "Service", NamespacedName: e.NamespacedName, ByTarget: true, At: []string{"*"}}}
		}
		set.Services = append(set.Services, svc)
		set.Entries = append(set.Entries, e)
	}
	if seed%2 == 0 && len(c.Pods) > 0 {
		router := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "openshift-ingress", Labels: c.Namespaces[0].Labels}}
		set.Namespaces = append(set.Namespaces, router)
		deployment(router.Name, "router-default", map[string]string{"ingresscontroller.operator.openshift.io/deployment-ingresscontroller": "default"},
			corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}})
		deployment(c.Pods[0].Namespace, "controller", controller, corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}})
	}
	return set
}

// What is answered about an entry and a workload is what a list says of the two, whether
// its controller is known or not.
func TestEntriesAskedAsListed(t *testing.T) {
	counts := map[string]int{}
	for seed := range uint64(120) {
		set := entered(seed)
		c := inventory.Cluster(&set)
		m, w := connectivity.New(&c), question.New(set)
		for _, way := range entries.Judge(&set, &c, m) {
			if way.Fault != "" {
				t.Fatalf("%v: %s", way.Entry, way.Fault)
			}
			for _, b := range way.Backends {
				for _, name := range b.Workloads {
					dst := question.End{Kind: question.Kind(name.Kind), Object: types.NamespacedName{Namespace: name.Namespace, Name: name.Name}}
					q := question.Question{
						Src: question.End{Kind: question.Kind(way.Entry.Kind), Object: types.NamespacedName{Namespace: way.Entry.Namespace, Name: way.Entry.Name}},
						Dst: dst, Protocol: b.Port.Protocol, Port: fmt.Sprint(b.Port.First),
					}
					a, err := w.Ask(q)
					if err != nil {
						t.Fatalf("seed %d: %s: %v", seed, q, err)
					}
					if got := string(a.Result()); got != b.Answer.String() {
						t.Fatalf("seed %d: %s (controllers %v): asked %s, listed %s", seed, q, way.Speakers, got, b.Answer)
					}
					counts[fmt.Sprint(way.Entry.Kind, " ", len(way.Speakers) > 0, " ", b.Answer)]++
				}
			}
		}
	}
	for _, kind := range []string{"Ingress", "Route"} {
		for _, answer := range []string{"true allowed", "true denied", "true depends", "false allowed", "false denied", "false depends"} {
			if counts[kind+" "+answer] < 20 {
				t.Errorf("%s %s: %d times: %v", kind, answer, counts[kind+" "+answer], counts)
			}
		}
	}
}

const entryShop = `
{apiVersion: apps/v1, kind: Deployment, metadata: {namespace: shop, name: web}, spec: {selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}}}}
---
{apiVersion: v1, kind: Service, metadata: {namespace: shop, name: web}, spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {namespace: shop, name: web}, spec: {ingressClassName: CLASS, rules: [{http: {paths: [{path: /, backend: {service: {name: web, port: {name: http}}}}, {path: /none, backend: {service: {name: none, port: {number: 80}}}}]}}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {namespace: infra, name: gw}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {namespace: infra, name: idle}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {namespace: shop, name: web}, spec: {parentRefs: [{name: gw, namespace: infra}], rules: [{backendRefs: [{name: web, port: 80}]}]}}
---
{apiVersion: route.openshift.io/v1, kind: Route, metadata: {namespace: shop, name: web}, spec: {port: {targetPort: 8080}, to: {kind: Service, name: web}}}
---
{apiVersion: route.openshift.io/v1, kind: Route, metadata: {namespace: shop, name: other}, spec: {port: {targetPort: 80}, to: {kind: Service, name: web}, alternateBackends: [{name: none}]}}
---
{apiVersion: v1, kind: Pod, metadata: {namespace: infra, name: proxy, labels: {gateway.networking.k8s.io/gateway-name: gw}}, status: {podIP: 10.0.0.9}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: shop, name: web}, spec: {podSelector: {matchLabels: {app: web}}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: infra}}}], ports: [{port: 8080}]}]}}
`

func TestEntriesAsEnds(t *testing.T) {
	for _, c := range []struct {
		class, src, dst string
		want            []string
	}{
		{"nginx", "ingress/web", "web:8080", []string{"depends", "whether the controller of class nginx is one of those whom policies let in on that port: any Pod of namespace infra", "no Pod of the manifests is recognised"}},
		{"nginx", "ingress/web", "web:9999", []string{"denied"}},
		{"alb", "ingress/web", "web:8080", []string{"denied", "the load balancer of the controller of class alb"}},
		{"nginx", "gateway/infra/gw", "web:8080", []string{"allowed", "Pods are those with ns/infra:gateway.networking.k8s.io/gateway-name=gw"}},
		{"nginx", "httproute/web", "httproute/web", []string{"allowed", "httproute/shop/web, which leads to Service shop/web"}},
		{"nginx", "gateway/infra/gw", "gateway/infra/gw", []string{"allowed"}},
		{"nginx", "internet", "ingress/web", []string{"denied", "past it", "left out: no Service shop/none"}},
		{"nginx", "pod/infra/proxy", "ing/web", []string{"allowed"}},
		{"nginx", "pod/infra/proxy", "route/web", []string{"allowed", "route/shop/web, which leads to Service shop/web"}},
		{"nginx", "route/web", "route/web", []string{"depends", "whether OpenShift's router default is one of those whom policies let in on that port: any Pod of namespace infra"}},
		{"nginx", "pod/infra/proxy", "route/other", []string{"error: dst: no Pod behind Service shop/web has the TCP port 80, by its number"}},
		{"nginx", "ingress/web", "ingress/web:80", []string{"error: dst: ingress/shop/web leads to ports of its own: write it without one"}},
		{"nginx", "ingress/wbe", "web:8080", []string{"error: src: no Ingress shop/wbe in the manifests; did you mean shop/web?"}},
		{"nginx", "web", "gateway/infra/idle", []string{"error: dst: no route of the manifests stands behind Gateway infra/idle"}},
	} {
		var l manifest.Loader
		l.Add("f.yaml", []byte(strings.Replace(entryShop, "CLASS", c.class, 1)))
		set, _ := l.Finish()
		q, err := question.Parse(c.src, c.dst, "shop")
		if err != nil {
			t.Fatal(err)
		}
		q.GuessPort = true
		a, err := question.New(set).Ask(q)
		got := fmt.Sprintf("%s\n%s\n%s", a.Through, strings.Join(a.Notices, "\n"), "")
		if err != nil {
			got = "error: " + err.Error()
		} else {
			got = string(a.Result()) + "\n" + got
			for _, o := range a.Outcomes {
				got += "whether " + strings.Join(o.Depends, "\nwhether ") + "\n"
			}
		}
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("class %s: %s → %s: %q is missing in\n%s", c.class, c.src, c.dst, want, got)
			}
		}
	}
}

// Of a cluster entries are asked for when they are needed, of one namespace where no more
// may be read.
func TestEntriesAreMissing(t *testing.T) {
	var l manifest.Loader
	l.Add("f.yaml", []byte(strings.Replace(entryShop, "CLASS", "nginx", 1)))
	set, _ := l.Finish()
	w := question.NewLive(manifest.Set{Namespaces: set.Namespaces, Policies: set.Policies, Pods: set.Pods})
	q, err := question.Parse("ingress/web", "pod/infra/proxy:80", "shop")
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	for range 5 {
		_, err := w.Ask(q)
		var missing *question.Missing
		if !errors.As(err, &missing) {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		for _, n := range missing.Needs {
			asked = append(asked, string(n.Kind)+"/"+n.Namespace)
			w.Supply(n, manifest.Set{Entries: set.Entries}, nil)
		}
	}
	if strings.Join(asked, " ") != "Entry/" {
		t.Errorf("asked for %v", asked)
	}
}
