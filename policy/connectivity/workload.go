package connectivity

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

// Workload is Pods that are all alike: of a Deployment or of another
// controller's template, running or not, or a bare Pod. One that somebody only
// thinks of is a Workload like any other.
type Workload struct {
	Kind string
	types.NamespacedName
	Labels map[string]string
	// Ports are the named ports of containers and sidecars.
	Ports       []policy.NamedPort
	HostNetwork bool
	// Addrs are the addresses of a Pod that has them. Where there are none, what
	// hangs on the address is answered as such.
	Addrs []netip.Addr
	// Finished: the Pod has ended, and is no end of anything.
	Finished bool
}

// FromAPI takes what policy needs of a Deployment, StatefulSet, DaemonSet,
// ReplicaSet, Job, CronJob, ReplicationController or Pod of their current API
// versions. An error names every field that makes no sense; the Workload is
// usable without those parts if it has a name.
func FromAPI(object any) (Workload, error) {
	if v := reflect.ValueOf(object); v.Kind() == reflect.Pointer && v.IsNil() {
		return Workload{}, fmt.Errorf("%T: no object", object)
	}
	switch o := object.(type) {
	case *appsv1.Deployment:
		return fromTemplate("Deployment", o, &o.Spec.Template)
	case *appsv1.StatefulSet:
		return fromTemplate("StatefulSet", o, &o.Spec.Template)
	case *appsv1.DaemonSet:
		return fromTemplate("DaemonSet", o, &o.Spec.Template)
	case *appsv1.ReplicaSet:
		return fromTemplate("ReplicaSet", o, &o.Spec.Template)
	case *batchv1.Job:
		w, err := fromTemplate("Job", o, &o.Spec.Template)
		w.LabelJob()
		return w, err
	case *batchv1.CronJob:
		return fromTemplate("CronJob", o, &o.Spec.JobTemplate.Spec.Template)
	case *corev1.ReplicationController:
		if o.Spec.Template == nil {
			return Workload{}, fmt.Errorf("ReplicationController %s/%s: spec.template: is missing: it says what its Pods are", o.Namespace, o.Name)
		}
		return fromTemplate("ReplicationController", o, o.Spec.Template)
	case *corev1.Pod:
		return fromPod("Pod", o)
	}
	return Workload{}, fmt.Errorf("%T: makes no Pods that are known of: give a Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob, ReplicationController or Pod", object)
}

// fromTemplate reads the Pod that the controller would make.
func fromTemplate(kind string, owner metav1.Object, t *corev1.PodTemplateSpec) (Workload, error) {
	w, err := fromPod(kind, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: owner.GetNamespace(), Name: owner.GetName(), Labels: t.Labels, Annotations: t.Annotations,
		},
		Spec: t.Spec,
	})
	if err != nil {
		err = fmt.Errorf("%s %s/%s: spec.template: %w", kind, owner.GetNamespace(), owner.GetName(), err)
	}
	return w, err
}

func fromPod(kind string, object *corev1.Pod) (Workload, error) {
	p, err := policy.PodFromAPI(object)
	if p == nil || p.Unread {
		return Workload{}, cmp.Or(err, errors.New("Pod: cannot be read"))
	}
	return Workload{
		Kind: kind, NamespacedName: p.NamespacedName, Labels: p.Labels, Ports: p.Ports,
		HostNetwork: p.HostNetwork, Addrs: p.Addrs, Finished: p.Finished,
	}, err
}

// LabelJob adds the labels that the Job controller gives to Pods and that
// follow from the name
// (https://kubernetes.io/docs/reference/labels-annotations-taints/#batchkubernetesio-job-name).
func (w *Workload) LabelJob() {
	if w.Name == "" {
		return
	}
	labels := maps.Clone(w.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	for _, key := range []string{batchv1.JobNameLabel, "job-name"} {
		if _, given := labels[key]; !given {
			labels[key] = w.Name
		}
	}
	w.Labels = labels
}

// Name names a workload.
type Name struct{ Kind, Namespace, Name string }

func (n Name) String() string { return n.Kind + " " + n.Namespace + "/" + n.Name }

func (n Name) compare(o Name) int {
	return cmp.Or(strings.Compare(n.Namespace, o.Namespace), strings.Compare(n.Name, o.Name), strings.Compare(n.Kind, o.Kind))
}

// title is the workload's Name.
func (w *Workload) title() Name { return Name{w.Kind, w.Namespace, w.Name} }

// key is equal for workloads whose Pods are alike, but for their addresses.
func (w *Workload) key() string {
	var b strings.Builder
	b.WriteString(w.Namespace)
	for _, k := range slices.Sorted(maps.Keys(w.Labels)) {
		fmt.Fprintf(&b, "\x00%s=%s", k, w.Labels[k])
	}
	for _, p := range sortedPorts(w.Ports) {
		fmt.Fprintf(&b, "\x01%s/%d/%d", p.Name, p.Protocol, p.Number)
	}
	if w.HostNetwork {
		b.WriteString("\x02")
	}
	return b.String()
}

// sortedPorts is each port once.
func sortedPorts(list []policy.NamedPort) []policy.NamedPort {
	out := slices.SortedFunc(slices.Values(list), func(a, b policy.NamedPort) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Number, b.Number))
	})
	return slices.Compact(out)
}

func sortedAddrs(list []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, 0, len(list))
	for _, a := range list {
		if a.IsValid() {
			out = append(out, a.Unmap().WithZone(""))
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}
