package connectivity_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
)

func template() corev1.PodTemplateSpec {
	always := corev1.ContainerRestartPolicyAlways
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}, {ContainerPort: 9090}}}},
			InitContainers: []corev1.Container{
				{RestartPolicy: &always, Ports: []corev1.ContainerPort{{Name: "mesh", ContainerPort: 15000}}},
				{Ports: []corev1.ContainerPort{{Name: "setup", ContainerPort: 1}}},
			},
		},
	}
}

// Each kind is read from its template as a Pod would be.
func TestFromAPI(t *testing.T) {
	meta := metav1.ObjectMeta{Namespace: "shop", Name: "web", Labels: map[string]string{"app": "not-the-pods"}}
	tmpl := template()
	pod := &corev1.Pod{ObjectMeta: meta, Spec: tmpl.Spec}
	pod.Labels = tmpl.Labels
	for kind, object := range map[string]any{
		"Deployment":            &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Template: tmpl}},
		"StatefulSet":           &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Template: tmpl}},
		"DaemonSet":             &appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Template: tmpl}},
		"ReplicaSet":            &appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Template: tmpl}},
		"Job":                   &batchv1.Job{ObjectMeta: meta, Spec: batchv1.JobSpec{Template: tmpl}},
		"CronJob":               &batchv1.CronJob{ObjectMeta: meta, Spec: batchv1.CronJobSpec{JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: tmpl}}}},
		"ReplicationController": &corev1.ReplicationController{ObjectMeta: meta, Spec: corev1.ReplicationControllerSpec{Template: &tmpl}},
		"Pod":                   pod,
	} {
		got, err := connectivity.FromAPI(object)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		want := connectivity.Workload{
			Kind: kind, NamespacedName: named("shop", "web"), Labels: map[string]string{"app": "web"},
			Ports: []policy.NamedPort{{Name: "http", Protocol: policy.TCP, Number: 8080}, {Name: "mesh", Protocol: policy.TCP, Number: 15000}},
		}
		if kind == "Job" {
			want.Labels = map[string]string{"app": "web", "job-name": "web", "batch.kubernetes.io/job-name": "web"}
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", kind, diff)
		}
	}
	if len(tmpl.Labels) != 1 {
		t.Errorf("the template's labels were changed: %v", tmpl.Labels)
	}
}

func TestFromAPIRefuses(t *testing.T) {
	bad := template()
	bad.Spec.Containers[0].Ports[0].Protocol = "ICMP"
	for name, c := range map[string]struct {
		object any
		says   string
	}{
		"nothing":              {nil, "makes no Pods"},
		"another kind":         {&corev1.Service{}, "makes no Pods"},
		"no object":            {(*appsv1.Deployment)(nil), "no object"},
		"no template":          {&corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "b"}}, "ReplicationController a/b: spec.template: is missing"},
		"a fault in it":        {&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "b"}, Spec: appsv1.DaemonSetSpec{Template: bad}}, "DaemonSet a/b: spec.template: Pod a/b: spec.containers[0].ports[0].protocol"},
		"too many label bytes": {&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": strings.Repeat("x", policy.MaxLabelBytes)}}}, "metadata.labels"},
	} {
		if _, err := connectivity.FromAPI(c.object); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

// Pods that have finished are no ends; equal workloads are one.
func TestEqualWorkloadsAreOneEnd(t *testing.T) {
	labels := map[string]string{"app": "web"}
	workloads := []connectivity.Workload{
		{Kind: "Deployment", NamespacedName: named("shop", "b"), Labels: labels},
		{Kind: "StatefulSet", NamespacedName: named("shop", "a"), Labels: labels},
		{Kind: "Deployment", NamespacedName: named("bar", "b"), Labels: labels},
		{Kind: "Deployment", NamespacedName: named("shop", "host"), Labels: labels, HostNetwork: true},
		{Kind: "Deployment", NamespacedName: named("shop", "ports"), Labels: labels, Ports: []policy.NamedPort{{Name: "http", Protocol: policy.TCP, Number: 80}}},
		{Kind: "Job", NamespacedName: named("shop", "done"), Labels: labels, Finished: true},
	}
	m := connectivity.New(&connectivity.Cluster{Workloads: workloads})
	var got []string
	for i := range m.Ends() {
		if e := &m.Ends()[i]; e.Kind != connectivity.Outside {
			got = append(got, e.Kind.String()+" "+e.String())
		}
	}
	want := []string{
		"pods Deployment bar/b", "pods StatefulSet shop/a and 1 more", "hostNetwork Deployment shop/host", "pods Deployment shop/ports",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
