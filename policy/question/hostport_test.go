package question

import (
	"fmt"
	"strings"
	"testing"
)

// A Pod's hostPort leads to the Pod, which sees who comes.
func TestHostPort(t *testing.T) {
	w := New(load(t, `
{apiVersion: v1, kind: Pod, metadata: {name: web, labels: {app: web}}, spec: {nodeName: a, containers: [{name: c, image: i, ports: [
  {containerPort: 8080, hostPort: 80}, {containerPort: 8081, hostPort: 81, hostIP: 127.0.0.1}, {containerPort: 8082, hostPort: 82, hostIP: 192.168.0.1}, {containerPort: 8083, hostPort: 83, protocol: UDP}]}]},
  status: {phase: Running, podIP: 10.0.1.1, hostIP: 192.168.0.1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: done, labels: {app: web}}, spec: {nodeName: a, containers: [{name: c, image: i, ports: [{containerPort: 8080, hostPort: 84}]}]},
  status: {phase: Succeeded, podIP: 10.0.1.3, hostIP: 192.168.0.1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: near, labels: {app: bound}}, spec: {nodeName: a}, status: {phase: Running, podIP: 10.0.1.2, hostIP: 192.168.0.1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: far, labels: {app: bound}}, spec: {nodeName: b}, status: {phase: Running, podIP: 10.0.2.2, hostIP: 192.168.0.2}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: web}, spec: {podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: bound}}}, {ipBlock: {cidr: 203.0.113.0/24}}], ports: [{port: 8080}]}]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: bound}, spec: {podSelector: {matchLabels: {app: bound}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: web}}}]}]}}
`))
	tests := map[string]struct {
		src, dst string
		allowed  bool
		paths    string
	}{
		// The client's own node translates before it judges; another one after.
		"Pod of the node":     {"near", "192.168.0.1:80/TCP", true, "1/1"},
		"Pod of another node": {"far", "node/a:80/TCP", false, "1/1"},
		"outside":             {"203.0.113.7", "node/a:80/TCP", true, "1/1"},
		"outside, forbidden":  {"198.51.100.7", "node/a:80/TCP", false, "1/1"},
		"the node itself":     {"node/a", "node/a:80/TCP", true, "1/1"},
		"the other node":      {"node/b", "node/a:80/TCP", false, "1/1"},
		"at this address":     {"203.0.113.7", "192.168.0.1:82/TCP", false, "1/1"},
		"UDP":                 {"203.0.113.7", "192.168.0.1:83/UDP", false, "1/1"},
		// The rest are connections to the node.
		"at another address": {"203.0.113.7", "192.168.0.1:81/TCP", true, ""},
		"another protocol":   {"203.0.113.7", "192.168.0.1:80/UDP", true, ""},
		"a finished Pod's":   {"203.0.113.7", "192.168.0.1:84/TCP", true, ""},
		"at another node":    {"203.0.113.7", "192.168.0.2:80/TCP", true, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			q, err := Parse(tt.src, tt.dst, "default")
			if err != nil {
				t.Fatal(err)
			}
			a, err := w.Ask(q)
			if err != nil {
				t.Fatal(err)
			}
			paths := ""
			if a.Plural {
				paths = fmt.Sprintf("1/%d", a.Total)
			}
			if a.First().Verdict.Allowed != tt.allowed || paths != tt.paths {
				t.Errorf("got %+v\nwant %+v", a, tt)
			}
		})
	}
	if got, want := told(t, w, "203.0.113.7", "node/a:80"), "through hostPort 80/TCP of Pod default/web, at node a, leads to port 8080"; !strings.Contains(got, want) {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
