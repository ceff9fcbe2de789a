package page_test

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
)

// The clusters are like those of companies: namespaces by what they do, each with a
// front, services, workers and stores, most of them denied by default.
var (
	domains = []string{"shop", "payments", "search", "identity", "catalog", "shipping", "reports", "mail"}
	roles   = []string{"frontend", "api", "worker", "cache", "db", "scheduler", "webhook", "exporter", "importer", "admin"}
	numbers = map[string]uint16{"frontend": 8080, "api": 9000, "worker": 9100, "cache": 6379, "db": 5432}
)

func namespaceOf(i, perNamespace int) string {
	n := i / perNamespace
	name := domains[n%len(domains)]
	if n >= len(domains) {
		name += fmt.Sprintf("-%d", n/len(domains)+1)
	}
	return name
}

// cluster has n workloads.
func cluster(n int) *connectivity.Cluster {
	perNamespace := 5
	if n > 10 {
		perNamespace = 20
	}
	c := &connectivity.Cluster{}
	for i := range n {
		ns := namespaceOf(i, perNamespace)
		if i%perNamespace == 0 {
			c.Namespaces = append(c.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns, Labels: map[string]string{"kubernetes.io/metadata.name": ns, "team": fmt.Sprint(i / perNamespace % 3)}}})
			c.Policies = append(c.Policies, policies(ns, i/perNamespace)...)
		}
		role := roles[i%perNamespace%len(roles)]
		name := role
		if k := i % perNamespace / len(roles); k > 0 {
			name += fmt.Sprintf("-%d", k+1)
		}
		w := connectivity.Workload{
			Kind: "Deployment", NamespacedName: types.NamespacedName{Namespace: ns, Name: name},
			Labels: map[string]string{"app": name, "role": role},
		}
		if role == "db" {
			w.Kind = "StatefulSet"
		}
		if p := numbers[role]; p > 0 {
			w.Ports = []policy.NamedPort{{Name: role, Protocol: policy.TCP, Number: p}}
		}
		c.Workloads = append(c.Workloads, w)
	}
	return c
}

func selector(pairs ...string) metav1.LabelSelector {
	out := metav1.LabelSelector{MatchLabels: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		out.MatchLabels[pairs[i]] = pairs[i+1]
	}
	return out
}

func ports(list ...intstr.IntOrString) (out []networkingv1.NetworkPolicyPort) {
	for i := range list {
		out = append(out, networkingv1.NetworkPolicyPort{Port: &list[i]})
	}
	return out
}

func pods(role string) networkingv1.NetworkPolicyPeer {
	s := selector("role", role)
	return networkingv1.NetworkPolicyPeer{PodSelector: &s}
}

func block(cidr string, except ...string) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: cidr, Except: except}}
}

// ingress is a policy for a role, with one rule.
func ingress(ns, name, role string, from []networkingv1.NetworkPolicyPeer, on []networkingv1.NetworkPolicyPort) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: selector("role", role),
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress:     []networkingv1.NetworkPolicyIngressRule{{From: from, Ports: on}},
		},
	}
}

// policies are those of the n-th namespace; each fourth has none.
func policies(ns string, n int) []*networkingv1.NetworkPolicy {
	if n%4 == 3 {
		return nil
	}
	everywhere := metav1.LabelSelector{}
	team := selector("team", fmt.Sprint(n%3))
	api := selector("role", "api")
	udp, dns := corev1.ProtocolUDP, intstr.FromInt32(53)
	out := []*networkingv1.NetworkPolicy{
		{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "default-deny"},
			Spec: networkingv1.NetworkPolicySpec{
				PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
				Egress: []networkingv1.NetworkPolicyEgressRule{
					{Ports: []networkingv1.NetworkPolicyPort{{Protocol: &udp, Port: &dns}}},
					{To: []networkingv1.NetworkPolicyPeer{{PodSelector: &everywhere}}},
					{To: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &team, PodSelector: &api}}},
				},
			},
		},
		ingress(ns, "frontend", "frontend", []networkingv1.NetworkPolicyPeer{block("0.0.0.0/0", "10.0.0.0/8"), block("::/0")}, ports(intstr.FromString("frontend"))),
		ingress(ns, "api", "api", []networkingv1.NetworkPolicyPeer{pods("frontend"), {NamespaceSelector: &team}}, ports(intstr.FromString("api"))),
		ingress(ns, "db", "db", []networkingv1.NetworkPolicyPeer{pods("api"), pods("worker")}, ports(intstr.FromInt32(5432))),
		ingress(ns, "cache", "cache", []networkingv1.NetworkPolicyPeer{pods("api")}, ports(intstr.FromInt32(6379), intstr.FromInt32(16379))),
		ingress(ns, "worker", "worker", []networkingv1.NetworkPolicyPeer{pods("scheduler"), block("10.32.0.0/16")}, nil),
	}
	if n%3 == 0 {
		payee := ingress(ns, "payee", "worker", nil, nil)
		payee.Spec.PolicyTypes, payee.Spec.Ingress = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}, nil
		payee.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{block("203.0.113.0/24")}, Ports: ports(intstr.FromInt32(443))}}
		out = append(out, payee)
	}
	return out
}

// changed is the cluster after a change that a team may make in a pull request.
func changed(n int) *connectivity.Cluster {
	c := cluster(n)
	var kept []*networkingv1.NetworkPolicy
	for _, p := range c.Policies {
		switch {
		case p.Namespace == "shop" && p.Name == "db":
			continue // which leaves the stores denied
		case p.Namespace == "shop" && p.Name == "api":
			p.Spec.Ingress[0].Ports = ports(intstr.FromInt32(9000), intstr.FromInt32(9001))
		case p.Namespace == "shop" && p.Name == "cache":
			p.Spec.Ingress[0].From = nil
		}
		kept = append(kept, p)
	}
	c.Policies = kept
	return c
}

// place stands for what a command knows of files: a line of its own for each path.
func place(p types.NamespacedName, path ...any) string {
	line := 1
	for _, part := range path {
		if i, is := part.(int); is {
			line = 10*line + i
		}
	}
	return fmt.Sprintf("deploy/%s/%s.yaml:%d", p.Namespace, p.Name, line)
}
