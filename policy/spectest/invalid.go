package spectest

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// spoil makes something of a policy what the API server refuses.
func (b *policyBuilder) spoil(s *networkingv1.NetworkPolicySpec) {
	switch b.IntN(6) {
	case 0:
		s.PodSelector = *b.badSelector()
		return
	case 1:
		s.PolicyTypes = append([]networkingv1.PolicyType{}, s.PolicyTypes...)
		s.PolicyTypes = append(s.PolicyTypes, "Sideways")
		if b.chance(30) {
			in := networkingv1.PolicyTypeIngress
			s.PolicyTypes = []networkingv1.PolicyType{in, in, in}
		}
		return
	}
	if b.chance(50) {
		s.Ingress = append([]networkingv1.NetworkPolicyIngressRule{{From: b.peers(), Ports: b.ports()}}, s.Ingress...)
		b.spoilRule(&s.Ingress[0].From, &s.Ingress[0].Ports)
		return
	}
	s.Egress = append([]networkingv1.NetworkPolicyEgressRule{{To: b.peers(), Ports: b.ports()}}, s.Egress...)
	b.spoilRule(&s.Egress[0].To, &s.Egress[0].Ports)
}

func (b *policyBuilder) spoilRule(peers *[]networkingv1.NetworkPolicyPeer, ports *[]networkingv1.NetworkPolicyPort) {
	if b.chance(50) {
		*peers = append(*peers, b.badPeer())
		return
	}
	*ports = append(*ports, b.badPort())
}

func (b *policyBuilder) badSelector() *metav1.LabelSelector {
	s := b.selector(podLabels, 30)
	s.MatchExpressions = append(s.MatchExpressions, pick(b.dice, []metav1.LabelSelectorRequirement{
		{Key: "app", Operator: "Near", Values: []string{"web"}},
		{Key: "app", Operator: metav1.LabelSelectorOpIn},
		{Key: "app", Operator: metav1.LabelSelectorOpNotIn, Values: []string{}},
		{Key: "app", Operator: metav1.LabelSelectorOpExists, Values: []string{"web"}},
		{Key: "no key", Operator: metav1.LabelSelectorOpDoesNotExist},
		{Key: "app", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"-web"}},
	}))
	return s
}

func (b *policyBuilder) badPeer() networkingv1.NetworkPolicyPeer {
	switch b.IntN(5) {
	case 0:
		return networkingv1.NetworkPolicyPeer{}
	case 1:
		return networkingv1.NetworkPolicyPeer{PodSelector: b.badSelector()}
	case 2:
		return networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{}, NamespaceSelector: b.badSelector()}
	case 3:
		return networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{}, IPBlock: b.block()}
	}
	block := pick(b.dice, []networkingv1.IPBlock{
		{CIDR: "10.0.0.0"}, {CIDR: "10.0.0.0/33"}, {CIDR: ""}, {CIDR: "10.0.0/8"}, {CIDR: "fe80::1%eth0/64"},
		{CIDR: "0.0.0.0/0", Except: []string{"::/1"}},
		{CIDR: "::/0", Except: []string{"10.0.0.0/8"}},
		{CIDR: "10.0.0.0/8", Except: []string{"11.0.0.0/9"}},
		{CIDR: "10.0.0.0/8", Except: []string{"0.0.0.0/0"}},
		{CIDR: "0.0.0.0/0", Except: []string{"nonsense"}},
		{CIDR: "::/0", Except: []string{"fd00::/200"}},
	})
	return networkingv1.NetworkPolicyPeer{IPBlock: &block}
}

func (b *policyBuilder) badPort() networkingv1.NetworkPolicyPort {
	icmp, lower := corev1.Protocol("ICMP"), corev1.Protocol("tcp")
	number, name := intstr.FromInt32(8080), intstr.FromString("http")
	zero, large := intstr.FromInt32(0), intstr.FromInt32(65536)
	below, above, fine := int32(80), int32(70000), int32(9090)
	odd, empty := intstr.FromString("Not_A_Name"), intstr.FromString("")
	return pick(b.dice, []networkingv1.NetworkPolicyPort{
		{Protocol: &icmp}, {Protocol: &lower, Port: &number}, {Port: &zero}, {Port: &large},
		{Port: &number, EndPort: &below}, {Port: &number, EndPort: &above},
		{Port: &name, EndPort: &fine}, {EndPort: &fine}, {Port: &odd}, {Port: &empty},
	})
}
