package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/sluice-net/sluice/conformance/scale"
)

// statefulEvery says which of the Pods belong to StatefulSets: their labels
// have the Pod's own name in them.
const statefulEvery = 10

// simulation writes a cluster of package scale into an API server, its Pods
// with all that real ones have beside what policies are about.
type simulation struct {
	cluster scale.Cluster
	store   *store
	dice    *rand.Rand
	// bare leaves out containerStatuses, as simulations without a runtime do:
	// of a Pod that is most of what does not compress.
	bare bool
	// simple Pods have only what policies are about.
	simple bool

	pod       corev1.Pod
	policy    networkingv1.NetworkPolicy
	namespace corev1.Namespace
}

// learn makes one object of each kind through the API, with several writers as
// in a real cluster, and takes what the API server stored as templates.
func (s *simulation) learn(ctx context.Context, client kubernetes.Interface) error {
	const name = "template"
	at := metav1.CreateOptions{FieldManager: "kube-controller-manager"}
	if _, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, at); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	pod, err := client.CoreV1().Pods(name).Create(ctx, podTemplate(name), at)
	if err != nil {
		return err
	}
	pod.Status = s.status(pod)
	if _, err := client.CoreV1().Pods(name).UpdateStatus(ctx, pod, metav1.UpdateOptions{FieldManager: "kubelet"}); err != nil {
		return err
	}
	np := s.cluster.Policy(0)
	np.Namespace, np.Name = name, name
	if _, err := client.NetworkingV1().NetworkPolicies(name).Create(ctx, np, metav1.CreateOptions{FieldManager: "kubectl-client-side-apply"}); err != nil {
		return err
	}
	for _, err := range []error{
		s.store.get(ctx, "/registry/pods/template/template", &s.pod),
		s.store.get(ctx, "/registry/networkpolicies/template/template", &s.policy),
		s.store.get(ctx, "/registry/namespaces/template", &s.namespace),
		client.CoreV1().Pods(name).Delete(ctx, name, *metav1.NewDeleteOptions(0)),
		client.NetworkingV1().NetworkPolicies(name).Delete(ctx, name, metav1.DeleteOptions{}),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// write puts the whole cluster into the API server.
func (s *simulation) write(ctx context.Context) error {
	for i := range s.cluster.Namespaces {
		ns := s.namespace.DeepCopy()
		ns.Name, ns.Labels = s.cluster.Namespace(i)
		ns.UID = s.uid()
		if err := s.store.put(ctx, "/registry/namespaces/"+ns.Name, "v1", "Namespace", ns); err != nil {
			return err
		}
	}
	for i := range s.cluster.Policies {
		np, given := s.policy.DeepCopy(), s.cluster.Policy(i)
		np.Namespace, np.Name, np.Spec, np.UID = given.Namespace, given.Name, given.Spec, s.uid()
		if err := s.store.put(ctx, "/registry/networkpolicies/"+np.Namespace+"/"+np.Name, "networking.k8s.io/v1", "NetworkPolicy", np); err != nil {
			return err
		}
	}
	for i := range s.cluster.Pods {
		if err := s.writePod(ctx, s.podObject(i)); err != nil {
			return err
		}
	}
	return s.store.flush(ctx, 0)
}

func podKey(p *corev1.Pod) string { return "/registry/pods/" + p.Namespace + "/" + p.Name }

func (s *simulation) writePod(ctx context.Context, p *corev1.Pod) error {
	return s.store.put(ctx, podKey(p), "v1", "Pod", p)
}

// podObject is the i-th Pod of the cluster, running.
func (s *simulation) podObject(i int) *corev1.Pod {
	given, p := s.cluster.PodObject(i), s.pod.DeepCopy()
	if s.simple {
		given.UID = s.uid()
		return given
	}
	app, set := given.Labels["app"], given.Namespace+given.Labels["app"]
	p.Namespace, p.UID, p.Labels = given.Namespace, s.uid(), given.Labels
	p.CreationTimestamp = metav1.NewTime(given.CreationTimestamp.Add(time.Duration(i%3600) * time.Second))
	delete(p.Labels, "pod-template-hash")
	owner := ownerUID(set)
	hash := string(owner[24:34])
	if i%statefulEvery == 0 {
		ordinal := strconv.Itoa(i)
		p.GenerateName = app + "-"
		p.Name = app + "-" + ordinal
		p.Labels["statefulset.kubernetes.io/pod-name"] = p.Name
		p.Labels["apps.kubernetes.io/pod-index"] = ordinal
		p.Labels["controller-revision-hash"] = app + "-" + hash
		p.OwnerReferences[0].Kind, p.OwnerReferences[0].Name = "StatefulSet", app
	} else {
		p.Labels["pod-template-hash"] = hash
		p.GenerateName = app + "-" + hash + "-"
		p.Name = p.GenerateName + s.suffix()
		p.OwnerReferences[0].Name = app + "-" + hash
	}
	p.OwnerReferences[0].UID = owner
	p.Spec.NodeName = given.Spec.NodeName
	p.Spec.Containers[0].Name = app
	p.Spec.Containers[0].Ports = given.Spec.Containers[0].Ports
	p.Status = s.status(p)
	p.Status.HostIP, p.Status.HostIPs = given.Status.HostIP, given.Status.HostIPs
	p.Status.PodIP, p.Status.PodIPs = given.Status.PodIP, given.Status.PodIPs
	return p
}

func (s *simulation) uid() types.UID {
	a, b := s.dice.Uint64(), s.dice.Uint64()
	return types.UID(fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, 0x8000|b>>48&0x3fff, b&0xffffffffffff))
}

