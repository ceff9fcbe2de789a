package page_test

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/cmd/sluice/app/page"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
)

// shop has a cell of each state. What is evil is in every name and label.
func shop(evil string) *connectivity.Cluster {
	name := func(s string) types.NamespacedName { return types.NamespacedName{Namespace: "shop", Name: s + evil} }
	workload := func(kind, app string, ports ...policy.NamedPort) connectivity.Workload {
		return connectivity.Workload{Kind: kind, NamespacedName: name(app), Labels: map[string]string{"app": app, "note": evil}, Ports: ports}
	}
	app := func(s string) metav1.LabelSelector {
		return metav1.LabelSelector{MatchLabels: map[string]string{"app": s}}
	}
	web, port := app("web"), intstr.FromInt32(5432)
	agent := workload("DaemonSet", "agent")
	agent.HostNetwork = true
	return &connectivity.Cluster{
		Namespaces: []*corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}},
		Workloads: []connectivity.Workload{
			workload("Deployment", "web", policy.NamedPort{Name: "http", Protocol: policy.TCP, Number: 8080}), workload("StatefulSet", "db"), agent,
		},
		Policies: []*networkingv1.NetworkPolicy{
			{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web" + evil},
				Spec: networkingv1.NetworkPolicySpec{
					PodSelector: web,
					Ingress:     []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "10.1.0.0/16"}}}}},
				},
			},
			{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db" + evil},
				Spec: networkingv1.NetworkPolicySpec{
					PodSelector: app("db"),
					PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
					Ingress: []networkingv1.NetworkPolicyIngressRule{{
						From: []networkingv1.NetworkPolicyPeer{{PodSelector: &web}}, Ports: []networkingv1.NetworkPolicyPort{{Port: &port}},
					}},
				},
			},
		},
	}
}

func options(evil string) page.Options {
	at := func(side string) func(types.NamespacedName, ...any) string {
		return func(p types.NamespacedName, path ...any) string {
			return fmt.Sprintf("%s%s.yaml:%d", side, p.Name, 6+len(fmt.Sprint(path...)))
		}
	}
	return page.Options{
		Command: "sluice list -f " + evil, Explain: "sluice explain -f deploy", Version: "v1", Notices: []string{"notice" + evil},
		Place: at(""), OldPlace: at("HEAD:"),
	}
}
