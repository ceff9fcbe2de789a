package chaos

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// resourceOfKnown is the resource if agents ask for it, and empty otherwise.
func resourceOfKnown(resource string) string {
	switch resource {
	case "pods", "namespaces", "nodes", "networkpolicies":
		return resource
	}
	return ""
}

// listOf is a list as the API server answers it.
func listOf(resource, version string, items []object) runtime.Object {
	meta := metav1.ListMeta{ResourceVersion: version}
	kind := func(version, kind string) metav1.TypeMeta { return metav1.TypeMeta{APIVersion: version, Kind: kind} }
	switch resource {
	case "pods":
		return &corev1.PodList{TypeMeta: kind("v1", "PodList"), ListMeta: meta, Items: each[corev1.Pod](items)}
	case "namespaces":
		return &corev1.NamespaceList{TypeMeta: kind("v1", "NamespaceList"), ListMeta: meta, Items: each[corev1.Namespace](items)}
	case "nodes":
		return &corev1.NodeList{TypeMeta: kind("v1", "NodeList"), ListMeta: meta, Items: each[corev1.Node](items)}
	default:
		return &networkingv1.NetworkPolicyList{TypeMeta: kind("networking.k8s.io/v1", "NetworkPolicyList"), ListMeta: meta, Items: each[networkingv1.NetworkPolicy](items)}
	}
}

// each are objects of one type as values.
func each[T any](items []object) []T {
	out := make([]T, 0, len(items))
	for _, o := range items {
		if p, ok := any(o).(*T); ok {
			out = append(out, *p)
		}
	}
	return out
}
