package app

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-net/sluice/policy/manifest"
	"github.com/sluice-net/sluice/policy/question"
)

// fetch gets what a question needs besides what was read at first.
func (r liveReader) fetch(ctx context.Context, n question.Need) (set manifest.Set, err error) {
	switch n.Kind {
	case question.KindService:
		err = list(ctx, "list Services", r.client.CoreV1().Services(n.Namespace).List, func(l *corev1.ServiceList) {
			set.Services = appendEach(set.Services, l.Items)
		})
	case question.KindEndpointSlice:
		get := func(ctx context.Context, o metav1.ListOptions) (*discoveryv1.EndpointSliceList, error) {
			o.LabelSelector = discoveryv1.LabelServiceName + "=" + n.Service
			return r.client.DiscoveryV1().EndpointSlices(n.Namespace).List(ctx, o)
		}
		err = list(ctx, "list EndpointSlices", get, func(l *discoveryv1.EndpointSliceList) {
			set.EndpointSlices = appendEach(set.EndpointSlices, l.Items)
		})
	case question.KindNode:
		err = list(ctx, "list Nodes", r.client.CoreV1().Nodes().List, func(l *corev1.NodeList) {
			for i := range l.Items {
				set.Nodes = append(set.Nodes, manifest.NodeEssence(&l.Items[i]))
			}
		})
	case question.KindEntry:
		set, _, err = r.entries(ctx, n.Namespace)
	default:
		err = r.workloads(ctx, string(n.Kind), n.Namespace, func(m *metav1.ObjectMeta, s *metav1.LabelSelector, t *corev1.PodTemplateSpec, done bool) {
			w := manifest.NewWorkload(string(n.Kind), m, s).WithTemplate(t)
			w.Done = done
			set.Workloads = append(set.Workloads, w)
		})
	}
	return set, err
}

func appendEach[T any](list []*T, items []T) []*T {
	for i := range items {
		list = append(list, &items[i])
	}
	return list
}

// workloads lists those of a kind.
func (r liveReader) workloads(ctx context.Context, kind, namespace string, add func(m *metav1.ObjectMeta, s *metav1.LabelSelector, t *corev1.PodTemplateSpec, done bool)) error {
	apps, batch := r.client.AppsV1(), r.client.BatchV1()
	what := "list " + kind + "s"
	switch kind {
	case "Deployment":
		return list(ctx, what, apps.Deployments(namespace).List, func(l *appsv1.DeploymentList) {
			for i := range l.Items {
				add(&l.Items[i].ObjectMeta, l.Items[i].Spec.Selector, &l.Items[i].Spec.Template, false)
			}
		})
	case "ReplicaSet":
		return list(ctx, what, apps.ReplicaSets(namespace).List, func(l *appsv1.ReplicaSetList) {
			for i := range l.Items {
				add(&l.Items[i].ObjectMeta, l.Items[i].Spec.Selector, &l.Items[i].Spec.Template, false)
			}
		})
	case "StatefulSet":
		return list(ctx, what, apps.StatefulSets(namespace).List, func(l *appsv1.StatefulSetList) {
			for i := range l.Items {
				add(&l.Items[i].ObjectMeta, l.Items[i].Spec.Selector, &l.Items[i].Spec.Template, false)
			}
		})
	case "DaemonSet":
		return list(ctx, what, apps.DaemonSets(namespace).List, func(l *appsv1.DaemonSetList) {
			for i := range l.Items {
				add(&l.Items[i].ObjectMeta, l.Items[i].Spec.Selector, &l.Items[i].Spec.Template, false)
			}
		})
	case "Job":
		return list(ctx, what, batch.Jobs(namespace).List, func(l *batchv1.JobList) {
			for i := range l.Items {
				add(&l.Items[i].ObjectMeta, l.Items[i].Spec.Selector, &l.Items[i].Spec.Template, manifest.JobDone(l.Items[i].Status.Conditions))
			}
		})
	case "CronJob":
		return list(ctx, what, batch.CronJobs(namespace).List, func(l *batchv1.CronJobList) {
			for i := range l.Items {
				add(&l.Items[i].ObjectMeta, nil, &l.Items[i].Spec.JobTemplate.Spec.Template, false)
			}
		})
	case "ReplicationController":
		return list(ctx, what, r.client.CoreV1().ReplicationControllers(namespace).List, func(l *corev1.ReplicationControllerList) {
			for i := range l.Items {
				add(&l.Items[i].ObjectMeta, &metav1.LabelSelector{MatchLabels: l.Items[i].Spec.Selector}, l.Items[i].Spec.Template, false)
			}
		})
	}
	return fmt.Errorf("no workload is a %s", kind)
}
