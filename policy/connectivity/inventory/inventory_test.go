package inventory_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/connectivity/inventory"
	"github.com/sluice-net/sluice/policy/manifest"
)

func pod(name, owner, labels, ip string) string {
	return `
---
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: ` + name + `, labels: {` + labels + `}` + owner + `}
spec: {containers: [{name: c, ports: [{name: http, containerPort: 80}]}]}
status: {phase: Running, podIP: ` + ip + `}`
}

func owner(kind, name string) string {
	return ", ownerReferences: [{apiVersion: v1, kind: " + kind + ", name: " + name + ", uid: u, controller: true}]"
}

const template = "template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, ports: [{name: http, containerPort: 80}]}]}}"

const deployment = `
---
apiVersion: apps/v1
kind: Deployment
metadata: {namespace: shop, name: web}
spec: {replicas: 0, selector: {matchLabels: {app: web}}, ` + template + `}`

const replicaSet = `
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {namespace: shop, name: web-1f, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: u, controller: true}]}
spec: {selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web, pod-template-hash: 1f}}}}`

const cronJob = `
---
apiVersion: batch/v1
kind: CronJob
metadata: {namespace: shop, name: night}
spec: {jobTemplate: {spec: {` + template + `}}}
---
apiVersion: batch/v1
kind: Job
metadata: {namespace: shop, name: night-1, ownerReferences: [{apiVersion: batch/v1, kind: CronJob, name: night, uid: u, controller: true}]}
spec: {selector: {matchLabels: {controller-uid: u}}, ` + template + `}`

// askingFor is a policy that selects by a label.
func askingFor(label string) string {
	return `
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: p}
spec: {podSelector: {matchLabels: {` + label + `}}}`
}

// Each workload of the input is an end once, by its Pods where they run and by its
// template where they do not.
func TestCluster(t *testing.T) {
	hashed := "app: web, pod-template-hash: 1f"
	for name, c := range map[string]struct {
		objects string
		want    []string
	}{
		"a template alone":              {deployment, []string{"Deployment shop/web app=web"}},
		"a bare Pod without an address": {pod("x", "", "app: x", `""`), []string{"Pod shop/x app=x"}},
		"Pods that run stand for the template": {
			deployment + replicaSet + pod("web-1f-a", owner("ReplicaSet", "web-1f"), hashed, "10.0.0.1"),
			[]string{"Deployment shop/web app=web 10.0.0.1"},
		},
		"the ReplicaSet is not there": {
			deployment + pod("web-1f-a", owner("ReplicaSet", "web-1f"), hashed, "10.0.0.1"),
			[]string{"Deployment shop/web app=web 10.0.0.1"},
		},
		"nor is the Deployment": {
			pod("web-1f-a", owner("ReplicaSet", "web-1f"), hashed, "10.0.0.1"), []string{"ReplicaSet shop/web-1f app=web 10.0.0.1"},
		},
		"nor what made two Pods": {
			pod("x-0", owner("Rollout", "x"), "app: web", "10.0.0.1") + pod("x-1", owner("Rollout", "x"), "app: web", "10.0.0.2"),
			[]string{"Rollout shop/x app=web 10.0.0.1", "Rollout shop/x app=web 10.0.0.2"},
		},
		"static Pods are no workload of their Node's": {
			pod("etcd-n1", owner("Node", "n1"), "app: etcd", "10.0.0.1"), []string{"Pod shop/etcd-n1 app=etcd 10.0.0.1"},
		},
		"Pods of the template before": {
			deployment + replicaSet + pod("web-1f-a", owner("ReplicaSet", "web-1f"), "app: old, pod-template-hash: 1f", "10.0.0.1"),
			[]string{"Deployment shop/web app=old 10.0.0.1", "Deployment shop/web app=web"},
		},
		"a policy asks for what the controller added": {
			deployment + replicaSet + pod("web-1f-a", owner("ReplicaSet", "web-1f"), hashed, "10.0.0.1") + askingFor("pod-template-hash: 1f"),
			[]string{"Deployment shop/web app=web,pod-template-hash=1f 10.0.0.1"},
		},
		"a CronJob between its runs": {cronJob, []string{"CronJob shop/night app=web"}},
		"and during one": {
			cronJob + pod("night-1-a", owner("Job", "night-1"), "app: web, job-name: night-1, controller-uid: u", "10.0.0.2"),
			[]string{"CronJob shop/night app=web 10.0.0.2"},
		},
		"a Job": {
			"\n---\napiVersion: batch/v1\nkind: Job\nmetadata: {namespace: shop, name: once}\nspec: {" + template + "}",
			[]string{"Job shop/once app=web,batch.kubernetes.io/job-name=once,job-name=once"},
		},
		"a Job that is done": {
			"\n---\napiVersion: batch/v1\nkind: Job\nmetadata: {namespace: shop, name: once}\nspec: {" + template + "}\nstatus: {conditions: [{type: Complete, status: 'True'}]}", nil,
		},
		"a Pod that is": {strings.Replace(pod("x", "", "app: x", "10.0.0.3"), "Running", "Succeeded", 1), nil},
	} {
		var loader manifest.Loader
		loader.Add("in.yaml", []byte(c.objects))
		set, problems := loader.Finish()
		for _, p := range problems {
			if !p.Notice {
				t.Fatalf("%s: %s", name, p)
			}
		}
		var got []string
		for _, w := range inventory.Cluster(&set).Workloads {
			text := connectivity.Name{Kind: w.Kind, Namespace: w.Namespace, Name: w.Name}.String()
			var labels []string
			for k, v := range w.Labels {
				labels = append(labels, k+"="+v)
			}
			slices.Sort(labels)
			text += " " + strings.Join(labels, ",")
			for _, a := range w.Addrs {
				text += " " + a.String()
			}
			got = append(got, text)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// The ranges that Nodes tell of count as long as no Pod is elsewhere.
func TestRanges(t *testing.T) {
	node := `
---
apiVersion: v1
kind: Node
metadata: {name: a}
spec: {podCIDR: 10.0.0.0/24}
status: {addresses: [{type: InternalIP, address: 192.0.2.1}, {type: Hostname, address: a}]}`
	for ip, want := range map[string][2]int{"10.0.0.9": {1, 1}, "10.9.0.9": {0, 1}} {
		var loader manifest.Loader
		loader.Add("in.yaml", []byte(node+pod("x", "", "app: x", ip)))
		set, _ := loader.Finish()
		c := inventory.Cluster(&set)
		if got := [2]int{len(c.PodRanges), len(c.NodeRanges)}; got != want {
			t.Errorf("%s: %v, want %v", ip, got, want)
		}
	}
}
