package policy_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// Point 12 of the semantics: an address that the objects of several live Pods
// claim.

// It is isolated by the policies of each, and allowed what each allows, in
// whatever order they come and go. A Pod that has finished claims nothing.
func TestSharedAddressIsJudgedByEach(t *testing.T) {
	older := pod("shop/db", "10.0.0.7", "app=db")
	newer := minutesLater(pod("bank/web", "10.0.0.7", "app=web"), 5)
	policies := []any{namespace("shop"), namespace("bank"), pod("shop/web", "10.0.0.1", "app=web"),
		netpol(t, "shop/db", `{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress, Egress], ingress: [{ports: [{port: 80}, {port: 81}]}]}`),
		netpol(t, "bank/web", `{podSelector: {}, ingress: [{ports: [{port: 80}, {port: 82}]}]}`)}
	both := verdicts{
		"shop/web > 10.0.0.7 TCP 80": allowed,
		"shop/web > 10.0.0.7 TCP 81": ingressDenied,
		"shop/web > 10.0.0.7 TCP 82": ingressDenied,
		"10.0.0.7 > shop/web TCP 80": egressDenied,
		"10.0.0.7 > 10.0.0.7 TCP 99": allowed, // whoever has it, it is itself
	}
	onlyOlder := verdicts{
		"shop/web > 10.0.0.7 TCP 81": allowed,
		"shop/web > 10.0.0.7 TCP 82": ingressDenied,
		"10.0.0.7 > shop/web TCP 80": egressDenied,
	}
	onlyNewer := verdicts{
		"shop/web > 10.0.0.7 TCP 81": ingressDenied,
		"shop/web > 10.0.0.7 TCP 82": allowed,
		"10.0.0.7 > shop/web TCP 80": allowed,
	}
	for _, order := range [][]any{{older, newer}, {newer, older}, {older, newer, older}} {
		w := newWorld(t, policies...).set(order...)
		w.check(both)
		w.set(inPhase(older.DeepCopy(), corev1.PodSucceeded)).check(onlyNewer)
		w.set(older).check(both)
		w.set(inPhase(newer.DeepCopy(), corev1.PodFailed)).check(onlyOlder)
		w.set(newer).check(both)
		w.delete(newer).check(onlyOlder)
		w.set(newer).delete(older).check(onlyNewer)
		w.delete(newer).check(verdicts{"shop/web > 10.0.0.7 TCP 99": allowed})
	}
	// One that no policy selects changes nothing; a third that one does counts.
	free, shut := pod("void/free", "10.0.0.7"), pod("shop/shut", "10.0.0.7", "app=shut")
	w := newWorld(t, policies...).set(older, free, newer)
	w.check(both)
	w.set(shut, netpol(t, "shop/shut", `{podSelector: {matchLabels: {app: shut}}}`))
	w.check(verdicts{"shop/web > 10.0.0.7 TCP 80": ingressDenied})
	w.set(pod("shop/shut", "10.0.0.7", "app=other")).check(both)
	// Pods on the host network and nodes claim nothing.
	w.set(hostNetwork(pod("shop/host", "10.0.0.7", "app=shut"))).check(both)
}

// As a peer it is admitted by selectors only if each of the Pods is: the one
// that is not may be the one that has it. A port's name is known only where
// each has that port.
func TestSharedAddressAsPeer(t *testing.T) {
	w := newWorld(t, namespace("shop"), namespace("bank"),
		withPorts(pod("shop/web", "10.0.0.7", "app=web"), "http=80", "metrics=9090", "dns=53/UDP"),
		withPorts(minutesLater(pod("shop/api", "10.0.0.7", "app=api"), 5), "dns=53", "metrics=9090", "http=8080"),
		pod("shop/db", "10.0.0.2", "app=db"), pod("shop/client", "10.0.0.3", "app=client"),
		netpol(t, "shop/db", `
podSelector: {matchLabels: {app: db}}
ingress:
- from: [{podSelector: {matchLabels: {app: web}}}]
  ports: [{port: 1}]
- from: [{podSelector: {matchLabels: {app: web}}}, {podSelector: {matchLabels: {app: api}}}]
  ports: [{port: 2}]
- from: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [web, api]}]}}]
  ports: [{port: 3}]
- from: [{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [api]}]}}]
  ports: [{port: 4}]
- from: [{ipBlock: {cidr: 10.0.0.7/32}}]
  ports: [{port: 5}]
`),
		netpol(t, "shop/client", `
podSelector: {matchLabels: {app: client}}
policyTypes: [Egress]
egress:
- to: [{podSelector: {}}]
  ports: [{port: http}, {port: metrics}, {port: dns}, {port: dns, protocol: UDP}]
- to: [{ipBlock: {cidr: 10.0.0.0/8}}]
  ports: [{port: http}]
`))
	w.check(verdicts{
		"10.0.0.7 > shop/db TCP 1":        ingressDenied,
		"10.0.0.7 > shop/db TCP 2":        ingressDenied,
		"10.0.0.7 > shop/db TCP 3":        allowed,
		"10.0.0.7 > shop/db TCP 4":        ingressDenied,
		"10.0.0.7 > shop/db TCP 5":        allowed,
		"shop/client > 10.0.0.7 TCP 80":   egressDenied,
		"shop/client > 10.0.0.7 TCP 8080": egressDenied,
		"shop/client > 10.0.0.7 TCP 9090": allowed,
		"shop/client > 10.0.0.7 TCP 53":   egressDenied,
		"shop/client > 10.0.0.7 UDP 53":   egressDenied,
	})
	w.set(withPorts(pod("shop/api", "10.0.0.7", "app=web"), "http=80", "metrics=9090")).check(verdicts{
		"10.0.0.7 > shop/db TCP 1":      allowed,
		"10.0.0.7 > shop/db TCP 4":      allowed,
		"shop/client > 10.0.0.7 TCP 80": allowed,
	})
}