// ownerUID is the same for all Pods of one owner.
func ownerUID(owner string) types.UID {
	h := uint64(14695981039346656037)
	for _, c := range []byte(owner) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return types.UID(fmt.Sprintf("%08x-%04x-4%03x-9a3c-%012x", h>>32, h>>16&0xffff, h&0xfff, h*31&0xffffffffffff))
}

// suffix is what the API server appends to a generated name.
func (s *simulation) suffix() string {
	const letters = "bcdfghjklmnpqrstvwxz2456789"
	var b strings.Builder
	for range 5 {
		b.WriteByte(letters[s.dice.IntN(len(letters))])
	}
	return b.String()
}

// status is what a kubelet says of a running Pod.
func (s *simulation) status(p *corev1.Pod) corev1.PodStatus {
	started := p.CreationTimestamp
	ready := metav1.NewTime(started.Add(3 * time.Second))
	out := corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &started, QOSClass: corev1.PodQOSBurstable}
	for _, c := range []corev1.PodConditionType{corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady, corev1.PodScheduled} {
		out.Conditions = append(out.Conditions, corev1.PodCondition{Type: c, Status: corev1.ConditionTrue, LastTransitionTime: ready})
	}
	if s.bare {
		return out
	}
	running := true
	for _, c := range p.Spec.Containers {
		out.ContainerStatuses = append(out.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Ready: true, Started: &running, Image: c.Image,
			State:       corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: ready}},
			ImageID:     "registry.invalid/main@sha256:" + strings.Repeat("5e1f", 16),
			ContainerID: fmt.Sprintf("containerd://%016x%016x%016x%016x", s.dice.Uint64(), s.dice.Uint64(), s.dice.Uint64(), s.dice.Uint64()),
		})
	}
	return out
}

// podTemplate is a Pod of a Deployment as people write them.
func podTemplate(name string) *corev1.Pod {
	controller, no, seconds := true, false, int64(300)
	probe := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{}}, PeriodSeconds: 10}
	probe.TCPSocket.Port.StrVal, probe.TCPSocket.Port.Type = "http", 1
	tolerate := func(key string) corev1.Toleration {
		return corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds}
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: name, Name: name, Labels: map[string]string{"app": "app"},
			Annotations:     map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "9090"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: name, UID: "u", Controller: &controller, BlockOwnerDeletion: &controller}},
		},
		Spec: corev1.PodSpec{
			NodeName: "template", AutomountServiceAccountToken: &no, ServiceAccountName: "default",
			Tolerations: []corev1.Toleration{tolerate("node.kubernetes.io/not-ready"), tolerate("node.kubernetes.io/unreachable")},
			Volumes:     []corev1.Volume{{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
			Containers: []corev1.Container{{
				Name: "main", Image: "registry.invalid/main:1",
				Env:   []corev1.EnvVar{{Name: "LOG_LEVEL", Value: "info"}, {Name: "LISTEN", Value: ":8080"}},
				Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
				Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")},
					Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
				},
				VolumeMounts:  []corev1.VolumeMount{{Name: "tmp", MountPath: "/tmp"}},
				LivenessProbe: probe, ReadinessProbe: probe.DeepCopy(),
			}},
		},
	}
}
