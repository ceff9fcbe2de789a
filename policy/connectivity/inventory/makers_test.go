package inventory_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/policy/connectivity/inventory"
)

// controller writes a workload; its template is left out where it has no labels.
func controller(kind, name, selects, makes string) string {
	version, selector, template := "apps/v1", "selector: {matchLabels: {"+selects+"}}", ""
	if kind == "ReplicationController" {
		version, selector = "v1", "selector: {"+selects+"}"
	}
	if makes != "" {
		template = ", template: {metadata: {labels: {" + makes + "}}, spec: {containers: [{name: c, ports: [{name: http, containerPort: 80}]}]}}"
	}
	return "\n---\napiVersion: " + version + "\nkind: " + kind + "\nmetadata: {namespace: shop, name: " + name + "}\nspec: {" + selector + template + "}"
}

// A Pod is of the workloads that its controller leads to. One without a controller is of
// those that would take it, whatever labels it shares with others.
func TestMakers(t *testing.T) {
	bare := pod("debug", "", "app: web", "10.0.0.9")
	hashed := "app: web, pod-template-hash: 1f"
	for name, c := range map[string]struct {
		objects string
		of      string
		// listed are the workloads and Pods that a list has.
		listed []string
	}{
		"beside a Deployment": {
			controller("Deployment", "web", "app: web", "app: web") + bare, "",
			[]string{"Pod debug app=web 10.0.0.9", "Deployment web app=web"},
		},
		"beside a Deployment that runs": {
			controller("Deployment", "web", "app: web", "app: web") + replicaSet + pod("web-1f-a", owner("ReplicaSet", "web-1f"), hashed, "10.0.0.1") + bare, "",
			[]string{"Deployment web app=web 10.0.0.1", "Pod debug app=web 10.0.0.9"},
		},
		"beside a StatefulSet": {
			controller("StatefulSet", "web", "app: web", "app: web") + bare, "",
			[]string{"Pod debug app=web 10.0.0.9", "StatefulSet web app=web"},
		},
		"beside a DaemonSet": {
			controller("DaemonSet", "web", "app: web", "app: web") + bare, "",
			[]string{"Pod debug app=web 10.0.0.9", "DaemonSet web app=web"},
		},
		"a Deployment without a template": {
			controller("Deployment", "web", "app: web", "") + bare, "Deployment shop/web", []string{"Deployment web app=web 10.0.0.9"},
		},
		"a template that the selector does not match": {
			controller("Deployment", "web", "app: web", "app: other") + bare, "Deployment shop/web",
			[]string{"Deployment web app=web 10.0.0.9", "Deployment web app=other"},
		},
		"a ReplicaSet takes a Pod like its own": {
			controller("ReplicaSet", "web", "app: web", "app: web") + bare, "ReplicaSet shop/web", []string{"ReplicaSet web app=web 10.0.0.9"},
		},
		"and one that is not, beside its own": {
			controller("ReplicaSet", "web", "app: web", "app: web, tier: front") + bare, "ReplicaSet shop/web",
			[]string{"ReplicaSet web app=web 10.0.0.9", "ReplicaSet web app=web"},
		},
		"a ReplicationController does, too": {
			controller("ReplicationController", "web", "app: web", "app: web") + bare, "ReplicationController shop/web",
			[]string{"ReplicationController web app=web 10.0.0.9"},
		},
		"a Deployment's ReplicaSet asks for more": {
			controller("Deployment", "web", "app: web", "app: web") + controller("ReplicaSet", "web-1f", hashed, hashed) + bare, "",
			[]string{"Pod debug app=web 10.0.0.9", "Deployment web app=web", "ReplicaSet web-1f app=web"},
		},
		"labels of nobody": {
			controller("ReplicaSet", "web", "app: other", "app: other") + bare, "",
			[]string{"Pod debug app=web 10.0.0.9", "ReplicaSet web app=other"},
		},
		"another namespace": {
			strings.ReplaceAll(controller("ReplicaSet", "web", "app: web", "app: web"), "shop", "elsewhere") + bare, "",
			[]string{"Pod debug app=web 10.0.0.9", "ReplicaSet web app=web"},
		},
		"another controller": {
			controller("ReplicaSet", "web", "app: web", "app: web") + pod("debug", owner("Rollout", "r"), "app: web", "10.0.0.9"), "",
			[]string{"Rollout r app=web 10.0.0.9", "ReplicaSet web app=web"},
		},
		"an earlier one of the name": {
			strings.Replace(controller("ReplicaSet", "web", "app: web", "app: web"), "name: web", "name: web, uid: new", 1) + pod("debug", owner("ReplicaSet", "web"), "app: web", "10.0.0.9"), "",
			[]string{"ReplicaSet web app=web 10.0.0.9"},
		},
	} {
		set := read(t, c.objects, false)
		of := ""
		for _, p := range set.Pods {
			if p.Name == "debug" {
				for _, n := range inventory.NewMakers(set.Workloads).Of(p) {
					of += n.String()
				}
			}
		}
		if of != c.of {
			t.Errorf("%s: it is of %q, want %q", name, of, c.of)
		}
		if diff := cmp.Diff(c.listed, described(set)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