// The own node of a shared address is let in only if it is each Pod's own.
func TestSharedAddressAcrossNodes(t *testing.T) {
	w := newWorld(t, namespace("shop"),
		onNode(pod("shop/a", "10.0.0.7"), 1), onNode(minutesLater(pod("shop/b", "10.0.0.7"), 5), 1),
		netpol(t, "shop/all", `{podSelector: {}}`))
	w.check(verdicts{"172.18.0.1 > 10.0.0.7 TCP 80": allowed, "172.18.0.2 > 10.0.0.7 TCP 80": ingressDenied})
	w.set(onNode(minutesLater(pod("shop/b", "10.0.0.7"), 5), 2))
	w.check(verdicts{"172.18.0.1 > 10.0.0.7 TCP 80": ingressDenied, "172.18.0.2 > 10.0.0.7 TCP 80": ingressDenied})
}

// Up to eight different ways in which the Pods are isolated are asked, whether one
// Pod or dozens are isolated so. Pods differ by the policies that isolate them, and
// by the numbers of the ports that these have by name.
func TestAlikePodsCountOnceForSharedAddress(t *testing.T) {
	objects := []any{namespace("shop"), pod("shop/web", "10.0.0.1")}
	claim := func(name, app string, ports ...string) *corev1.Pod {
		return withPorts(pod(name, "10.0.0.7", "app="+app), ports...)
	}
	for i := range 8 {
		app := fmt.Sprint("app-", i)
		objects = append(objects, netpol(t, "shop/"+app, strings.ReplaceAll(
			`{podSelector: {matchLabels: {app: APP}}, policyTypes: [Ingress, Egress], ingress: [{ports: [{port: 80}, {port: http}]}], egress: [{ports: [{port: 80}, {port: http}]}]}`, "APP", app)))
		for j := range 5 {
			objects = append(objects, claim(fmt.Sprintf("shop/%s-%d", app, j), app, "http=8080"))
		}
	}
	w := newWorld(t, objects...)
	open := verdicts{
		"shop/web > 10.0.0.7 TCP 80":   allowed,
		"shop/web > 10.0.0.7 TCP 8080": allowed,
		"shop/web > 10.0.0.7 TCP 81":   ingressDenied,
		"10.0.0.7 > shop/web TCP 80":   allowed,
		"10.0.0.7 > shop/web TCP 8080": egressDenied,
	}
	w.check(open)
	w.set(claim("shop/free", "free", "http=8080")).check(open)
	w.set(claim("shop/more", "app-1", "http=8080", "other=1")).check(open)
	// The ninth: the name stands for another number on it.
	w.set(claim("shop/more", "app-1", "http=9090", "other=1")).check(verdicts{
		"shop/web > 10.0.0.7 TCP 80": ingressDenied,
		"10.0.0.7 > shop/web TCP 80": allowed,
	})
	w.set(netpol(t, "shop/ninth", `{podSelector: {matchLabels: {app: app-1, odd: "1"}}, policyTypes: [Egress], egress: [{}]}`),
		pod("shop/more", "10.0.0.7", "app=app-1", "odd=1")).check(verdicts{
		"shop/web > 10.0.0.7 TCP 80": ingressDenied, // it has no such port
		"10.0.0.7 > shop/web TCP 80": egressDenied,
	})
	w.delete(pod("shop/more", "10.0.0.7")).check(open)
}
