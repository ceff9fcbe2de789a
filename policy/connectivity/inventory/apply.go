package inventory

import (
	"encoding/json"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/manifest"
)

// Apply is what a set becomes once the objects of a change are applied to it, as kubectl
// apply does: those of the same kind and name are replaced, others are added, and none
// goes. Labels and annotations stay that others than an earlier apply, or the manifests of
// the set, have given to a Namespace, a Pod or a policy (https://kubernetes.io/docs/tasks/manage-kubernetes-objects/declarative-config/#merge-patch-calculation). Pods of a workload whose template is another one then are gone: the new template
// stands for those that will take their place. Neither set is changed.
func Apply(set, change *manifest.Set) manifest.Set {
	out := manifest.Set{
		Pods:           replaced(set.Pods, change.Pods, key),
		Namespaces:     replaced(set.Namespaces, change.Namespaces, func(n *corev1.Namespace) string { return n.Name }),
		Policies:       replaced(set.Policies, change.Policies, key),
		Services:       replaced(set.Services, change.Services, key),
		EndpointSlices: replaced(set.EndpointSlices, change.EndpointSlices, key),
		Nodes:          replaced(set.Nodes, change.Nodes, func(n *corev1.Node) string { return n.Name }),
		Workloads:      replaced(set.Workloads, change.Workloads, func(w manifest.Workload) connectivity.Name { return NameOf(&w) }),
		Entries: replaced(set.Entries, change.Entries, func(e manifest.Entry) connectivity.Name {
			return connectivity.Name{Kind: e.Kind, Namespace: e.Namespace, Name: e.Name}
		}),
		EntryClasses: replaced(set.EntryClasses, change.EntryClasses, func(c manifest.EntryClass) [2]string { return [2]string{c.Kind, c.Name} }),
	}
	keepMetadata(out.Namespaces, set.Namespaces)
	keepMetadata(out.Pods, set.Pods)
	keepMetadata(out.Policies, set.Policies)
	t := newTaker(&out)
	applied := map[connectivity.Name]*connectivity.Workload{}
	for i := range change.Workloads {
		w := &change.Workloads[i]
		if made, ok := templateOf(w); ok {
			applied[NameOf(w)] = &made
		}
	}
	out.Pods = slices.DeleteFunc(out.Pods, func(p *corev1.Pod) bool {
		w, maker, ok := t.judged(p)
		template := applied[maker]
		return ok && template != nil && !alike(&w, template, t.asked)
	})
	return out
}

// keepMetadata gives objects that were replaced what others gave to those before them, in
// copies of them.
func keepMetadata[T object[T]](list, before []T) {
	old := make(map[types.NamespacedName]T, len(before))
	for _, o := range before {
		old[key(o)] = o
	}
	for i, o := range list {
		was, replaced := old[key(o)]
		if !replaced || was == o {
			continue
		}
		applied := lastApplied(was)
		o = o.DeepCopy()
		o.SetLabels(kept(o.GetLabels(), was.GetLabels(), applied.Metadata.Labels))
		o.SetAnnotations(kept(o.GetAnnotations(), was.GetAnnotations(), applied.Metadata.Annotations))
		list[i] = o
	}
}

// manifestMetadata is what of a manifest is merged with what is there.
type manifestMetadata struct {
	Metadata struct{ Labels, Annotations map[string]string }
}

// lastApplied is the manifest that an object was applied from last, empty where that is
// not known. What no API server has given a UID is that manifest itself: nobody else can
// have given it anything.
func lastApplied(o metav1.Object) (out manifestMetadata) {
	if _, told := o.GetAnnotations()[corev1.LastAppliedConfigAnnotation]; !told && o.GetUID() == "" {
		out.Metadata.Labels, out.Metadata.Annotations = o.GetLabels(), o.GetAnnotations()
		return out
	}
	// Whoever wrote something else there has nothing removed.
	_ = json.Unmarshal([]byte(o.GetAnnotations()[corev1.LastAppliedConfigAnnotation]), &out)
	return out
}

// kept is a map with the keys of the one before that were not applied.
func kept(now, before, applied map[string]string) map[string]string {
	out := maps.Clone(now)
	for k, v := range before {
		_, given := now[k]
		if _, ours := applied[k]; given || ours {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[k] = v
	}
	return out
}

// object is one of the API's.
type object[T any] interface {
	comparable
	metav1.Object
	DeepCopy() T
}

func key[T metav1.Object](o T) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

// replaced are the objects of a list without those that another one has, and that one's.
func replaced[T any, K comparable](list, by []T, key func(T) K) []T {
	ours := make(map[K]bool, len(by))
	for _, o := range by {
		ours[key(o)] = true
	}
	out := make([]T, 0, len(list)+len(by))
	for _, o := range list {
		if !ours[key(o)] {
			out = append(out, o)
		}
	}
	return append(out, by...)
}
