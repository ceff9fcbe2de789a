package manifest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/labels"
)

// Workloads, EndpointSlices and Nodes are read for what leads to Pods; what is
// wrong with them is no error to a node, which enforces the same without them.
func TestRelated(t *testing.T) {
	set, problems := load(`{apiVersion: v1, kind: Namespace, metadata: {name: default}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, uid: u}, spec: {replicas: 2, selector: {matchLabels: {app: web}}}}
---
{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: web-1, ownerReferences: [{kind: Node, name: "n"}, {kind: Deployment, name: web, controller: true}]}}
---
{apiVersion: batch/v1, kind: Job, metadata: {name: once}, spec: {template: {metadata: {labels: {job: once}}}}}
---
{apiVersion: batch/v1, kind: CronJob, metadata: {name: nightly}}
---
{apiVersion: v1, kind: ReplicationController, metadata: {name: old}, spec: {selector: {app: old}}}
---
{apiVersion: v1, kind: Node, metadata: {name: "n"}, status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s, labels: {kubernetes.io/service-name: web}}, addressType: IPv4}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {}}
---
{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: bad}, spec: [5]}
`)
	var got []string
	for _, w := range set.Workloads {
		line := identity{w.Kind, w.Namespace, w.Name}.String()
		if w.Selector != nil {
			line += " " + w.Selector.String()
		}
		for _, o := range w.Owners {
			line += " of " + o.Kind + " " + o.Name
		}
		got = append(got, line)
	}
	want := []string{
		"Deployment default/web app=web", "ReplicaSet default/web-1 of Deployment web", "Job default/once job=once",
		"CronJob default/nightly", "ReplicationController default/old app=old",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(set.Nodes) != 1 || set.Nodes[0].Status.Addresses[0].Address != "192.168.0.1" || len(set.EndpointSlices) != 1 || set.EndpointSlices[0].Namespace != "default" {
		t.Errorf("nodes %v, slices %v", set.Nodes, set.EndpointSlices)
	}
	if !set.Workloads[0].Selector.Matches(labels.Set{"app": "web"}) {
		t.Error("the selector does not match")
	}
	var told []string
	for _, p := range problems {
		if !p.Notice {
			t.Errorf("an error: %s", p)
		}
		told = append(told, p.String())
	}
	wantTold := []string{
		"f.yaml:17: Deployment default/web: metadata.name: notice: skipped: the same object is already at f.yaml:3",
		"f.yaml:19: Deployment: metadata.name: notice: skipped: it has no name",
		"f.yaml:21: DaemonSet default/bad: spec: notice: skipped: is a list where a mapping is needed",
	}
	if diff := cmp.Diff(wantTold, told); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A workload's namespace has its name as a label, given or not, for whoever asks about a
// repository.
func TestNamespacesOfWorkloads(t *testing.T) {
	const text = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}, spec: {selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c}]}}}}\n"
	for _, repository := range []bool{true, false} {
		l := Loader{Repository: repository}
		l.Add("f.yaml", []byte(text))
		set, problems := l.Finish()
		if repository != (len(set.Namespaces) == 1) || repository != (len(problems) == 1) {
			t.Fatalf("repository %t: %v, %v", repository, set.Namespaces, problems)
		}
		if repository && (set.Namespaces[0].Labels["kubernetes.io/metadata.name"] != "shop" || problems[0].Topic != NotGiven) {
			t.Errorf("%v, %v", set.Namespaces, problems)
		}
	}
}
