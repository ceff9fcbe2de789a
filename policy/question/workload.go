package question

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/sluice-net/sluice/policy/manifest"
	"github.com/sluice-net/sluice/policy/workload"
)

// makers are the kinds between a workload and its Pods.
var makers = map[Kind]Kind{"Deployment": "ReplicaSet", "CronJob": "Job"}

// belongs reports whether a workload made a Pod: by its owner, or the owner's
// owner. A Pod without an owner, as written by hand, belongs by its labels.
func belongs(p *corev1.Pod, w *manifest.Workload, between []manifest.Workload) bool {
	owner := metav1.GetControllerOfNoCopy(p)
	if owner == nil {
		return w.Selector != nil && w.Selector.Matches(labels.Set(p.Labels))
	}
	if made(owner, w) {
		return true
	}
	known := false
	for i := range between {
		b := &between[i]
		if !made(owner, b) {
			continue
		}
		known = true
		for j := range b.Owners {
			if made(&b.Owners[j], w) {
				return true
			}
		}
	}
	// The ReplicaSet may be missing from the manifests: its name tells whose
	// it is.
	return !known && w.Kind == "Deployment" && owner.Kind == "ReplicaSet" && w.Name != "" &&
		workload.DeploymentOf(owner.Name, p.Labels[workload.TemplateHash]) == w.Name
}

// made reports whether an owner reference names a workload. UIDs tell it from
// an earlier one of the same name, where both are known.
func made(owner *metav1.OwnerReference, w *manifest.Workload) bool {
	return owner.Kind == w.Kind && owner.Name == w.Name && (owner.UID == "" || w.UID == "" || owner.UID == w.UID)
}
