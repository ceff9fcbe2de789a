package question

import (
	"errors"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/policy/manifest"
)

// unplaced is workloads of which no Pod runs, one on the host network, a policy that lets a
// block in, and one that lets a block out.
func unplaced(in, out string) string {
	workload := func(kind, name, spec string) string {
		return "\n---\n{apiVersion: apps/v1, kind: " + kind + ", metadata: {name: " + name + "}, spec: {selector: {matchLabels: {app: " + name +
			"}}, template: {metadata: {labels: {app: " + name + "}}, spec: {" + spec + "containers: [{name: c}]}}}}"
	}
	policy := func(name, direction, rule string) string {
		return "\n---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: " + name + "}, spec: {podSelector: {matchLabels: {app: " + name +
			"}}, policyTypes: [" + direction + "], " + rule + "}}"
	}
	return "{apiVersion: v1, kind: Namespace, metadata: {name: default}}" +
		workload("Deployment", "a", "") + workload("Deployment", "b", "") + workload("Deployment", "c", "") + workload("DaemonSet", "m", "hostNetwork: true, ") +
		policy("b", "Ingress", "ingress: [{from: [{ipBlock: {cidr: \""+in+"\"}}]}]") + policy("c", "Egress", "egress: [{to: [{ipBlock: {cidr: \""+out+"\"}}]}]")
}

const tellingNode = `
---
{apiVersion: v1, kind: Node, metadata: {name: worker}, spec: {podCIDR: 10.244.0.0/16}, status: {addresses: [{type: InternalIP, address: 192.168.77.2}]}}`

// Where Nodes tell from which ranges addresses are, what all of these give is the answer.
func TestRangesDecide(t *testing.T) {
	for _, tt := range []struct{ name, in, out, nodes, src, dst, want, says string }{
		{"nothing tells", "10.0.0.0/8", "10.0.0.0/8", "", "a", "b:80", "DEPENDS", ""},
		{"all Pods are in the block", "10.0.0.0/8", "10.0.0.0/8", tellingNode, "a", "b:80", "ALLOWED", "a rule allows it: default/b ingress[0]"},
		{"some are", "10.244.1.0/24", "10.0.0.0/8", tellingNode, "a", "b:80", "DEPENDS", ""},
		{"none is", "172.16.0.0/12", "10.0.0.0/8", tellingNode, "a", "b:80", "DENIED", "policy default/b isolates"},
		{"IPv4 alone", "0.0.0.0/0", "10.0.0.0/8", tellingNode, "a", "b:80", "ALLOWED", ""},
		{"either family", "0.0.0.0/0", "10.0.0.0/8", "", "a", "b:80", "DEPENDS", ""},
		{"egress", "10.0.0.0/8", "10.0.0.0/8", tellingNode, "c", "a:80", "ALLOWED", "a rule allows it: default/c egress[0]"},
		{"a block of nodes", "192.168.77.0/24", "10.0.0.0/8", tellingNode, "m", "b:80", "ALLOWED", ""},
		{"no block of nodes", "10.0.0.0/8", "10.0.0.0/8", tellingNode, "m", "b:80", "DEPENDS", ""},
		{"nodes are nowhere", "192.168.77.0/24", "10.0.0.0/8", "", "m", "b:80", "DEPENDS", ""},
		{"to a node", "10.0.0.0/8", "192.168.77.2/32", tellingNode, "c", "m:80", "ALLOWED", ""},
		{"to another", "10.0.0.0/8", "10.0.0.0/8", tellingNode, "c", "m:80", "DENIED", ""},
		{"from a node that may be its own", "10.0.0.0/8", "10.0.0.0/8", tellingNode, "node/worker", "b:80", "DEPENDS", ""},
	} {
		got := told(t, New(load(t, unplaced(tt.in, tt.out)+tt.nodes)), tt.src, tt.dst)
		if !strings.HasPrefix(got, tt.want) || !strings.Contains(got, tt.says) {
			t.Errorf("%s: want %s and %q in\n%s", tt.name, tt.want, tt.says, got)
		}
		for _, made := range []string{"is in 0.0.0", "10.244.0.0 is"} {
			if strings.Contains(got, made) {
				t.Errorf("%s: an address was made up for it:\n%s", tt.name, got)
			}
		}
	}
}

// A cluster is asked for its Nodes where an address is not known, and only there. Who may
// not read them is told on what it depends.
func TestRangesOfACluster(t *testing.T) {
	set := load(t, unplaced("10.0.0.0/8", "10.0.0.0/8")+tellingNode)
	core := set
	core.Nodes, core.Workloads = nil, nil
	for name, tt := range map[string]struct {
		nodes manifest.Set
		err   error
		want  Result
	}{"read": {manifest.Set{Nodes: set.Nodes}, nil, Allowed}, "not read": {manifest.Set{}, errors.New("no"), Depends}} {
		w := NewLive(core)
		q, err := Parse("deploy/a", "deploy/b:80", "default")
		if err != nil {
			t.Fatal(err)
		}
		var a Answer
		var needs []string
		for missing := (*Missing)(nil); ; {
			if a, err = w.Ask(q); !errors.As(err, &missing) {
				break
			}
			for _, n := range missing.Needs {
				needs = append(needs, string(n.Kind))
				if n.Kind == KindNode {
					w.Supply(n, tt.nodes, tt.err)
				} else {
					w.Supply(n, manifest.Set{Workloads: set.Workloads}, nil)
				}
			}
		}
		if got := strings.Join(needs, " "); err != nil || a.Result() != tt.want || got != "Deployment ReplicaSet Node" {
			t.Errorf("%s: %v %v, after %s", name, a.Result(), err, got)
		}
	}
}

// What has no address is shown by its name, on the host network, too.
func TestHostNetworkByName(t *testing.T) {
	w := New(load(t, unplaced("10.0.0.0/8", "10.0.0.0/8")))
	for _, tt := range []struct{ src, dst, want string }{
		{"pod/default/m", "default/b:80", "default/m → default/b:80/TCP"},
		{"default/c", "default/m:80", "default/c → default/m:80/TCP"},
		{"ds/m", "default/b:80", "default/m → default/b:80/TCP"},
	} {
		q, err := Parse(tt.src, tt.dst, "default")
		if err != nil {
			t.Fatal(err)
		}
		a, err := w.Ask(q)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.First().Name(); got != tt.want || !a.Plural && a.Name() != tt.want {
			t.Errorf("%s → %s: shown as %s, and %s", tt.src, tt.dst, got, a.Name())
		}
	}
}
