package app

import (
	"encoding/json"
	"strings"
	"testing"
)

// sharedAddress is a cluster after a node's restart: guarded has the sandbox with
// 10.1.0.5, and the object of waiting still shows the address it had before.
const sharedAddress = `apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {kubernetes.io/metadata.name: shop}}
---
apiVersion: v1
kind: Pod
metadata: {name: guarded, namespace: shop, uid: "1", creationTimestamp: "2026-01-01T00:00:00Z", labels: {app: guarded}}
spec: {nodeName: a}
status: {phase: Running, podIP: 10.1.0.5, podIPs: [{ip: 10.1.0.5}]}
---
apiVersion: v1
kind: Pod
metadata: {name: waiting, namespace: shop, uid: "2", creationTimestamp: "2026-01-02T00:00:00Z", labels: {app: waiting}}
spec: {nodeName: a}
status: {phase: Running, podIP: 10.1.0.5, podIPs: [{ip: 10.1.0.5}], conditions: [{type: Ready, status: "False"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: gone, namespace: shop, uid: "0", creationTimestamp: "2026-01-01T00:00:00Z"}
spec: {nodeName: a}
status: {phase: Succeeded, podIP: 10.1.0.7, podIPs: [{ip: 10.1.0.7}]}
---
apiVersion: v1
kind: Pod
metadata: {name: stranger, namespace: shop, uid: "3", creationTimestamp: "2026-01-01T00:00:00Z", labels: {app: stranger}}
spec: {nodeName: a}
status: {phase: Running, podIP: 10.1.0.7, podIPs: [{ip: 10.1.0.7}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: guarded}, clusterIP: 10.96.0.1, ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: guarded, namespace: shop}
spec:
  podSelector: {matchLabels: {app: guarded}}
  policyTypes: [Ingress, Egress]
`

// What is asked about one of two Pods with one address is answered by the
// policies of each, and never as if the other one were the same Pod.
func TestExplainSharedAddress(t *testing.T) {
	path := write(t, "m.yaml", sharedAddress)
	const self, shared = "a Pod always reaches itself", "10.1.0.5 is shared: the objects of the Pods shop/guarded and shop/waiting claim it"
	for _, c := range []struct {
		src, dst string
		allowed  bool
		want     []string
	}{
		{"shop/stranger", "shop/guarded:80", false, []string{"shop/stranger → shop/guarded:80", shared, "policy shop/guarded isolates shop/guarded for ingress"}},
		{"shop/stranger", "shop/waiting:80", false, []string{"shop/stranger → shop/waiting:80", shared, "isolates shop/guarded, which claims 10.1.0.5 too, for ingress"}},
		{"shop/guarded", "shop/stranger:80", false, []string{"shop/guarded → shop/stranger:80", shared}},
		{"shop/waiting", "shop/stranger:80", false, []string{"shop/waiting → shop/stranger:80", shared}},
		{"shop/stranger", "10.1.0.5:80", false, []string{shared}},
		{"shop/guarded", "shop/waiting:80", false, []string{shared, "no packet from Pod shop/guarded can reach Pod shop/waiting"}},
		{"shop/waiting", "svc/shop/web:80", false, []string{shared, "no packet from Pod shop/waiting can reach Pod shop/guarded"}},
		{"shop/guarded", "shop/guarded:80", true, []string{self, shared}},
		{"shop/guarded", "10.1.0.5:80", true, []string{self, shared}},
	} {
		got := sluice(t, "", "explain", c.src, c.dst, "-f", path)
		verdict := map[bool]string{true: "ALLOWED", false: "DENIED"}[c.allowed]
		if got.code != exitOK || !strings.Contains(got.out, verdict+"  shop/") {
			t.Errorf("%s → %s: code %d, want %s:\n%s%s", c.src, c.dst, got.code, verdict, got.out, got.err)
		}
		for _, want := range c.want {
			if !strings.Contains(got.out, want) {
				t.Errorf("%s → %s: %q is missing in\n%s", c.src, c.dst, want, got.out)
			}
		}
		if !c.allowed && strings.Contains(got.out, self) {
			t.Errorf("%s → %s: taken for one Pod:\n%s", c.src, c.dst, got.out)
		}
	}
	// Who has given the address to the other is not the other.
	got := sluice(t, "", "explain", "shop/gone", "shop/stranger:80", "-f", path)
	if got.code != exitUnusable || !strings.Contains(got.err, "is that of Pod shop/stranger by now") {
		t.Errorf("finished Pod: %+v", got)
	}
}

