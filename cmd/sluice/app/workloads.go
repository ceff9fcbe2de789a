package app

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/sluice-net/sluice/policy/manifest"
)

// makers are the kinds between a workload and its Pods.
var makers = map[string]string{"Deployment": "ReplicaSet", "CronJob": "Job"}

// workload finds the workload that an end names, nil if there is none, and
// those between it and its Pods.
func (c *cluster) workload(ctx context.Context, e endRef) (w *manifest.Workload, between []manifest.Workload, err error) {
	list, err := c.finder.workloads(ctx, e.kind, e.object.Namespace)
	if err != nil {
		return nil, nil, err
	}
	at := slices.IndexFunc(list, func(w manifest.Workload) bool { return w.NamespacedName == e.object })
	if at < 0 {
		return nil, nil, nil
	}
	if kind := makers[e.kind]; kind != "" {
		if between, err = c.finder.workloads(ctx, kind, e.object.Namespace); err != nil {
			return nil, nil, err
		}
	}
	return &list[at], between, nil
}

// podsOf lists the Pods of a workload, sorted by name.
func (c *cluster) podsOf(ctx context.Context, e endRef) ([]*corev1.Pod, error) {
	w, between, err := c.workload(ctx, e)
	if err != nil {
		return nil, err
	}
	if w == nil {
		return nil, fmt.Errorf("no %s %s in %s", e.kind, e.object, c.where)
	}
	var pods []*corev1.Pod
	for _, p := range c.set.Pods {
		if p.Namespace == w.Namespace && belongs(p, w, between) {
			pods = append(pods, p)
		}
	}
	slices.SortFunc(pods, func(a, b *corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return pods, nil
}

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
	hash := p.Labels["pod-template-hash"]
	return !known && w.Kind == "Deployment" && owner.Kind == "ReplicaSet" && hash != "" && owner.Name == w.Name+"-"+hash
}

// made reports whether an owner reference names a workload. UIDs tell it from
// an earlier one of the same name, where both are known.
func made(owner *metav1.OwnerReference, w *manifest.Workload) bool {
	return owner.Kind == w.Kind && owner.Name == w.Name && (owner.UID == "" || w.UID == "" || owner.UID == w.UID)
}
