package denials

import (
	"regexp"
	"strings"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/workload"
)

// cronJobRun is how a CronJob names its Jobs: by the minute that they are of, in Unix
// minutes, or in seconds by older versions.
var cronJobRun = regexp.MustCompile(`^(.+)-[0-9]{8,10}$`)

// Workload is kind/name of what made a Pod, as its labels and its name tell: the agent
// keeps no owners of a hundred thousand Pods. Whoever gives a Pod such labels by hand has
// it shown under that name, and nothing else comes of it. Empty where nothing tells.
func Workload(p *policy.Pod) string {
	// A Deployment's Pods are called as its ReplicaSet, and -xxxxx.
	if replicaSet, _, ok := cutLast(p.Name, "-"); ok {
		if name := workload.DeploymentOf(replicaSet, p.Labels[workload.TemplateHash]); name != "" {
			return "Deployment/" + name
		}
	}
	if p.Labels[workload.StatefulSetPod] == p.Name && p.Name != "" {
		if name, _, ok := cutLast(p.Name, "-"); ok {
			return "StatefulSet/" + name
		}
	}
	for _, label := range workload.JobNames {
		if job := p.Labels[label]; job != "" {
			if run := cronJobRun.FindStringSubmatch(job); run != nil {
				return "CronJob/" + run[1]
			}
			return "Job/" + job
		}
	}
	if p.Labels[workload.ControllerRevision] != "" {
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
