package policy

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// Default fills in p what the API server fills in when it stores a policy, and
// nothing else: spec.policyTypes (Ingress always, Egress if there are egress
// rules) and the protocol of ports (TCP). It leaves metadata alone: the
// namespace is not a default of the API server but of its client.
func Default(p *networkingv1.NetworkPolicy) {
	if len(p.Spec.PolicyTypes) == 0 {
		p.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if len(p.Spec.Egress) > 0 {
			p.Spec.PolicyTypes = append(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		}
	}
	for i := range p.Spec.Ingress {
		defaultPorts(p.Spec.Ingress[i].Ports)
	}
	for i := range p.Spec.Egress {
		defaultPorts(p.Spec.Egress[i].Ports)
	}
}

func defaultPorts(ports []networkingv1.NetworkPolicyPort) {
	for i := range ports {
		if ports[i].Protocol == nil {
			// One variable a port: callers may change theirs.
			protocol := corev1.ProtocolTCP
			ports[i].Protocol = &protocol
		}
	}
}
