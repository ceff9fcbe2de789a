package denials

import (
	"regexp"
	"strings"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/sluice-net/sluice/policy"
)

// Labels that the workload controllers of Kubernetes set on the Pods that they make
// (https://kubernetes.io/docs/reference/labels-annotations-taints/).
const (
	templateHash       = "pod-template-hash"
	statefulSetPod     = "statefulset.kubernetes.io/pod-name"
	controllerRevision = "controller-revision-hash"
	oldJobName         = "job-name"
)

// cronJobRun is how a CronJob names its Jobs: by the minute that they are of, in Unix
// minutes, or in seconds by older versions.
var cronJobRun = regexp.MustCompile(`^(.+)-[0-9]{8,10}$`)

// Workload is kind/name of what made a Pod, as its labels and its name tell: the agent
// keeps no owners of a hundred thousand Pods. Whoever gives a Pod such labels by hand has
// it shown under that name, and nothing else comes of it. Empty where nothing tells.
func Workload(p *policy.Pod) string {
	if hash := p.Labels[templateHash]; hash != "" {
		// A Deployment's ReplicaSet is NAME-HASH, its Pods are NAME-HASH-xxxxx.
		if name, _, ok := cutLast(p.Name, "-"); ok {
			if deployment, ok := strings.CutSuffix(name, "-"+hash); ok && deployment != "" {
				return "Deployment/" + deployment
			}
		}
	}
	if p.Labels[statefulSetPod] == p.Name && p.Name != "" {
		if name, _, ok := cutLast(p.Name, "-"); ok {
			return "StatefulSet/" + name
		}
	}
	for _, label := range []string{batchv1.JobNameLabel, oldJobName} {
		if job := p.Labels[label]; job != "" {
			if run := cronJobRun.FindStringSubmatch(job); run != nil {
				return "CronJob/" + run[1]
			}
			return "Job/" + job
		}
	}
	if p.Labels[controllerRevision] != "" {
		if name, _, ok := cutLast(p.Name, "-"); ok {
			return "DaemonSet/" + name
		}
	}
	return ""
}

func cutLast(s, sep string) (before, after string, ok bool) {
	at := strings.LastIndex(s, sep)
	if at <= 0 {
		return s, "", false
	}
	return s[:at], s[at+len(sep):], true
}
