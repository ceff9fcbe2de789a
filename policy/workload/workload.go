// Package workload knows what the workload controllers of Kubernetes leave on the Pods
// that they make: labels that no template has, and names that tell whose a Pod is
// (https://kubernetes.io/docs/reference/labels-annotations-taints/). Whoever sets such a
// label by hand is taken for a controller.
package workload

import (
	"slices"
	"strings"
)

// Labels that tell whose a Pod is.
const (
	TemplateHash       = "pod-template-hash"
	ControllerRevision = "controller-revision-hash"
	StatefulSetPod     = "statefulset.kubernetes.io/pod-name"
)

// JobNames name the Job of a Pod, today's label first. Of a Job they follow from its name,
// of those of a CronJob each has others.
var JobNames = []string{"batch.kubernetes.io/job-name", "job-name"}

var (
	deployment  = []string{TemplateHash}
	daemonSet   = []string{ControllerRevision, "pod-template-generation"}
	statefulSet = []string{ControllerRevision, StatefulSetPod, "apps.kubernetes.io/pod-index"}
	job         = []string{"batch.kubernetes.io/controller-uid", "controller-uid", "batch.kubernetes.io/job-completion-index"}
)

// Own are the labels that controllers give to single Pods, or to the Pods of one revision.
// The names of Jobs are not among them.
var Own = slices.Compact(slices.Sorted(slices.Values(slices.Concat(deployment, daemonSet, statefulSet, job))))

// SetBy are the labels that the controller of a kind puts on Pods.
func SetBy(kind string) []string {
	switch kind {
	case "Deployment", "ReplicaSet":
		return deployment
	case "DaemonSet":
		return daemonSet
	case "StatefulSet":
		return statefulSet
	case "Job", "CronJob":
		return slices.Concat(JobNames, job)
	}
	return nil
}

// DeploymentOf is the Deployment that made a ReplicaSet whose Pods have a template hash,
// as its name tells; empty if it made none.
func DeploymentOf(replicaSet, hash string) string {
	name, made := strings.CutSuffix(replicaSet, "-"+hash)
	if !made || hash == "" {
		return ""
	}
	return name
}
