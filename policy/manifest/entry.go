package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/json"
)

// GatewayGroup is the API group of Gateways and of the routes behind them. Its types are
// not linked: of each kind a few fields are read, which are the same in all versions.
// https://gateway-api.sigs.k8s.io/reference/spec/
const GatewayGroup = "gateway.networking.k8s.io"

// entryKinds are the kinds of entries and of their classes, by their group and, where the
// group has several that differ, its version.
var entryKinds = map[string]string{
	"Ingress": "networking.k8s.io/v1", "IngressClass": "networking.k8s.io/v1",
	"Gateway": GatewayGroup, "GatewayClass": GatewayGroup, "HTTPRoute": GatewayGroup, "GRPCRoute": GatewayGroup,
	"TLSRoute": GatewayGroup, "TCPRoute": GatewayGroup, "UDPRoute": GatewayGroup,
	"Route": RouteGroup,
}

// isEntry reports whether an object is an entry or a class of entries.
func isEntry(t typeMeta) bool {
	group, _, _ := strings.Cut(t.APIVersion, "/")
	want := entryKinds[t.Kind]
	return want != "" && (want == t.APIVersion || want == group)
}

// Entry is what lets connections in from outside: an Ingress, a Gateway, a route that
// stands behind Gateways, or a Route of OpenShift.
type Entry struct {
	Kind string
	types.NamespacedName
	// Class is that of an Ingress or a Gateway; empty for the default class, and for routes.
	Class string
	// Listeners are those of a Gateway, as "HTTPS 443".
	Listeners []string
	// Gateways are those that a route stands behind.
	Gateways []types.NamespacedName
	// Routers are those that have admitted a Route of OpenShift, by the names of their
	// IngressControllers.
	Routers []string
	// Backends are what it leads to, each once.
	Backends []EntryBackend
}

// EntryBackend is a port of a Service, or something else that an entry leads to.
type EntryBackend struct {
	// Kind is "Service", or what else it is.
	Kind string
	types.NamespacedName
	// Port is a number or a name of a port of the Service.
	Port string
	// ByTarget: Port is what [service.Means] takes instead, and empty for all.
	ByTarget bool
	// At are the hosts and paths that lead there, as "shop.example.org/cart"; More counts
	// those beyond the first of them.
	At   []string
	More int
	// Field is where the entry first names it, as "spec.rules[0].backendRefs[1]".
	Field string
}

// EntryClass is an IngressClass or a GatewayClass.
type EntryClass struct {
	Kind, Name string
	// Controller says which program answers for it, as "k8s.io/ingress-nginx".
	Controller string
	// Default: an Ingress without a class is of this one.
	Default bool
}

// mostAt is how many hosts and paths of a backend are kept: an entry may have thousands.
const mostAt = 16

// leads notes that an entry leads to a backend from a host and path.
func (e *Entry) leads(to EntryBackend, at string) {
	i := slices.IndexFunc(e.Backends, func(b EntryBackend) bool {
		return b.Kind == to.Kind && b.NamespacedName == to.NamespacedName && b.Port == to.Port
	})
	if i < 0 {
		i = len(e.Backends)
		e.Backends = append(e.Backends, to)
	}
	b := &e.Backends[i]
	switch {
	case slices.Contains(b.At, at):
	case len(b.At) == mostAt:
		b.More++
	default:
		b.At = append(b.At, at)
	}
}

// mostBackends is how many an entry may lead to: each is looked for among those before.
const mostBackends = 2000

// fieldFault is what is wrong with a field of an entry.
type fieldFault struct{ field, message string }

// address is a host and a path as a reader knows them. They are free text, of which
// nothing may reach a terminal but what can be seen.
func address(host, path string) string {
	text := cmp.Or(host, "*") + path
	if len(text) > longestAddress {
		text = strings.ToValidUTF8(text[:longestAddress], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\ufffd'
		}
		return r
	}, text)
}

const longestAddress = 200

// oldClass is how Ingresses named their class before they had a field for it.
const oldClass = "kubernetes.io/ingress.class"

// NewIngress takes from an Ingress what leads to Services.
func NewIngress(in *networkingv1.Ingress) Entry {
	e, _ := ingress(in)
	return e
}

