package enforced

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Namespace is a Namespace with the label that the API server gives it.
func Namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{corev1.LabelMetadataName: name},
	}}
}

// Pod is a running Pod with the label app=NAME.
func Pod(namespace, name string, addrs ...string) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, UID: types.UID(namespace + "/" + name),
			Labels: map[string]string{"app": name},
		},
		Spec:   corev1.PodSpec{Containers: []corev1.Container{{Name: "main"}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
	for _, a := range addrs {
		p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: a})
	}
	if len(addrs) > 0 {
		p.Status.PodIP = addrs[0]
	}
	return p
}

// DenyIngress isolates the Pods with the label app=APP in ingress and allows
// what rules say. Its name is the app's, so a later one replaces it.
func DenyIngress(namespace, app string, rules ...networkingv1.NetworkPolicyIngressRule) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: app + "-ingress"},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: App(app),
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress:     rules,
		},
	}
}

// DenyEgress is DenyIngress for egress.
func DenyEgress(namespace, app string, rules ...networkingv1.NetworkPolicyEgressRule) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: app + "-egress"},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: App(app),
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
			Egress:      rules,
		},
	}
}

// App selects the Pods with the label app=NAME.
func App(name string) metav1.LabelSelector {
	return metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
}

// PeerApp is a peer: the Pods with the label app=NAME in the policy's
// namespace.
func PeerApp(name string) networkingv1.NetworkPolicyPeer {
	s := App(name)
	return networkingv1.NetworkPolicyPeer{PodSelector: &s}
}

// Port is a port of a rule.
func Port(protocol corev1.Protocol, number int32) networkingv1.NetworkPolicyPort {
	port := intstr.FromInt32(number)
	return networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: &port}
}