func TestExplainSharedAddressJSON(t *testing.T) {
	path := write(t, "m.yaml", sharedAddress)
	got := sluice(t, "", "explain", "shop/stranger", "shop/guarded:80", "-f", path, "-o", "json")
	var e explanationDocument
	if err := json.Unmarshal([]byte(got.out), &e); err != nil {
		t.Fatal(err)
	}
	claims := e.Ingress.Claims
	if len(claims) != 2 || claims[0].Pod != "shop/waiting" || !claims[0].Allowed || claims[1].Pod != "shop/guarded" || claims[1].Allowed || e.Allowed {
		t.Errorf("got %s", got.out)
	}
}

// Cases that others answered differently, or that charts ship by mistake.
func TestVerifyDebatedCases(t *testing.T) {
	const pods = `apiVersion: v1
kind: Pod
metadata: {name: a, labels: {app: a}}
status: {podIP: 10.1.0.2}
---
apiVersion: v1
kind: Pod
metadata: {name: b, labels: {app: b}}
spec: {containers: [{name: c, ports: [{containerPort: 80, name: http}]}]}
status: {podIP: 10.1.0.3}
`
	policy := func(spec string) string {
		return pods + "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: " + spec + "\n"
	}
	for name, c := range map[string]struct {
		manifests, flows string
		code             int
	}{
		"a port's name beside an ipBlock around the Pod that has it": {
			policy(`{podSelector: {matchLabels: {app: a}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.1.0.0/16}}], ports: [{port: http}]}]}`),
			`{"src":"a","dst":"b","port":80,"expected":true}
			{"src":"a","dst":"b","port":81,"expected":false}
			{"src":"a","dst":"10.1.0.9","port":80,"expected":false}
			{"src":"a","dst":"8.8.8.8","port":80,"expected":false}`, exitOK,
		},
		"an empty egress without policyTypes isolates ingress only": {
			policy(`{podSelector: {matchLabels: {app: a}}, ingress: [], egress: []}`),
			`{"src":"a","dst":"8.8.8.8","port":53,"expected":true}
			{"src":"8.8.8.8","dst":"a","port":53,"expected":false}`, exitOK,
		},
		"nulls with both policyTypes isolate both": {
			policy(`{podSelector: {matchLabels: {app: a}}, policyTypes: [Egress, Ingress], ingress: null, egress: null}`),
			`{"src":"a","dst":"8.8.8.8","port":53,"expected":false}
			{"src":"8.8.8.8","dst":"a","port":53,"expected":false}`, exitOK,
		},
		"a matchLabels inside of matchLabels allows nobody, and is reported": {
			policy(`{podSelector: {matchLabels: {app: b}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {matchLabels: {app: a}}}}]}]}`),
			`{"src":"a","dst":"b","port":80,"expected":false}`, exitUnusable,
		},
		"an address of two live Pods": {
			sharedAddress,
			`{"src":"shop/stranger","dst":"shop/guarded","port":80,"expected":false}
			{"src":"shop/guarded","dst":"shop/stranger","port":80,"expected":false}
			{"src":"shop/stranger","dst":"10.1.0.5","port":80,"expected":false}
			{"src":"shop/guarded","dst":"shop/waiting","port":80,"expected":false}`, exitOK,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := sluice(t, c.flows, "verify", "-f", write(t, "m.yaml", c.manifests))
			if got.code != c.code || strings.Contains(got.out, "MISMATCH") {
				t.Errorf("code %d:\n%s%s", got.code, got.out, got.err)
			}
		})
	}
}
