package question

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/connectivity/inventory"
	"github.com/sluice-net/sluice/policy/manifest"
)

// makers are the kinds between a workload and its Pods.
var makers = map[Kind]Kind{"Deployment": "ReplicaSet", "CronJob": "Job"}

// podsMadeBy are the Pods of a workload, where between are those between it and them.
func (w *World) podsMadeBy(o *manifest.Workload, between []manifest.Workload) []*corev1.Pod {
	known := inventory.NewMakers(append([]manifest.Workload{*o}, between...))
	name := inventory.NameOf(o)
	var out []*corev1.Pod
	for _, p := range w.objects.Pods {
		if p.Namespace == o.Namespace && slices.Contains(known.Of(p), name) {
			out = append(out, p)
		}
	}
	return out
}

// idle are the workloads of which no Pod runs, but for those that are another one's.
func (w *World) idle() []*manifest.Workload {
	known := inventory.NewMakers(w.objects.Workloads)
	at := make(map[connectivity.Name]*manifest.Workload, len(w.objects.Workloads))
	for i := range w.objects.Workloads {
		o := &w.objects.Workloads[i]
		at[inventory.NameOf(o)] = o
	}
	run := map[connectivity.Name]bool{}
	for _, p := range w.objects.Pods {
		if over(p) {
			continue
		}
		for _, name := range known.Of(p) {
			run[name] = run[name] || inventory.Stands(p, at[name])
		}
	}
	var out []*manifest.Workload
	for i := range w.objects.Workloads {
		o := &w.objects.Workloads[i]
		if len(known.Above(o)) == 0 && !run[inventory.NameOf(o)] {
			out = append(out, o)
		}
	}
	return out
}
