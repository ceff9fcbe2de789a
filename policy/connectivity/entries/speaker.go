package entries

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy/manifest"
)

// Speaker is the program that connects to what is behind an entry.
type Speaker struct {
	// Name says in words who is meant, as "the controller of class nginx".
	Name string
	// Selectors are what its Pods are recognised by: one of them must match.
	Selectors []Selector
	// Cloud: it is a load balancer of a cloud, with addresses outside of the cluster.
	Cloud bool
}

// Selector is labels that Pods have, of one namespace, or of any where that is empty.
type Selector struct {
	Namespace string
	Labels    map[string]string
}

// Matches reports whether a Pod is meant.
func (s *Selector) Matches(namespace string, labels map[string]string) bool {
	if s.Namespace != "" && s.Namespace != namespace {
		return false
	}
	return subset(s.Labels, labels)
}

// subset reports whether labels have all that is wanted.
func subset(wanted, labels map[string]string) bool {
	for k, v := range wanted {
		if has, is := labels[k]; !is || has != v {
			return false
		}
	}
	return true
}

func (s *Selector) String() string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(s.Labels)) {
		out = append(out, k+"="+s.Labels[k])
	}
	text := strings.Join(out, ",")
	if s.Namespace != "" {
		text = "ns/" + s.Namespace + ":" + text
	}
	return text
}

// Matches reports whether a Pod is one of the program's.
func (s *Speaker) Matches(namespace string, labels map[string]string) bool {
	return slices.ContainsFunc(s.Selectors, func(one Selector) bool { return one.Matches(namespace, labels) })
}

// Program is a controller that is recognised.
type Program struct {
	// Controllers are what classes call it in spec.controller, all that begins so; Classes
	// are names that classes of it have by default.
	Controllers, Classes []string
	// Labels are those that its installation manifests give its Pods, several sets where
	// there are several ways to install it.
	Labels []map[string]string
	// Cloud: it has no Pods that connect; a cloud's load balancer does.
	Cloud bool
}

// Known are the controllers that are recognised, each by its own installation manifests:
//   - https://github.com/kubernetes/ingress-nginx/tree/main/deploy/static/provider
//   - https://github.com/nginx/kubernetes-ingress/tree/main/deployments
//   - https://github.com/traefik/traefik-helm-chart, which k3s ships
//   - https://github.com/haproxytech/helm-charts and https://haproxy-ingress.github.io
//   - https://github.com/Kong/charts
//   - https://projectcontour.io/quickstart/contour.yaml, whose Envoy it is that connects
//   - https://istio.io/latest/docs/setup/additional-setup/gateway
//   - https://docs.redhat.com/en/documentation/openshift_container_platform/4.20/html/ingress_and_load_balancing
//   - https://docs.aws.amazon.com/eks/latest/userguide/alb-ingress.html
//   - https://cloud.google.com/kubernetes-engine/docs/concepts/ingress
var Known = []Program{
	{
		Controllers: []string{"k8s.io/ingress-nginx"}, Classes: []string{"nginx"},
		Labels: []map[string]string{{"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/component": "controller"}},
	},
	{
		Controllers: []string{"nginx.org/ingress-controller"}, Classes: []string{"nginx"},
		Labels: []map[string]string{{"app.kubernetes.io/name": "nginx-ingress"}, {"app": "nginx-ingress"}},
	},
	{
		Controllers: []string{"traefik.io/ingress-controller", "traefik.io/gateway-controller"}, Classes: []string{"traefik"},
		Labels: []map[string]string{{"app.kubernetes.io/name": "traefik"}},
	},
	{
		Controllers: []string{"haproxy.org/ingress-controller"}, Classes: []string{"haproxy"},
		Labels: []map[string]string{{"app.kubernetes.io/name": "kubernetes-ingress"}, {"run": "haproxy-ingress"}},
	},
	{
		Controllers: []string{"haproxy-ingress.github.io/controller"}, Classes: []string{"haproxy"},
		Labels: []map[string]string{{"app.kubernetes.io/name": "haproxy-ingress"}},
	},
	{
		Controllers: []string{"ingress-controllers.konghq.com/kong", "konghq.com/kic-gateway-controller"}, Classes: []string{"kong"},
		Labels: []map[string]string{{"app.kubernetes.io/name": "kong", "app.kubernetes.io/component": "app"}, {"app.kubernetes.io/name": "gateway", "app.kubernetes.io/component": "app"}, {"app": "proxy-kong"}},
	},
	{
		Controllers: []string{"projectcontour.io/"}, Classes: []string{"contour"},
		Labels: []map[string]string{{"app": "envoy"}, {"app.kubernetes.io/name": "contour", "app.kubernetes.io/component": "envoy"}},
	},
	{
		Controllers: []string{"istio.io/ingress-controller"}, Classes: []string{"istio"},
		Labels: []map[string]string{{"istio": "ingressgateway"}},
	},
	{
		Controllers: []string{"openshift.io/ingress-to-route"}, Classes: []string{"openshift-default"},
		Labels: []map[string]string{{routerLabel: defaultRouter}},
	},
	{Controllers: []string{"ingress.k8s.aws/alb"}, Classes: []string{"alb"}, Cloud: true},
	{Controllers: []string{"k8s.io/ingress-gce", "networking.gke.io/gateway"}, Classes: []string{"gce"}, Cloud: true},
}

