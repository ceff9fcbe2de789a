package app

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// unsureManifests have a Pod of unknown address on which an answer hangs, and two Pods of
// which one is isolated.
const unsureManifests = `
apiVersion: apps/v1
kind: Deployment
metadata: {namespace: shop, name: a}
spec:
  selector: {matchLabels: {app: a}}
  template: {metadata: {labels: {app: a}}, spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {namespace: shop, name: b}
spec:
  selector: {matchLabels: {app: b}}
  template: {metadata: {labels: {app: b}}, spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}}
---
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: b}
spec: {clusterIP: 10.96.0.1, selector: {app: b}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: b}
spec:
  podSelector: {matchLabels: {app: b}}
  ingress:
  - from: [{ipBlock: {cidr: 10.0.0.0/8}}]
`

// told is what a program reads of an answer.
type toldFlow struct {
	Dst, Result, Mismatch, Error string
	Allowed                      *bool
	DependsOn                    []string
}

func toldFlows(t *testing.T, out string) []toldFlow {
	t.Helper()
	var list []toldFlow
	for line := range strings.Lines(out) {
		var one toldFlow
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		list = append(list, one)
	}
	return list
}

// What is denied is told from what hangs on an address and from what is so in part, and
// what is as expected from what is not.
func TestVerifyJSONTellsResults(t *testing.T) {
	for flow, want := range map[string]toldFlow{
		"shop/b -> shop/a:80 allow":     {Result: "allowed"},
		"shop/b -> shop/a:80 deny":      {Result: "allowed", Mismatch: "expected denied, is allowed"},
		"11.0.0.1 -> shop/b:80 deny":    {Result: "denied"},
		"shop/a -> shop/b:80":           {Result: "depends", DependsOn: []string{"the address of shop/a is in 10.0.0.0/8"}},
		"shop/a -> shop/b:80 deny":      {Result: "depends", DependsOn: []string{"the address of shop/a is in 10.0.0.0/8"}, Mismatch: "expected denied, depends on whether the address of shop/a is in 10.0.0.0/8"},
		"10.0.0.0/7 -> shop/b:80 allow": {Result: "partly", Mismatch: "expected allowed, is allowed for 1 of 2 paths"},
	} {
		r := sluice(t, flow, "verify", "-f", write(t, "m.yaml", unsureManifests), "-q", "-o", "json")
		got := toldFlows(t, r.out)
		if len(got) != 1 || got[0].Allowed == nil || *got[0].Allowed != (want.Result == "allowed") {
			t.Fatalf("%s: %+v", flow, r)
		}
		got[0].Allowed, got[0].Dst = nil, ""
		if diff := cmp.Diff(want, got[0]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", flow, diff)
		}
	}
}

// What verify wrote it reads, and answers alike, however the flow was written.
func TestVerifyReadsWhatItWrote(t *testing.T) {
	file := write(t, "m.yaml", unsureManifests)
	flows := []string{
		"shop/a -> shop/b:80 deny", "shop/a → shop/b:http/TCP allow # why", "shop/a -> shop/b:53/UDP", "shop/a -> shop/b:/ICMP", "shop/a -> shop/b:/47",
		"shop/a -> [fd00::1]:443", "shop/a -> 11.0.0.1:443", "shop/a -> 11.0.0.0/8:443", "shop/a -> app=b:80 deny", "shop/a -> ns/shop:80", "shop/a -> ns/shop:app=b:80",
		"shop/a -> svc/b:80", "shop/a -> shop/b", "shop/a -> svc/shop/b", "shop/a -> svc/shop/b deny", "internet -> deploy/shop/b:http deny",
		`{"src":"shop/a","dst":"shop/b","port":80,"expected":false}`, `{"src":"shop/a","dst":"ns/shop:app","port":80}`,
	}
	run := func(input string) string {
		r := sluice(t, input, "verify", "-f", file, "-n", "shop", "-q", "-o", "json")
		if r.code == exitUnusable {
			t.Errorf("%s", r.err)
		}
		return r.out
	}
	first := run(strings.Join(flows, "\n"))
	second := run(first)
	if third := run(second); second != third {
		t.Errorf("the second run and the third (-second +third):\n%s", cmp.Diff(second, third))
	}
	a, b := toldFlows(t, first), toldFlows(t, second)
	if diff := cmp.Diff(a, b); diff != "" || len(a) != len(flows) {
		t.Errorf("%d answers (-first +second):\n%s", len(a), diff)
	}
	if a[0].Dst != "shop/b:80" {
		t.Errorf("a line's dst is not as it stood there, which programs may read: %q", a[0].Dst)
	}
	results := map[string]bool{}
	for _, one := range a {
		results[one.Result] = true
	}
	if len(results) < 3 {
		t.Errorf("this tests little: %v", results)
	}
}

// A port that stands twice is refused: one of them would be lost.
func TestPortStandsTwice(t *testing.T) {
	for _, line := range []string{
		`{"src":"a","dst":"b:80","port":80}`, `{"src":"a","dst":"b:80","proto":"UDP"}`, `{"src":"a","dst":"b:/ICMP","port":80}`, `{"src":"a","dst":"[fd00::1]:80","port":81}`,
	} {
		_, err := parseFlowLine(1, []byte(line), "ns")
		checkError(t, err, `write "port" and "proto" alone`)
	}
	if keys := []string{"result", "dependsOn", "mismatch"}; slices.ContainsFunc(keys, func(k string) bool { return !answerKeys[k] }) {
		t.Errorf("%v: an answer that is fed back would stand twice", keys)
	}
}
