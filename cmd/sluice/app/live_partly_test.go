package app

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ofCluster are the lists that who may read namespaces only is refused.
var ofCluster = []string{"pods", "networkpolicies", "namespaces", "nodes", "deployments", "statefulsets", "daemonsets", "replicasets", "jobs", "cronjobs", "replicationcontrollers", "ingresses", "services"}

const spyElsewhere = `{apiVersion: v1, kind: Namespace, metadata: {name: elsewhere}}
---
{apiVersion: v1, kind: Pod, metadata: {name: spy, namespace: elsewhere, labels: {app: frontend}}, spec: {nodeName: node-a, containers: [{name: c, image: i}]}, status: {phase: Running, podIPs: [{ip: 10.244.9.9}]}}`

// Who may read one namespace, and asks for it, is told of it what who may read all is told,
// and what is not known.
func TestListOfOneNamespace(t *testing.T) {
	s, config := liveShop(t, spyElsewhere)
	all := listOf(t, config)
	// Nodes may be read here: without them their addresses are some of the outside's, which
	// the notice says.
	s.forbidden = slices.DeleteFunc(slices.Clone(ofCluster), func(r string) bool { return r == "nodes" })
	part := listOf(t, config)
	s.forbidden = ofCluster
	if !slices.Equal(part.Namespaces, []string{"shop"}) || all.Namespaces != nil {
		t.Errorf("read of the whole cluster: %v, of one namespace: %v", all.Namespaces, part.Namespaces)
	}
	whole, told := pairs(all, "shop"), pairs(part, "shop")
	if diff := cmp.Diff(whole, told); diff != "" || len(told) == 0 {
		t.Errorf("what may be read of one namespace differs (-all +one):\n%s", diff)
	}
	for _, command := range []string{"list", "exposure"} {
		got := sluice(t, "", command, "--kubeconfig", config, "-n", "shop")
		for _, want := range []string{"only the namespaces [shop] are read", "kubectl create clusterrolebinding view-YOU", "Nodes are left out"} {
			if got.code != exitOK || !strings.Contains(got.err, want) {
				t.Errorf("%s: code %d, stderr lacks %q:\n%s", command, got.code, want, got.err)
			}
		}
		if !strings.Contains(got.out, "Not known: ") || strings.Contains(got.out, "elsewhere") {
			t.Errorf("%s does not say what is not known:\n%s", command, got.out)
		}
	}
}

// Of a cluster -n is the namespace that is asked about, also of who may read all of it.
func TestNamespaceIsAskedAbout(t *testing.T) {
	_, config := liveShop(t, spyElsewhere+"\n---\n{apiVersion: v1, kind: Pod, metadata: {name: other, namespace: elsewhere, labels: {app: other}}, spec: {nodeName: node-a, containers: [{name: c, image: i}]}, status: {phase: Running, podIPs: [{ip: 10.244.9.8}]}}")
	for _, command := range []string{"list", "exposure"} {
		all := sluice(t, "", command, "--kubeconfig", config)
		asked := sluice(t, "", command, "--kubeconfig", config, "-n", "shop")
		focused := sluice(t, "", command, "--kubeconfig", config, "--focus", "ns/shop")
		if asked.code != exitOK || asked.out != focused.out || asked.out == all.out {
			t.Errorf("%s -n shop:\n%s%s\n--focus ns/shop:\n%s", command, asked.out, asked.err, focused.out)
		}
	}
}

// listRead is what of a list is compared.
type listRead struct {
	Ends        []struct{ Name, Kind, Namespace string }
	Connections []struct {
		Sources, Destinations []int
		Ports                 string
	}
	Namespaces []string
}

func listOf(t *testing.T, config string) listRead {
	t.Helper()
	got := sluice(t, "", "list", "--kubeconfig", config, "-n", "shop", "-o", "json")
	var d listRead
	if err := json.Unmarshal([]byte(got.out), &d); err != nil || got.code != exitOK {
		t.Fatalf("code %d, %v\n%s%s", got.code, err, got.out, got.err)
	}
	return d
}

// pairs are what a list says of Pods of a namespace, to each other and to outside.
func pairs(d listRead, namespace string) map[string]string {
	out := map[string]string{}
	known := func(i int) bool {
		e := &d.Ends[i]
		return e.Kind == "outside" || e.Kind == "pods" && e.Namespace == namespace
	}
	for _, c := range d.Connections {
		for _, from := range c.Sources {
			for _, to := range c.Destinations {
				if known(from) && known(to) {
					out[d.Ends[from].Name+" → "+d.Ends[to].Name] += c.Ports
				}
			}
		}
	}
	return out
}

// Who asks for all, and may not, is told what it takes, and gets no part for the whole.
func TestHalfAClusterIsNoAnswer(t *testing.T) {
	s, config := liveShop(t)
	s.forbidden = ofCluster
	nowhere := append([]string{"namespaces/shop/networkpolicies"}, ofCluster...)
	const grant = "kubectl create clusterrolebinding view-YOU --clusterrole=view --user=YOU"
	for _, tt := range []struct {
		args      []string
		forbidden []string
		want      []string
	}{
		{[]string{"list"}, ofCluster, []string{`cannot list resource "networkpolicies"`, grant, "give -n NAMESPACE"}},
		{[]string{"list", "--focus", "internet"}, ofCluster, []string{grant, "give -n NAMESPACE"}},
		{[]string{"exposure"}, ofCluster, []string{grant, "give -n NAMESPACE"}},
		{[]string{"diff", "cluster", "shop"}, ofCluster, []string{"OLD: ", `cannot list resource "networkpolicies"`, grant, "compare manifests"}},
		{[]string{"list", "-n", "shop"}, nowhere, []string{"kubectl create rolebinding view-YOU -n shop --clusterrole=view --user=YOU"}},
		{[]string{"exposure", "--focus", "shop/db"}, nowhere, []string{"kubectl create rolebinding view-YOU -n shop --clusterrole=view --user=YOU"}},
	} {
		s.forbidden = tt.forbidden
		got := sluice(t, "", append(tt.args, "--kubeconfig", config)...)
		for _, want := range tt.want {
			if got.code != exitUnusable || got.out != "" || !strings.Contains(got.err, want) {
				t.Errorf("%v: code %d, %q; stderr lacks %q:\n%s", tt.args, got.code, got.out, want, got.err)
			}
		}
	}
}
