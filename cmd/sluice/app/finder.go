package app

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy/manifest"
)

// finder looks up what stands for Pods and addresses. Most questions need
// nothing of it, so a live cluster is asked only for what one does need.
type finder interface {
	// live: what the finder does not have does not exist.
	live() bool
	// services of a namespace, or of all.
	services(ctx context.Context, namespace string) ([]*corev1.Service, error)
	endpointSlices(ctx context.Context, svc types.NamespacedName) ([]*discoveryv1.EndpointSlice, error)
	workloads(ctx context.Context, kind, namespace string) ([]manifest.Workload, error)
	nodes(ctx context.Context) ([]*corev1.Node, error)
}

// setFinder finds in manifests.
type setFinder struct{ set *manifest.Set }

func (f setFinder) live() bool { return false }

func (f setFinder) services(context.Context, string) ([]*corev1.Service, error) {
	return f.set.Services, nil
}

func (f setFinder) endpointSlices(_ context.Context, svc types.NamespacedName) ([]*discoveryv1.EndpointSlice, error) {
	var list []*discoveryv1.EndpointSlice
	for _, s := range f.set.EndpointSlices {
		if s.Namespace == svc.Namespace && s.Labels[discoveryv1.LabelServiceName] == svc.Name {
			list = append(list, s)
		}
	}
	return list, nil
}

func (f setFinder) workloads(_ context.Context, kind, namespace string) ([]manifest.Workload, error) {
	var list []manifest.Workload
	for _, w := range f.set.Workloads {
		if w.Kind == kind && w.Namespace == namespace {
			list = append(list, w)
		}
	}
	return list, nil
}

func (f setFinder) nodes(context.Context) ([]*corev1.Node, error) { return f.set.Nodes, nil }
