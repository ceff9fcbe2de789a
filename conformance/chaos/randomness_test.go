package chaos

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// one draws from a list.
func one[T any](w *world, list ...T) T { return list[w.rng.IntN(len(list))] }

// chance is true in so many of a hundred cases.
func (w *world) chance(percent int) bool { return w.rng.IntN(100) < percent }

func (w *world) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.rng.Int64N(int64(most-least)))
}

func (w *world) randomLabels() map[string]string {
	return map[string]string{"app": one(w, "x", "y", "z"), "tier": one(w, "1", "2")}
}

func (w *world) randomNamespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Labels: map[string]string{
		"kubernetes.io/metadata.name": name, "team": one(w, "red", "blue"),
	}}}
}

// newPod is a Pod that was never there, in a sandbox.
func (w *world) newPod(box *sandbox, namespace string) *corev1.Pod {
	w.names++
	addrs := w.model.ends[box.index].addrs
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: fmt.Sprintf("pod%d-%d", box.index, w.names), UID: types.UID(fmt.Sprintf("uid-%08d", w.names)),
			Labels: w.randomLabels(), CreationTimestamp: metav1.NewTime(time.Unix(1_700_000_000+int64(w.names), 0)),
		},
		Spec: corev1.PodSpec{NodeName: nodeName, Containers: []corev1.Container{{Name: "c", Image: "i", Ports: []corev1.ContainerPort{
			{Name: "first", Protocol: corev1.ProtocolUDP, ContainerPort: int32(one(w, ports[0], ports[1]))},
		}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: addrs[0].String()},
	}
	for family, a := range addrs {
		p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: a.String()})
		p.Status.HostIPs = append(p.Status.HostIPs, corev1.HostIP{IP: nodeAddrs[family].String()})
	}
	p.Status.HostIP = nodeAddrs[0].String()
	return p
}

// randomPolicy isolates a part of a namespace and allows a part of the rest.
func (w *world) randomPolicy() *networkingv1.NetworkPolicy {
	np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: one(w, namespaces...), Name: fmt.Sprintf("policy%d", w.rng.IntN(3))}}
	np.Spec.PodSelector = w.randomSelector()
	np.Spec.PolicyTypes = one(w,
		[]networkingv1.PolicyType{networkingv1.PolicyTypeIngress}, []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
		[]networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress})
	for _, direction := range np.Spec.PolicyTypes {
		for range w.rng.IntN(3) {
			peers, ports := w.randomPeers(), w.randomPorts()
			if direction == networkingv1.PolicyTypeIngress {
				np.Spec.Ingress = append(np.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: peers, Ports: ports})
			} else {
				np.Spec.Egress = append(np.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: peers, Ports: ports})
			}
		}
	}
	return np
}

func (w *world) randomSelector() metav1.LabelSelector {
	switch w.rng.IntN(4) {
	case 0:
		return metav1.LabelSelector{}
	case 1:
		return metav1.LabelSelector{MatchLabels: map[string]string{"tier": one(w, "1", "2")}}
	case 2:
		return metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
			Key: "app", Operator: one(w, metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn), Values: []string{one(w, "x", "y", "z"), "w"},
		}}}
	}
	return metav1.LabelSelector{MatchLabels: map[string]string{"app": one(w, "x", "y", "z")}}
}

func (w *world) randomPeers() []networkingv1.NetworkPolicyPeer {
	var out []networkingv1.NetworkPolicyPeer
	for range w.rng.IntN(4) {
		var p networkingv1.NetworkPolicyPeer
		switch w.rng.IntN(4) {
		case 0:
			p.IPBlock = one(w,
				&networkingv1.IPBlock{CIDR: "0.0.0.0/0", Except: []string{"10.77.1.12/31"}}, &networkingv1.IPBlock{CIDR: "::/0", Except: []string{"2001:db8::/32"}},
				&networkingv1.IPBlock{CIDR: "10.77.1.0/28"}, &networkingv1.IPBlock{CIDR: "fd77:1::/64"}, &networkingv1.IPBlock{CIDR: "203.0.113.0/24"},
				&networkingv1.IPBlock{CIDR: "172.31.9.1/32"})
		case 1:
			p.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": one(w, "red", "blue")}}
		case 2:
			s := w.randomSelector()
			p.NamespaceSelector, p.PodSelector = &metav1.LabelSelector{}, &s
		default:
			s := w.randomSelector()
			p.PodSelector = &s
		}
		out = append(out, p)
	}
	return out
}

func (w *world) randomPorts() []networkingv1.NetworkPolicyPort {
	udp, tcp := corev1.ProtocolUDP, corev1.ProtocolTCP
	number := func(n int) *intstr.IntOrString { v := intstr.FromInt32(int32(n)); return &v }
	name, last := intstr.FromString("first"), int32(7050)
	switch w.rng.IntN(6) {
	case 0:
		return []networkingv1.NetworkPolicyPort{{Protocol: &udp, Port: number(7001)}}
	case 1:
		return []networkingv1.NetworkPolicyPort{{Protocol: &udp, Port: number(7002), EndPort: &last}}
	case 2:
		return []networkingv1.NetworkPolicyPort{{Protocol: &udp, Port: &name}}
	case 3:
		return []networkingv1.NetworkPolicyPort{{Protocol: &tcp}, {Protocol: &udp, Port: number(7002)}}
	}
	return nil
}
