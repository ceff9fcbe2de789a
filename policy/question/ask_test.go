package question

import (
	"fmt"
	"strings"
	"testing"
)

// What stands for several Pods is followed to each of them.
func TestEndsThatStandForPods(t *testing.T) {
	w := New(load(t, fixture(t, "town.yaml")))
	tests := map[string]struct {
		src, dst, port string
		allowed        bool
		paths          string
		notice         string
	}{
		"Service":                  {"client", "svc/api", "80", false, "2/3", ""},
		"Service, port by name":    {"client", "svc/api", "web", false, "2/3", ""},
		"ClusterIP":                {"client", "10.96.0.1", "80", false, "2/3", ""},
		"Deployment":               {"client", "deploy/api", "http", false, "2/3", ""},
		"Deployment as client":     {"deploy/api", "client", "1", true, "3/3", ""},
		"Service as client":        {"svc/api", "client", "1", true, "3/3", "a Service opens no connections"},
		"ReplicaSet":               {"client", "rs/api-7f", "8080", true, "2/2", ""},
		"CronJob":                  {"client", "cronjob/nightly", "8080", true, "1/1", ""},
		"many to many":             {"deploy/api", "svc/api", "80", false, "3/9", ""},
		"own node":                 {"node/a", "api-1", "8080", true, "", ""},
		"other node":               {"node/a", "api-2", "8080", false, "", ""},
		"node without Pods":        {"node/c", "api-1", "8080", false, "", ""},
		"hostNetwork client":       {"agent", "svc/api", "80", false, "1/3", "uses the host network"},
		"DaemonSet of the host":    {"ds/agent", "api-1", "8080", true, "1/1", ""},
		"outside, SNAT":            {"203.0.113.7", "svc/api", "80", false, "3/9", "puts its own address in place"},
		"outside, Local":           {"203.0.113.7", "svc/local", "80", true, "3/3", "keeps the client's address"},
		"outside, balancer":        {"203.0.113.7", "198.51.100.1", "80", true, "3/3", ""},
		"outside, NodePort":        {"203.0.113.7", "node/b", "30080", false, "2/3", "node b hides the client: the Pod sees 192.168.0.2"},
		"outside, NodePort, Local": {"203.0.113.7", "node/a", "30081", true, "1/1", ""},
		"by a node's address":      {"203.0.113.7", "192.168.0.1", "30081", true, "1/1", ""},
		"node's own port":          {"203.0.113.7", "192.168.0.1", "22", true, "", ""},
		"internal Local":           {"client", "svc/near", "80", true, "1/1", ""},
		"headless, as dialled":     {"client", "svc/headless", "80", false, "0/3", "nothing translates the port"},
		"headless, by name":        {"client", "svc/headless", "web", false, "2/3", ""},
		"namespace jobs":           {"client", "jobs/worker", "80", true, "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			q, err := Parse(tt.src, tt.dst, "default")
			if err != nil {
				t.Fatal(err)
			}
			q.Port = tt.port
			a, err := w.Ask(q)
			if err != nil {
				t.Fatal(err)
			}
			paths := ""
			if a.Plural {
				paths = fmt.Sprintf("%d/%d", a.Allowed, a.Total)
			}
			notices := strings.Join(append(a.Notices, a.First().Path.Notices...), "; ")
			if a.First().Verdict.Allowed != tt.allowed || paths != tt.paths || !strings.Contains(notices, tt.notice) {
				t.Errorf("got %+v\nwant %+v", a, tt)
			}
		})
	}
}

func TestEndsThatLeadNowhere(t *testing.T) {
	w := New(load(t, fixture(t, "town.yaml")))
	tests := map[string]struct{ src, dst, want string }{
		"no such Service":    {"client", "svc/nothing:80", "no Service default/nothing in the manifests"},
		"no such port":       {"client", "svc/api:8080", "Service default/api has no port 8080: it has 80/TCP (web)"},
		"no endpoints":       {"client", "svc/empty:80", "Service default/empty has no endpoints for port 80/TCP, so connections to it fail whatever the policies say: no ready Pod matches"},
		"ExternalName":       {"client", "svc/alias:80", "a DNS alias of example.com"},
		"no such Deployment": {"client", "deploy/nothing:80", "no Deployment default/nothing in the manifests"},
		"no Pod":             {"sts/empty", "client:80", "StatefulSet default/empty has no running Pod"},
		"no such node":       {"node/z", "client:80", "no Node z in the manifests"},
		"ICMP":               {"client", "svc/api:/ICMP", "forwards ports only, not ICMP"},
		"not on the node":    {"203.0.113.7", "node/c:30081", "has no endpoint on node c"},
		"no port name":       {"client", "deploy/api:https", `no container port named "https"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := told(t, w, tt.src, tt.dst); !strings.HasPrefix(got, "error: ") || !strings.Contains(got, tt.want) {
				t.Errorf("got %s, want %q", got, tt.want)
			}
		})
	}
}

// A connection to a dual-stack Service is of the first of its families that the
// client has.
func TestServiceFamilies(t *testing.T) {
	both := `{apiVersion: v1, kind: Pod, metadata: {name: b, labels: {app: b}}, status: {phase: Running, podIPs: [{ip: 10.0.0.2}, {ip: "fd00::2"}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: six}, status: {phase: Running, podIP: "fd00::6"}}
---
{apiVersion: v1, kind: Pod, metadata: {name: two}, status: {phase: Running, podIPs: [{ip: 10.0.0.3}, {ip: "fd00::3"}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: b}, spec: {clusterIPs: ["fd96::1", 10.96.0.1], clusterIP: "fd96::1", selector: {app: b}, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: four}, spec: {clusterIPs: [10.96.0.2], clusterIP: 10.96.0.2, ipFamilies: [IPv4], selector: {app: b}, ports: [{port: 80}]}}
`
	w := New(load(t, both))
	for _, tt := range []struct{ src, dst, want string }{
		{"two", "svc/b", "\nto fd00::2\n"},
		{"two", "10.96.0.1:80", "\nto 10.0.0.2\n"},
		{"two", "[fd96::1]:80", "\nto fd00::2\n"},
		{"six", "svc/b", "\nto fd00::2\n"},
		{"two", "svc/four", "\nto 10.0.0.2\n"},
		{"six", "svc/four", "no address of the same family"},
	} {
		if got := told(t, w, tt.src, tt.dst); !strings.Contains(got, tt.want) {
			t.Errorf("%s → %s lacks %q: %s", tt.src, tt.dst, tt.want, got)
		}
	}
}

// TYPE/NAME may be NAMESPACE/POD, too: then the type wins, and that is said.
func TestTypeOrNamespace(t *testing.T) {
	more := `---
{apiVersion: v1, kind: Pod, metadata: {name: api, namespace: svc}, status: {phase: Running, podIP: 10.0.9.9}}
`
	w := New(load(t, fixture(t, "town.yaml")+more))
	if got := told(t, w, "client", "svc/api:80"); !strings.Contains(got, "svc/default/api is taken for the Service; the Pod of namespace svc is pod/svc/api") {
		t.Errorf("got %s", got)
	}
	if got := told(t, w, "client", "pod/svc/api:80"); !strings.HasPrefix(got, "ALLOWED  default/client → svc/api:80/TCP") {
		t.Errorf("got %s", got)
	}
}
