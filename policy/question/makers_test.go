package question

import (
	"strings"
	"testing"
)

// shopOf has the namespace, what is given, and a policy that lets nobody to the Pods of tier
// back.
func shopOf(objects string) string {
	return "{apiVersion: v1, kind: Namespace, metadata: {name: default}}" + objects + `
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: back}, spec: {podSelector: {matchLabels: {tier: back}}}}`
}

func controllerNamed(kind, template string) string {
	version := "apps/v1"
	if kind == "ReplicationController" {
		version = "v1"
	}
	selector := "{matchLabels: {app: api}}"
	if version == "v1" {
		selector = "{app: api}"
	}
	return "\n---\n{apiVersion: " + version + ", kind: " + kind + ", metadata: {name: api}, spec: {selector: " + selector + template + "}}"
}

const (
	backTemplate = ", template: {metadata: {labels: {app: api, tier: back}}, spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}}"
	debugPod     = "\n---\n{apiVersion: v1, kind: Pod, metadata: {name: debug, labels: {app: api}}, spec: {containers: [{name: c}]}, status: {phase: Running, podIP: 10.0.0.9}}"
	apiService   = "\n---\n{apiVersion: v1, kind: Service, metadata: {name: api}, spec: {selector: {app: api}, ports: [{port: 80, targetPort: http}]}}"
)

// A Pod that nobody made does not speak for the workload whose labels it has, unless that
// is known by nothing else, or takes it for its own.
func TestBarePodBesideAWorkload(t *testing.T) {
	for _, tt := range []struct{ name, objects, dst, want, lacks string }{
		{"a Deployment", controllerNamed("Deployment", backTemplate), "deploy/api:8080", "DENIED", "debug"},
		{"a port by name", controllerNamed("Deployment", backTemplate), "deploy/api:http", "DENIED", "debug"},
		{"a Service", controllerNamed("Deployment", backTemplate) + apiService, "svc/api:80", "DENIED", "has no endpoints"},
		{"a StatefulSet", controllerNamed("StatefulSet", backTemplate), "sts/api:8080", "DENIED", "debug"},
		{"a DaemonSet", controllerNamed("DaemonSet", backTemplate), "ds/api:8080", "DENIED", "debug"},
		{"by hand", controllerNamed("Deployment", ""), "deploy/api:8080", "ALLOWED", "Deployment)"},
		{"a ReplicaSet", controllerNamed("ReplicaSet", backTemplate), "rs/api:8080", "PARTLY", "error"},
		{"a ReplicationController", controllerNamed("ReplicationController", backTemplate), "rc/api:8080", "PARTLY", "error"},
		{"itself", controllerNamed("Deployment", backTemplate), "debug:8080", "ALLOWED", "deploy"},
	} {
		got := told(t, New(load(t, shopOf(tt.objects+debugPod))), "10.9.9.9", tt.dst)
		if !strings.HasPrefix(got, tt.want) || strings.Contains(got, tt.lacks) {
			t.Errorf("%s: want %s without %q:\n%s", tt.name, tt.want, tt.lacks, got)
		}
	}
	// Nor does a Deployment reach itself by it.
	w := New(load(t, shopOf(controllerNamed("Deployment", backTemplate)+debugPod)))
	if got := told(t, w, "deploy/api", "deploy/api:8080"); !strings.HasPrefix(got, "DENIED") {
		t.Errorf("to itself: %s", got)
	}
}