func ingress(in *networkingv1.Ingress) (e Entry, faults []fieldFault) {
	e = Entry{Kind: "Ingress", NamespacedName: types.NamespacedName{Namespace: in.Namespace, Name: in.Name}, Class: in.Annotations[oldClass]}
	if in.Spec.IngressClassName != nil {
		e.Class = *in.Spec.IngressClassName
	}
	add := func(b *networkingv1.IngressBackend, field, at string) {
		to := EntryBackend{Kind: "Service", Field: field}
		to.Namespace = in.Namespace
		switch {
		case b.Service != nil && b.Service.Name != "":
			to.Name, to.Port = b.Service.Name, b.Service.Port.Name
			if n := b.Service.Port.Number; n != 0 {
				to.Port = strconv.Itoa(int(n))
			}
			to.Field += ".service"
		case b.Resource != nil && b.Resource.Name != "":
			to.Kind, to.Name = cmp.Or(b.Resource.Kind, "resource"), b.Resource.Name
			to.Field += ".resource"
		default:
			faults = append(faults, fieldFault{field, "leads nowhere: it needs service.name and service.port"})
			return
		}
		if len(e.Backends) < mostBackends {
			e.leads(to, at)
		}
	}
	if b := in.Spec.DefaultBackend; b != nil {
		add(b, "spec.defaultBackend", address("", ""))
	}
	for i := range in.Spec.Rules {
		r := &in.Spec.Rules[i]
		if r.HTTP == nil {
			continue // all of the host is the default backend's
		}
		for j := range r.HTTP.Paths {
			p := &r.HTTP.Paths[j]
			add(&p.Backend, fmt.Sprintf("spec.rules[%d].http.paths[%d].backend", i, j), address(r.Host, p.Path))
		}
	}
	return e, faults
}

// NewIngressClass takes from an IngressClass who answers for it.
func NewIngressClass(in *networkingv1.IngressClass) EntryClass {
	return EntryClass{
		Kind: "IngressClass", Name: in.Name, Controller: in.Spec.Controller,
		Default: in.Annotations[networkingv1.AnnotationIsDefaultIngressClass] == "true",
	}
}

// gatewayObject has the fields that are read of the kinds of GatewayGroup.
type gatewayObject struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		ControllerName   string           `json:"controllerName"`
		GatewayClassName string           `json:"gatewayClassName"`
		Listeners        []gatewayPort    `json:"listeners"`
		ParentRefs       []gatewayRef     `json:"parentRefs"`
		Hostnames        []string         `json:"hostnames"`
		Rules            []gatewayRouting `json:"rules"`
	} `json:"spec"`
}

type gatewayPort struct {
	Protocol string `json:"protocol"`
	Port     int32  `json:"port"`
}

type gatewayRef struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Port      *int32 `json:"port"`
}

type gatewayRouting struct {
	Matches []struct {
		Path struct {
			Value string `json:"value"`
		} `json:"path"`
		// Method is a word in an HTTPRoute, and a mapping in a GRPCRoute.
		Method any `json:"method"`
	} `json:"matches"`
	BackendRefs []gatewayRef `json:"backendRefs"`
}

// EntryObject reads an object of a kind of [GatewayGroup] or [RouteGroup] from JSON, as an
// API server gives it: an entry, or a class, whose kind is GatewayClass then.
func EntryObject(kind string, text []byte) (e Entry, class EntryClass, err error) {
	var o gatewayObject
	var route routeObject
	into := any(&o)
	if kind == routeKind {
		into = &route
	}
	if err := json.UnmarshalCaseSensitivePreserveInts(text, into); err != nil {
		field, message := misfit(text, err)
		return e, class, fmt.Errorf("read %s: %s: %s", kind, field, message)
	}
	switch kind {
	case routeKind:
		e, _ = route.entry()
	case "GatewayClass":
		class = o.class()
	default:
		e, _ = o.entry(kind)
	}
	return e, class, nil
}

func (o *gatewayObject) class() EntryClass {
	return EntryClass{Kind: "GatewayClass", Name: o.Name, Controller: o.Spec.ControllerName}
}