// Labels of the Pods of a Gateway's proxy.
const (
	gatewayName           = "gateway.networking.k8s.io/gateway-name"
	envoyGatewayName      = "gateway.envoyproxy.io/owning-gateway-name"
	envoyGatewayNamespace = "gateway.envoyproxy.io/owning-gateway-namespace"
)

// The Pods of OpenShift's routers, one Deployment for each IngressController.
const (
	routerNamespace = "openshift-ingress"
	routerLabel     = "ingresscontroller.operator.openshift.io/deployment-ingresscontroller"
	defaultRouter   = "default"
)

// SpeakerOf says who connects to what is behind an entry. Of a route it is whoever does
// for its Gateways.
func SpeakerOf(set *manifest.Set, e *manifest.Entry) Speaker {
	switch e.Kind {
	case "Ingress":
		return ofClass(set, "IngressClass", e.Class, Speaker{})
	case "Gateway":
		return ofGateway(set, e.NamespacedName, e.Class)
	case "Route":
		return ofRouters(e.Routers)
	}
	var out Speaker
	var names []string
	for _, g := range e.Gateways {
		class := ""
		if gateway := Find(set, "Gateway", g); gateway != nil {
			class = gateway.Class
		}
		one := ofGateway(set, g, class)
		names = append(names, one.Name)
		out.Selectors = append(out.Selectors, one.Selectors...)
		out.Cloud = out.Cloud || one.Cloud
	}
	if out.Name = strings.Join(names, " and "); len(names) == 0 {
		out.Name = "the proxy of the Gateway that it names, which is none"
	}
	return out
}

// Find is an entry of a set, nil if there is none of that name.
func Find(set *manifest.Set, kind string, name types.NamespacedName) *manifest.Entry {
	for i := range set.Entries {
		if e := &set.Entries[i]; e.Kind == kind && e.NamespacedName == name {
			return e
		}
	}
	return nil
}

func ofGateway(set *manifest.Set, name types.NamespacedName, class string) Speaker {
	out := Speaker{Name: "the proxy of Gateway " + name.String(), Selectors: []Selector{
		{Namespace: name.Namespace, Labels: map[string]string{gatewayName: name.Name}},
		{Labels: map[string]string{envoyGatewayName: name.Name, envoyGatewayNamespace: name.Namespace}},
	}}
	if class == "" {
		return out
	}
	return ofClass(set, "GatewayClass", class, out)
}

// ofRouters are those that admitted a Route, or the default one where none has yet.
func ofRouters(names []string) Speaker {
	if len(names) == 0 {
		names = []string{defaultRouter}
	}
	out := Speaker{Name: "OpenShift's router " + strings.Join(names, ", ")}
	for _, name := range names {
		out.Selectors = append(out.Selectors, Selector{Namespace: routerNamespace, Labels: map[string]string{routerLabel: name}})
	}
	return out
}

// ofClass adds how the controller of a class is recognised.
func ofClass(set *manifest.Set, kind, class string, out Speaker) Speaker {
	controller := ""
	for _, c := range set.EntryClasses {
		if c.Kind == kind && (c.Name == class || class == "" && c.Default) {
			class, controller = c.Name, c.Controller
			break
		}
	}
	var found []Program
	for _, p := range Known {
		by := slices.Contains(p.Classes, class) && controller == "" ||
			slices.ContainsFunc(p.Controllers, func(s string) bool { return strings.HasPrefix(controller, s) })
		if by || class == "" { // whichever of those that are known is there
			found = append(found, p)
		}
	}
	for _, p := range found {
		for _, labels := range p.Labels {
			out.Selectors = append(out.Selectors, Selector{Labels: labels})
		}
		out.Cloud = out.Cloud || p.Cloud && class != ""
	}
	switch {
	case out.Name != "":
	case class == "":
		out.Name = "the ingress controller (it names no class)"
	case controller != "":
		out.Name = fmt.Sprintf("the controller %s of class %s", controller, class)
	default:
		out.Name = "the controller of class " + class
	}
	return out
}
