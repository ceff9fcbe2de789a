package inventory

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/manifest"
	"github.com/sluice-net/sluice/policy/workload"
)

// Makers tells of Pods which workloads they are of. Whoever asks about a workload and
// whoever lists them all ask it, so that a Pod has one answer.
type Makers struct {
	at map[connectivity.Name]*manifest.Workload
	// adopting are the workloads of each namespace that may have Pods without a
	// controller.
	adopting map[string][]*manifest.Workload
}

// NewMakers knows the workloads of a list, which is not to change.
func NewMakers(list []manifest.Workload) *Makers {
	m := &Makers{at: make(map[connectivity.Name]*manifest.Workload, len(list)), adopting: map[string][]*manifest.Workload{}}
	for i := range list {
		w := &list[i]
		m.at[NameOf(w)] = w
		if adopts(w) {
			m.adopting[w.Namespace] = append(m.adopting[w.Namespace], w)
		}
	}
	for _, list := range m.adopting {
		slices.SortFunc(list, func(a, b *manifest.Workload) int {
			// A Deployment is above its ReplicaSets.
			return cmp.Or(strings.Compare(b.Kind, a.Kind), strings.Compare(a.Name, b.Name))
		})
	}
	return m
}

// NameOf is the name of a workload as lists have it.
func NameOf(w *manifest.Workload) connectivity.Name {
	return connectivity.Name{Kind: w.Kind, Namespace: w.Namespace, Name: w.Name}
}

// adopts reports whether a workload has Pods that match its selector and have no
// controller. One without a template that its selector matches, which no API server takes,
// is known by nothing else: it and its Pods are written by hand. Of the others
// ReplicaSets and ReplicationControllers take such Pods for their own
// (https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#non-template-pod-acquisitions);
// not for a Deployment, whose ReplicaSets ask for a label that no other Pod has.
func adopts(w *manifest.Workload) bool {
	if w.Selector == nil {
		return false
	}
	byHand := w.Pod == nil || !w.Selector.Matches(labels.Set(w.Pod.Labels))
	return byHand || len(w.Owners) == 0 && (w.Kind == "ReplicaSet" || w.Kind == "ReplicationController")
}

// Of are the workloads that a Pod is of, the nearest first: its ReplicaSet comes before the
// Deployment. There are none for a bare Pod, nor where its controller is not known.
func (m *Makers) Of(p *corev1.Pod) []connectivity.Name {
	if by := metav1.GetControllerOfNoCopy(p); by != nil {
		return m.climb(nil, p.Namespace, by, p.Labels)
	}
	var out []connectivity.Name
	for _, w := range m.adopting[p.Namespace] {
		if !w.Selector.Matches(labels.Set(p.Labels)) || slices.Contains(out, NameOf(w)) {
			continue
		}
		out = append(out, NameOf(w))
		out = append(out, m.Above(w)...)
	}
	return out
}

// Above are the workloads that made another one, the nearest first.
func (m *Makers) Above(w *manifest.Workload) []connectivity.Name {
	if len(w.Owners) == 0 {
		return nil
	}
	return m.climb(nil, w.Namespace, &w.Owners[0], nil)
}

// climb appends the owner of an object, and those above.
func (m *Makers) climb(to []connectivity.Name, namespace string, by *metav1.OwnerReference, labels map[string]string) []connectivity.Name {
	for range 4 { // a CronJob's Pod is two steps away; more is a circle
		name := connectivity.Name{Kind: by.Kind, Namespace: namespace, Name: by.Name}
		w := m.at[name]
		if w == nil || !named(by, w) {
			return m.unseen(to, name, labels)
		}
		if to = append(to, name); len(w.Owners) == 0 {
			return to
		}
		by = &w.Owners[0]
	}
	return to
}

// named reports whether an owner reference means a workload of its name. UIDs tell it from
// an earlier one, where both are known.
func named(by *metav1.OwnerReference, w *manifest.Workload) bool {
	return by.UID == "" || w.UID == "" || by.UID == w.UID
}

// unseen appends the Deployment of a Pod whose ReplicaSet is not known: its name tells
// whose it is.
func (m *Makers) unseen(to []connectivity.Name, replicaSet connectivity.Name, labels map[string]string) []connectivity.Name {
	made := workload.DeploymentOf(replicaSet.Name, labels[workload.TemplateHash])
	deployment := connectivity.Name{Kind: "Deployment", Namespace: replicaSet.Namespace, Name: made}
	if replicaSet.Kind != "ReplicaSet" || made == "" || m.at[deployment] == nil {
		return to
	}
	return append(to, deployment)
}

// Stands reports whether a Pod of a workload leaves nothing to say about the Pods that it
// would make: one that it has adopted may be another one than these.
func Stands(p *corev1.Pod, w *manifest.Workload) bool {
	if metav1.GetControllerOfNoCopy(p) != nil {
		return true
	}
	template, ok := templateOf(w)
	if !ok {
		return true
	}
	pod, err := connectivity.FromAPI(p)
	return (err == nil || pod.Name != "") && alike(&pod, &template, nil)
}
