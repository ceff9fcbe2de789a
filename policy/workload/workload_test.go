package workload

import (
	"slices"
	"testing"
)

// What one kind's controller sets is a Pod's or a revision's own, or names a Job.
func TestLabelsOfAllKindsAreKnown(t *testing.T) {
	known := slices.Concat(Own, JobNames)
	seen := map[string]bool{}
	for _, kind := range []string{"Deployment", "ReplicaSet", "DaemonSet", "StatefulSet", "Job", "CronJob"} {
		set := SetBy(kind)
		if len(set) == 0 {
			t.Errorf("%s sets none", kind)
		}
		for _, label := range set {
			seen[label] = true
			if !slices.Contains(known, label) {
				t.Errorf("%s of a %s is in no list", label, kind)
			}
		}
	}
	if len(seen) != len(known) {
		t.Errorf("%d labels are set, %d are known", len(seen), len(known))
	}
	if set := SetBy("Pod"); len(set) > 0 {
		t.Errorf("nobody makes a bare Pod, and yet it has %v", set)
	}
}

func TestDeploymentOf(t *testing.T) {
	for _, tt := range []struct{ replicaSet, hash, want string }{
		{"web-7d9", "7d9", "web"},
		{"web-7d9", "7d8", ""},
		{"web-7d9", "", ""},
		{"7d9", "7d9", ""},
		{"-7d9", "7d9", ""},
		{"web-", "", ""},
	} {
		if got := DeploymentOf(tt.replicaSet, tt.hash); got != tt.want {
			t.Errorf("%s with %q: %q, want %q", tt.replicaSet, tt.hash, got, tt.want)
		}
	}
}