// entry is the object as an entry of its kind.
func (o *gatewayObject) entry(kind string) (e Entry, faults []fieldFault) {
	e = Entry{Kind: kind, NamespacedName: types.NamespacedName{Namespace: o.Namespace, Name: o.Name}}
	if kind == "Gateway" {
		e.Class = o.Spec.GatewayClassName
		for _, l := range o.Spec.Listeners {
			e.Listeners = append(e.Listeners, address(l.Protocol, " "+strconv.Itoa(int(l.Port))))
		}
		return e, nil
	}
	for _, p := range o.Spec.ParentRefs {
		// A route of a mesh stands behind a Service, and lets nobody in.
		name := types.NamespacedName{Namespace: cmp.Or(p.Namespace, o.Namespace), Name: p.Name}
		if cmp.Or(p.Kind, "Gateway") == "Gateway" && p.Name != "" && !slices.Contains(e.Gateways, name) {
			e.Gateways = append(e.Gateways, name)
		}
	}
	for i := range o.Spec.Rules {
		r := &o.Spec.Rules[i]
		for j, to := range r.BackendRefs {
			field := fmt.Sprintf("spec.rules[%d].backendRefs[%d]", i, j)
			b := EntryBackend{Kind: cmp.Or(to.Kind, "Service"), Field: field}
			b.Namespace, b.Name = cmp.Or(to.Namespace, o.Namespace), to.Name
			switch {
			case to.Name == "":
				faults = append(faults, fieldFault{field + ".name", "is missing, so it leads nowhere: name a Service"})
				continue
			case to.Port == nil && b.Kind == "Service":
				faults = append(faults, fieldFault{field + ".port", "is missing, so it leads nowhere: give that of the Service"})
				continue
			case to.Port != nil:
				b.Port = strconv.Itoa(int(*to.Port))
			}
			if len(e.Backends) < mostBackends {
				o.eachAddress(r, func(at string) { e.leads(b, at) })
			}
		}
	}
	return e, faults
}

// eachAddress names the hosts and paths that a rule is about.
func (o *gatewayObject) eachAddress(r *gatewayRouting, do func(string)) {
	paths := []string{""}
	for i := range r.Matches {
		path := r.Matches[i].Path.Value
		if m, is := r.Matches[i].Method.(map[string]any); is {
			service, _ := m["service"].(string)
			method, _ := m["method"].(string)
			path = "/" + service + "/" + method
		}
		if i == 0 {
			paths = paths[:0]
		}
		paths = append(paths, path)
	}
	hosts := o.Spec.Hostnames
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	for _, h := range hosts {
		for _, p := range paths {
			do(address(h, p))
		}
	}
}

// addEntry reads an entry, or a class of them. They decide nothing, so to a node what is
// wrong with them is a notice.
func (l *Loader) addEntry(at place, text []byte, kind string) {
	var e Entry
	var faults []fieldFault
	switch kind {
	case "Ingress":
		in := &networkingv1.Ingress{}
		if !l.decodeRelated(at, text, kind, in, &in.ObjectMeta) {
			return
		}
		e, faults = ingress(in)
	case "IngressClass":
		in := &networkingv1.IngressClass{}
		if l.decodeRelated(at, text, kind, in, &in.ObjectMeta) {
			l.set.EntryClasses = append(l.set.EntryClasses, NewIngressClass(in))
		}
		return
	case routeKind:
		o := &routeObject{}
		if !l.decodeRelated(at, text, kind, o, &o.ObjectMeta) {
			return
		}
		e, faults = o.entry()
	default:
		o := &gatewayObject{}
		if !l.decodeRelated(at, text, kind, o, &o.ObjectMeta) {
			return
		}
		if kind == "GatewayClass" {
			l.set.EntryClasses = append(l.set.EntryClasses, o.class())
			return
		}
		e, faults = o.entry(kind)
	}
	l.set.Entries = append(l.set.Entries, e)
	id := identity{kind, e.Namespace, e.Name}.String()
	for _, f := range faults {
		if l.Repository {
			l.fail(at, id, f.field, f.message)
		} else {
			l.notice(at, id, f.field, f.message)
		}
	}
}
