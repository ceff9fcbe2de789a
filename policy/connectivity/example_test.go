package connectivity_test

import (
	"fmt"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/policy/connectivity"
)

// selecting is a selector for one app.
func selecting(app string) metav1.LabelSelector {
	return metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

// shop has two workloads; the policy lets one of them reach the other's port.
func shop() *connectivity.Cluster {
	web, port := selecting("web"), intstr.FromInt32(5432)
	return &connectivity.Cluster{
		Workloads: []connectivity.Workload{
			{Kind: "Deployment", NamespacedName: named("shop", "web"), Labels: map[string]string{"app": "web"}},
			{Kind: "StatefulSet", NamespacedName: named("shop", "db"), Labels: map[string]string{"app": "db"}},
		},
		Policies: []*networkingv1.NetworkPolicy{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db"},
			Spec: networkingv1.NetworkPolicySpec{
				PodSelector: selecting("db"),
				Ingress: []networkingv1.NetworkPolicyIngressRule{{
					From:  []networkingv1.NetworkPolicyPeer{{PodSelector: &web}},
					Ports: []networkingv1.NetworkPolicyPort{{Port: &port}},
				}},
			},
		}},
	}
}

func portsOf(list []connectivity.Stretch) string {
	var ports []connectivity.Ports
	for _, s := range list {
		ports = append(ports, s.Ports)
	}
	return connectivity.Describe(ports)
}

func ExampleMatrix_List() {
	list := connectivity.New(shop()).List(connectivity.ListOptions{Why: true})
	for _, line := range list.Lines {
		fmt.Printf("%s → %s: %s", strings.Join(list.Describe(line.Sources), ", "), strings.Join(list.Describe(line.Destinations), ", "), portsOf(line.Stretches))
		for _, g := range line.Stretches[0].Ingress.Grants {
			fmt.Printf(" by %s %s", g.Policy, g.Path())
		}
		fmt.Println()
	}
	// Output:
	// StatefulSet shop/db, Deployment shop/web → Deployment shop/web: all
	// StatefulSet shop/db, Deployment shop/web → internet: all
	// Deployment shop/web → StatefulSet shop/db: TCP 5432 by shop/db spec.ingress[0].from[0]
	// internet → Deployment shop/web: all
}

func ExampleDiff() {
	after := shop()
	after.Policies[0].Spec.Ingress[0].From = nil
	d := connectivity.Diff(shop(), after)
	for _, c := range d.Changes {
		fmt.Printf("%s: %s → %s: %s", c.Kind, strings.Join(d.Describe(c.Sources), ", "), strings.Join(d.Describe(c.Destinations), ", "), c.Stretches[0].Ports)
		for _, cause := range c.Stretches[0].Causes {
			fmt.Printf(": %s %s %s", cause.Policy, cause.Path(), cause.Effect)
		}
		fmt.Println()
	}
	// Output:
	// allowed: StatefulSet shop/db, internet → StatefulSet shop/db: TCP 5432: shop/db spec.ingress[0] allows
}

func ExampleNewExposure() {
	x := connectivity.NewExposure(shop())
	for _, g := range x.Groups {
		who := x.Ends[g.Ends[0]].String()
		if !g.Ingress.Isolated() {
			fmt.Println(who, "is isolated by no ingress policy")
		}
		for _, o := range g.Ingress.Openings {
			fmt.Println(who, "is open to", o.Kind, "of namespace", o.Namespace, "with labels", o.Labels, "on", portsOf(o.Stretches))
		}
	}
	// Output:
	// StatefulSet shop/db is open to pods of namespace shop with labels map[app:web] on TCP 5432
	// Deployment shop/web is isolated by no ingress policy
}
