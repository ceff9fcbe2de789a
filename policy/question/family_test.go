package question

import (
	"strings"
	"testing"
)

// dualShop is two Pods with addresses of both families, one of which lets in a block, and a
// Service before it.
func dualShop(block string) string {
	return `{apiVersion: v1, kind: Namespace, metadata: {name: default}}
---
{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {app: a}}, status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: b, labels: {app: b}}, status: {phase: Running, podIP: 10.0.0.2, podIPs: [{ip: 10.0.0.2}, {ip: "fd00::2"}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: four, labels: {app: four}}, status: {phase: Running, podIP: 10.0.0.4}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {selector: {matchLabels: {app: d}}, template: {metadata: {labels: {app: d}}, spec: {containers: [{name: c}]}}}}
---
{apiVersion: v1, kind: Node, metadata: {name: worker}, status: {addresses: [{type: InternalIP, address: 192.0.2.1}, {type: InternalIP, address: "2001:db8::1"}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: b}, spec: {type: NodePort, clusterIPs: [10.96.0.1, "fd96::1"], clusterIP: 10.96.0.1, selector: {app: b}, ports: [{port: 80, nodePort: 30080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: one}, spec: {clusterIPs: [10.96.0.2], clusterIP: 10.96.0.2, ipFamilies: [IPv4], selector: {app: b}, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: names}, spec: {clusterIP: None, selector: {app: b}, ports: [{port: 80}]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: b}, spec: {podSelector: {matchLabels: {app: b}}, ingress: [{from: [{ipBlock: {cidr: "` + block + `"}}]}]}}
`
}

// What is open over one family alone is not denied, nor allowed: both are paths. What ends
// alike over both is one.
func TestBothFamilies(t *testing.T) {
	for _, tt := range []struct{ block, src, dst, want, tally string }{
		{"::/0", "a", "b:80", "PARTLY", "1 of 2 address families (IPv6)"},
		{"0.0.0.0/0", "a", "b:80", "PARTLY", "1 of 2 address families (IPv4)"},
		{"192.0.2.9/32", "a", "b:80", "DENIED", "0 of 1 Pod"},
		{"0.0.0.0/0", "b", "a:80", "ALLOWED", "1 of 1 Pod"},
		{"::/0", "four", "b:80", "DENIED", "0 of 1 Pod"},
		{"::/0", "a", "10.0.0.2:80", "DENIED", "0 of 1 Pod"},
		{"::/0", "a", "[fd00::2]:80", "ALLOWED", "1 of 1 Pod"},
		{"::/0", "app=a", "app=b:80", "PARTLY", "1 of 2 address families (IPv6)"},
		{"::/0", "ns/default", "b:80", "PARTLY", ""},
		{"::/0", "a", "svc/b:80", "PARTLY", "1 of 2 address families (IPv6)"},
		{"::/0", "a", "10.96.0.1:80", "DENIED", "0 of 1 Pod"},
		{"::/0", "a", "svc/one:80", "DENIED", "0 of 1 Pod"},
		{"::/0", "a", "svc/names:80", "PARTLY", "1 of 2 address families (IPv6)"},
		{"::/0", "a", "node/worker:30080", "PARTLY", "1 of 2 address families (IPv6)"},
		{"::/0", "node/worker", "b:80", "PARTLY", "1 of 2 address families (IPv6)"},
		{"::/0", "d", "b:80", "DEPENDS", "0 of 1 Pod"},
		{"fd00::/16", "a", "b:80", "PARTLY", "1 of 2 address families (IPv6)"},
	} {
		w := New(load(t, dualShop(tt.block)))
		q, err := Parse(tt.src, tt.dst, "default")
		if err != nil {
			t.Fatal(err)
		}
		a, err := w.Ask(q)
		if err != nil {
			t.Errorf("%s → %s: %v", tt.src, tt.dst, err)
			continue
		}
		if got := strings.ToUpper(string(a.Result())); got != tt.want || tt.tally != "" && a.Tally() != tt.tally {
			t.Errorf("%s lets in %s: %s → %s is %s (%s), want %s (%s)", "b", tt.block, tt.src, tt.dst, got, a.Tally(), tt.want, tt.tally)
		}
		if said := strings.Contains(strings.Join(a.Notices, " "), "over IPv4 it does not end as over IPv6"); said != (tt.want == "PARTLY") || said && !a.Plural {
			t.Errorf("%s → %s: said %v: %v", tt.src, tt.dst, said, a.Notices)
		}
	}
}
