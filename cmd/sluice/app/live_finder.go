package app

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/sluice-net/sluice/policy/manifest"
)

// liveFinder finds in a cluster. What it was told once it keeps, errors too.
type liveFinder struct {
	client kubernetes.Interface
	cache  map[string]any
}

// once asks under a key, or remembers.
func once[T any](f *liveFinder, key string, ask func() (T, error)) (T, error) {
	type told struct {
		what T
		err  error
	}
	if known, ok := f.cache[key].(told); ok {
		return known.what, known.err
	}
	what, err := ask()
	if f.cache == nil {
		f.cache = map[string]any{}
	}
	f.cache[key] = told{what, err}
	return what, err
}

func (f *liveFinder) live() bool { return true }

// services are those of all namespaces, as most questions need no others, or of
// one where no more may be read.
func (f *liveFinder) services(ctx context.Context, namespace string) ([]*corev1.Service, error) {
	all, err := f.servicesOf(ctx, metav1.NamespaceAll)
	if apierrors.IsForbidden(err) && namespace != metav1.NamespaceAll {
		return f.servicesOf(ctx, namespace)
	}
	return all, err
}

func (f *liveFinder) servicesOf(ctx context.Context, namespace string) ([]*corev1.Service, error) {
	return once(f, "services/"+namespace, func() (all []*corev1.Service, err error) {
		err = list(ctx, "list Services", f.client.CoreV1().Services(namespace).List, func(l *corev1.ServiceList) {
			for i := range l.Items {
				all = append(all, &l.Items[i])
			}
		})
		return all, err
	})
}

func (f *liveFinder) endpointSlices(ctx context.Context, svc types.NamespacedName) ([]*discoveryv1.EndpointSlice, error) {
	return once(f, "slices/"+svc.String(), func() (all []*discoveryv1.EndpointSlice, err error) {
		get := func(ctx context.Context, o metav1.ListOptions) (*discoveryv1.EndpointSliceList, error) {
			o.LabelSelector = discoveryv1.LabelServiceName + "=" + svc.Name
			return f.client.DiscoveryV1().EndpointSlices(svc.Namespace).List(ctx, o)
		}
		err = list(ctx, "list EndpointSlices", get, func(l *discoveryv1.EndpointSliceList) {
			for i := range l.Items {
				all = append(all, &l.Items[i])
			}
		})
		return all, err
	})
}

func (f *liveFinder) nodes(ctx context.Context) ([]*corev1.Node, error) {
	return once(f, "nodes", func() (all []*corev1.Node, err error) {
		err = list(ctx, "list Nodes", f.client.CoreV1().Nodes().List, func(l *corev1.NodeList) {
			for i := range l.Items {
				all = append(all, manifest.NodeEssence(&l.Items[i]))
			}
		})
		return all, err
	})
}

func (f *liveFinder) workloads(ctx context.Context, kind, namespace string) ([]manifest.Workload, error) {
	return once(f, kind+"/"+namespace, func() (all []manifest.Workload, err error) {
		add := func(m *metav1.ObjectMeta, s *metav1.LabelSelector) {
			all = append(all, manifest.NewWorkload(kind, m, s))
		}
		err = f.listWorkloads(ctx, kind, namespace, add)
		return all, err
	})
}

func (f *liveFinder) listWorkloads(ctx context.Context, kind, namespace string, add func(*metav1.ObjectMeta, *metav1.LabelSelector)) error {
	apps, batch := f.client.AppsV1(), f.client.BatchV1()
	switch kind {
	case "Deployment":
		return list(ctx, "list Deployments", apps.Deployments(namespace).List, func(l *appsv1.DeploymentList) {
			for i := range l.Items {
				add(&l.Items[i].ObjectMeta, l.Items[i].Spec.Selector)
			}
		})
	case "ReplicaSet":
		return list(ctx, "list ReplicaSets", apps.ReplicaSets(namespace).List, func(l *appsv1.ReplicaSetList) {
			for i := range l.Items {
				add(&l.Items[i].ObjectMeta, l.Items[i].Spec.Selector)
			}
		})
	case "StatefulSet":
		return list(ctx, "list StatefulSets", apps.StatefulSets(namespace).List, func(l *appsv1.StatefulSetList) {
			for i := range l.Items {
				add(&l.Items[i].ObjectMeta, l.Items[i].Spec.Selector)
			}
		})
	case "DaemonSet":
		return list(ctx, "list DaemonSets", apps.DaemonSets(namespace).List, func(l *appsv1.DaemonSetList) {
			for i := range l.Items {
				add(&l.Items[i].ObjectMeta, l.Items[i].Spec.Selector)
			}
		})
	case "Job":
		return list(ctx, "list Jobs", batch.Jobs(namespace).List, func(l *batchv1.JobList) {
			for i := range l.Items {
				add(&l.Items[i].ObjectMeta, l.Items[i].Spec.Selector)
			}
		})
	case "CronJob":
		return list(ctx, "list CronJobs", batch.CronJobs(namespace).List, func(l *batchv1.CronJobList) {
			for i := range l.Items {
				add(&l.Items[i].ObjectMeta, nil)
			}
		})
	case "ReplicationController":
		return list(ctx, "list ReplicationControllers", f.client.CoreV1().ReplicationControllers(namespace).List, func(l *corev1.ReplicationControllerList) {
			for i := range l.Items {
				add(&l.Items[i].ObjectMeta, &metav1.LabelSelector{MatchLabels: l.Items[i].Spec.Selector})
			}
		})
	}
	return fmt.Errorf("no workload is a %s", kind)
}
