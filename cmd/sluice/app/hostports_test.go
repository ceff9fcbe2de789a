package app

import (
	"encoding/json"
	"strings"
	"testing"
)

// A Pod's hostPort leads to the Pod, which sees who comes.
func TestHostPort(t *testing.T) {
	path := write(t, "hostports.yaml", `
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
`)
	tests := map[string]struct {
		flow    string
		allowed bool
		paths   string
	}{
		// The client's own node translates before it judges; another one after.
		"Pod of the node":     {`{"src":"near","dst":"192.168.0.1","port":80}`, true, "1/1"},
		"Pod of another node": {`{"src":"far","dst":"node/a","port":80}`, false, "1/1"},
		"outside":             {`{"src":"203.0.113.7","dst":"node/a","port":80}`, true, "1/1"},
		"outside, forbidden":  {`{"src":"198.51.100.7","dst":"node/a","port":80}`, false, "1/1"},
		"the node itself":     {`{"src":"node/a","dst":"node/a","port":80}`, true, "1/1"},
		"the other node":      {`{"src":"node/b","dst":"node/a","port":80}`, false, "1/1"},
		"at this address":     {`{"src":"203.0.113.7","dst":"192.168.0.1","port":82}`, false, "1/1"},
		"UDP":                 {`{"src":"203.0.113.7","dst":"192.168.0.1","port":83,"proto":"UDP"}`, false, "1/1"},
		// The rest are connections to the node.
		"at another address": {`{"src":"203.0.113.7","dst":"192.168.0.1","port":81}`, true, ""},
		"another protocol":   {`{"src":"203.0.113.7","dst":"192.168.0.1","port":80,"proto":"UDP"}`, true, ""},
		"a finished Pod's":   {`{"src":"203.0.113.7","dst":"192.168.0.1","port":84}`, true, ""},
		"at another node":    {`{"src":"203.0.113.7","dst":"192.168.0.2","port":80}`, true, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := sluice(t, tt.flow, "verify", "-f", path, "-o", "json")
			var a struct {
				Allowed bool
				Paths   *struct{ Allowed, Total json.Number }
			}
			if err := json.Unmarshal([]byte(got.out), &a); err != nil {
				t.Fatal(err)
			}
			paths := ""
			if a.Paths != nil {
				paths = "1/" + a.Paths.Total.String()
			}
			if got.code != exitOK || a.Allowed != tt.allowed || paths != tt.paths {
				t.Errorf("got %s %s\nwant %+v", got.out, got.err, tt)
			}
		})
	}
	got := sluice(t, "", "explain", "203.0.113.7", "node/a:80", "-f", path)
	if want := "through hostPort 80/TCP of Pod default/web, at node a, leads to port 8080"; !strings.Contains(got.out, want) {
		t.Errorf("got %s %s\nwant %s", got.out, got.err, want)
	}
}
