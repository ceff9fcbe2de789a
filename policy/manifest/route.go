package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// RouteGroup is the API group of OpenShift's Routes. Their type is not linked: a few of its
// fields are read.
// https://docs.redhat.com/en/documentation/openshift_container_platform/4.20/html/network_apis/route-route-openshift-io-v1
const RouteGroup = "route.openshift.io"

const routeKind = "Route"

// routeObject has the fields that are read of a Route.
type routeObject struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Host           string `json:"host"`
		Subdomain      string `json:"subdomain"`
		WildcardPolicy string `json:"wildcardPolicy"`
		Path           string `json:"path"`
		Port           struct {
			TargetPort intstr.IntOrString `json:"targetPort"`
		} `json:"port"`
		To                routeTarget   `json:"to"`
		AlternateBackends []routeTarget `json:"alternateBackends"`
	} `json:"spec"`
	Status struct {
		Ingress []struct {
			RouterName string           `json:"routerName"`
			Conditions []routeCondition `json:"conditions"`
		} `json:"ingress"`
	} `json:"status"`
}

type routeCondition struct {
	Type   string                 `json:"type"`
	Status metav1.ConditionStatus `json:"status"`
}

// routeTarget is what a Route leads to. Its weight is not read: what gets nothing today
// gets all tomorrow, and policies are asked whether it could.
type routeTarget struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// entry is the Route as an entry.
func (o *routeObject) entry() (e Entry, faults []fieldFault) {
	e = Entry{Kind: routeKind, NamespacedName: types.NamespacedName{Namespace: o.Namespace, Name: o.Name}}
	for i := range o.Status.Ingress {
		in := &o.Status.Ingress[i]
		refused := slices.ContainsFunc(in.Conditions, func(c routeCondition) bool {
			return c.Type == "Admitted" && c.Status != metav1.ConditionTrue
		})
		if in.RouterName != "" && !refused && !slices.Contains(e.Routers, in.RouterName) {
			e.Routers = append(e.Routers, in.RouterName)
		}
	}
	host := cmp.Or(o.Spec.Host, o.Spec.Subdomain)
	if _, domain, is := strings.Cut(host, "."); is && o.Spec.WildcardPolicy == "Subdomain" {
		host = "*." + domain
	}
	target := ""
	if t := o.Spec.Port.TargetPort; t.StrVal != "" || t.IntVal != 0 {
		target = t.String()
	}
	add := func(to routeTarget, field string) {
		if to.Name == "" {
			faults = append(faults, fieldFault{field + ".name", "is missing, so it leads nowhere: name a Service"})
			return
		}
		b := EntryBackend{Kind: cmp.Or(to.Kind, "Service"), Port: target, ByTarget: true, Field: field}
		b.Namespace, b.Name = o.Namespace, to.Name
		if len(e.Backends) < mostBackends {
			e.leads(b, address(host, o.Spec.Path))
		}
	}
	add(o.Spec.To, "spec.to")
	for i, to := range o.Spec.AlternateBackends {
		add(to, fmt.Sprintf("spec.alternateBackends[%d]", i))
	}
	return e, faults
}
