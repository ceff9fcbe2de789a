package scale

import (
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

type (
	spec = networkingv1.NetworkPolicySpec
	peer = networkingv1.NetworkPolicyPeer
	port = networkingv1.NetworkPolicyPort
)

var both = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}

// mixed is the n-th policy of a namespace.
func (c Cluster) mixed(ns, n int) spec {
	app := ns + n
	switch (ns + n) % 6 {
	case 0: // callers, with all ports of UDP besides
		return ingress(app, []peer{pods(app + 1), pods(app + 2)}, number(8080, 0), port{Protocol: udp()})
	case 1: // everybody scrapes, and nobody else comes in
		return ingress(-1, []peer{{NamespaceSelector: &metav1.LabelSelector{}}}, number(9090, 9099))
	case 2: // the team's namespaces, at a port's name
		return ingress(app, []peer{c.team(ns, app+1)}, named("http", nil))
	case 3: // out to names in one's own namespace and the next one, and to blocks
		return egress(app, []peer{pods(app + 1), c.named(ns + 1), block(ns)}, named("http", nil), named("dns", udp()), number(5432, 0))
	case 4: // in from blocks and from three namespaces
		return ingress(app, []peer{block(ns), block(ns + 1), c.named(ns + 1), c.named(ns + 2), c.named(ns + 3)}, number(443, 0), number(30000, 30100))
	}
	return spec{PolicyTypes: both, Egress: []networkingv1.NetworkPolicyEgressRule{{ // denied, but for names
		To: []peer{c.named(0)}, Ports: []port{named("dns", udp())},
	}}}
}

// published is the n-th policy of a namespace.
func (c Cluster) published(ns, n int) spec {
	var peers []peer
	var ports []port
	for i := range 5 {
		at := 5*n + i
		peers = append(peers, c.named(ns+at+1), peer{PodSelector: &metav1.LabelSelector{
			MatchLabels: map[string]string{"num": "num-" + strconv.Itoa((n+i)%10)},
		}})
		peers = append(peers, peer{IPBlock: &networkingv1.IPBlock{CIDR: fmt.Sprintf("198.%d.%d.0/24", 18+at/256, at%256)}})
		ports = append(ports, number(int32(1_000+at), 0), number(int32(10_000+20*at), int32(10_010+20*at)))
	}
	selected := metav1.LabelSelectorRequirement{Key: "num", Operator: metav1.LabelSelectorOpIn}
	for i := range 5 {
		selected.Values = append(selected.Values, "num-"+strconv.Itoa((n+2*i)%10))
	}
	out := spec{PodSelector: metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{selected}}}
	if n%2 == 0 {
		out.PolicyTypes = both[:1]
		out.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: peers, Ports: ports}}
	} else {
		out.PolicyTypes = both[1:]
		out.Egress = []networkingv1.NetworkPolicyEgressRule{{To: peers, Ports: ports}}
	}
	return out
}

// app selects an app of the namespace; a negative one, all.
func app(n int) metav1.LabelSelector {
	if n < 0 {
		return metav1.LabelSelector{}
	}
	return metav1.LabelSelector{MatchLabels: map[string]string{"app": "app-" + strconv.Itoa(n%appsPerNamespace)}}
}

func ingress(to int, from []peer, ports ...port) spec {
	return spec{PodSelector: app(to), PolicyTypes: both[:1], Ingress: []networkingv1.NetworkPolicyIngressRule{{From: from, Ports: ports}}}
}

func egress(from int, to []peer, ports ...port) spec {
	return spec{PodSelector: app(from), PolicyTypes: both[1:], Egress: []networkingv1.NetworkPolicyEgressRule{{To: to, Ports: ports}}}
}

func pods(n int) peer {
	s := app(n)
	return peer{PodSelector: &s}
}

func (c Cluster) named(ns int) peer {
	return peer{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespaceName(ns % c.Namespaces)}}}
}

func (c Cluster) team(ns, n int) peer {
	_, labels := c.Namespace(ns)
	s := app(n)
	return peer{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": labels["team"]}}, PodSelector: &s}
}

func block(n int) peer {
	return peer{IPBlock: &networkingv1.IPBlock{
		CIDR:   fmt.Sprintf("172.%d.0.0/16", 16+n%16),
		Except: []string{fmt.Sprintf("172.%d.%d.0/24", 16+n%16, n/16%256)},
	}}
}

func udp() *corev1.Protocol {
	out := corev1.ProtocolUDP
	return &out
}

// number is a port, or a range if last is not zero.
func number(first, last int32) port {
	p := intstr.FromInt32(first)
	out := port{Port: &p}
	if last != 0 {
		out.EndPort = &last
	}
	return out
}

func named(name string, protocol *corev1.Protocol) port {
	p := intstr.FromString(name)
	return port{Port: &p, Protocol: protocol}
}
