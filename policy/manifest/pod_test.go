package manifest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestPodDefaults(t *testing.T) {
	set, problems := load(`
apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  initContainers: [{name: i, ports: [{containerPort: 1}]}]
  containers: [{name: c, ports: [{containerPort: 2, name: dns, protocol: UDP}, {containerPort: 3}]}]
status: {podIP: 10.0.0.1}
---
{apiVersion: v1, kind: Pod, metadata: {name: b}, status: {phase: Pending, podIPs: [{ip: "2001:db8::1"}, {ip: 10.0.0.2}]}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: default, labels: {a: b}}}`)
	if problems != nil {
		t.Error(problems)
	}
	typeMeta := metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
	want := Set{
		Pods: []*corev1.Pod{
			{
				TypeMeta:   typeMeta,
				ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "default"},
				Spec: corev1.PodSpec{
					InitContainers: []corev1.Container{{Name: "i", Ports: []corev1.ContainerPort{{ContainerPort: 1, Protocol: "TCP"}}}},
					Containers: []corev1.Container{{Name: "c", Ports: []corev1.ContainerPort{
						{ContainerPort: 2, Name: "dns", Protocol: "UDP"}, {ContainerPort: 3, Protocol: "TCP"}}}},
				},
				Status: corev1.PodStatus{Phase: "Running", PodIP: "10.0.0.1", PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}}},
			},
			{
				TypeMeta:   typeMeta,
				ObjectMeta: metav1.ObjectMeta{Name: "b", Namespace: "default"},
				Status:     corev1.PodStatus{Phase: "Pending", PodIP: "2001:db8::1", PodIPs: []corev1.PodIP{{IP: "2001:db8::1"}, {IP: "10.0.0.2"}}},
			},
		},
		Namespaces: []*corev1.Namespace{{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
			ObjectMeta: metav1.ObjectMeta{Name: "default", Labels: map[string]string{"a": "b", "kubernetes.io/metadata.name": "default"}},
		}},
	}
	if diff := cmp.Diff(want, set); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestServiceDefaults(t *testing.T) {
	set, problems := load(shop + "---\n{apiVersion: v1, kind: Service, metadata: {name: s, namespace: shop}, spec: {ports: [{port: 80}, {port: 53, protocol: UDP, targetPort: dns}]}}")
	if problems != nil {
		t.Error(problems)
	}
	want := corev1.ServiceSpec{Type: "ClusterIP", Ports: []corev1.ServicePort{
		{Port: 80, Protocol: "TCP", TargetPort: intstr.FromInt32(80)}, {Port: 53, Protocol: "UDP", TargetPort: intstr.FromString("dns")}}}
	if diff := cmp.Diff(want, set.Services[0].Spec); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Finished and hostNetwork Pods share addresses by their nature.
func TestAddressesShared(t *testing.T) {
	set, problems := load(shop + `---
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: shop}, status: {podIP: 10.0.0.1, phase: Succeeded}}
---
{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: shop}, spec: {hostNetwork: true}, status: {podIP: 10.0.0.1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: c, namespace: shop}, status: {podIP: 10.0.0.1}}`)
	if problems != nil {
		t.Error(problems)
	}
	if len(set.Pods) != 3 {
		t.Errorf("got %d Pods, want 3", len(set.Pods))
	}
}
