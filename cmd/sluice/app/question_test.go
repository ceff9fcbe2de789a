package app

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// fixture is a file of package question's tests in which words are replaced.
func fixture(t *testing.T, name string, oldNew ...string) string {
	t.Helper()
	text, err := os.ReadFile("../../../policy/question/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(oldNew...).Replace(string(text))
}

func TestExplainServiceGolden(t *testing.T) {
	path := write(t, "town.yaml", fixture(t, "town.yaml"))
	got := sluice(t, "", "explain", "-f", path, "client", "svc/api")
	golden(t, "explain-service.txt", got.out)
	golden(t, "explain-nodeport.txt", sluice(t, "", "explain", "-f", path, "203.0.113.7", "svc/api").out)
	if got.code != exitOK {
		t.Errorf("%+v", got)
	}
}

// The JSON form of what stands for several is the old one, of the first
// outcome, with more beside it.
func TestExplainServiceJSON(t *testing.T) {
	got := sluice(t, "", "explain", "-f", write(t, "town.yaml", fixture(t, "town.yaml")), "203.0.113.7", "svc/api", "-o", "json")
	var d answerDocument
	if err := json.Unmarshal([]byte(got.out), &d); err != nil {
		t.Fatal(err)
	}
	if d.APIVersion != explanationVersion || d.Kind != "Explanation" || d.Allowed || d.Question != "203.0.113.7 → svc/default/api:80/TCP" {
		t.Errorf("got %+v", d)
	}
	if len(d.Outcomes) != 2 || d.Paths == nil || *d.Paths != (pathsDocument{Allowed: 3, Total: 9}) || d.Outcomes[0].Seen == "" || d.Outcomes[1].Count != 3 || !d.Outcomes[1].Allowed {
		t.Errorf("got %s", got.out)
	}
}

func TestVerifyPartly(t *testing.T) {
	flows := `{"src":"client","dst":"svc/api","port":80,"expected":true}
{"src":"client","dst":"svc/api","port":80,"expected":false}`
	got := sluice(t, flows, "verify", "-f", write(t, "town.yaml", fixture(t, "town.yaml")))
	if got.code != exitFailed || strings.Count(got.out, "partly  default/client → svc/default/api:80/TCP  allowed for 2 of 3 Pods  MISMATCH") != 2 {
		t.Errorf("got %+v", got)
	}
}

func TestExplainSharedAddressJSON(t *testing.T) {
	path := write(t, "m.yaml", fixture(t, "shared-address.yaml"))
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
			fixture(t, "shared-address.yaml"),
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

func TestLiveNodeLocalDNS(t *testing.T) {
	s := &apiServer{t: t}
	s.load(fixture(t, "dns.yaml", "RULE", `{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}`), `
---
{apiVersion: v1, kind: Pod, metadata: {name: node-local-dns-x, namespace: kube-system, labels: {k8s-app: node-local-dns}}, spec: {nodeName: a, hostNetwork: true, containers: [{name: c, args: ["-localip", "169.254.20.10,10.96.0.10"]}]}, status: {phase: Running, podIP: 192.0.2.1, hostIP: 192.0.2.1, conditions: [{type: Ready, status: "True"}]}}`)
	server := httptest.NewServer(s)
	defer server.Close()
	config := kubeconfig(t, server.URL)
	for _, dst := range []string{"svc/kube-system/kube-dns:53/UDP", "10.96.0.10:53/UDP"} {
		got := sluice(t, "", "explain", "shop/app", dst, "--kubeconfig", config)
		if !strings.HasPrefix(got.out, "DENIED") || !strings.Contains(got.out, "answers at 10.96.0.10") {
			t.Errorf("%s\n%s%s", dst, got.err, got.out)
		}
	}
	got := sluice(t, `{"src":"shop/app","dst":"svc/kube-system/kube-dns","port":53,"proto":"UDP","expected":false}`, "verify", "--kubeconfig", config)
	if got.code != exitOK {
		t.Errorf("verify: %+v", got)
	}
}

func TestLiveNodeSourceInAnOverlay(t *testing.T) {
	s := &apiServer{t: t}
	s.load(fixture(t, "overlay.yaml", "BLOCK", "10.244.0.0/32"), `
{apiVersion: v1, kind: Node, metadata: {name: cp, annotations: {flannel.alpha.coreos.com/backend-type: vxlan}}, spec: {podCIDR: 10.244.0.0/24}, status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: worker}, status: {addresses: [{type: InternalIP, address: 192.0.2.2}]}}`)
	server := httptest.NewServer(s)
	defer server.Close()
	config := kubeconfig(t, server.URL)
	for _, flow := range [][]string{{"node/cp", "hooks/there:9443"}, {"hooks/apiserver", "svc/hooks/webhook:443"}} {
		got := sluice(t, "", "explain", flow[0], flow[1], "--kubeconfig", config)
		if !strings.HasPrefix(got.out, "ALLOWED") || !strings.Contains(got.out, "the Pod sees 10.244.0.0") {
			t.Errorf("%s\n%s%s", flow, got.err, got.out)
		}
	}
}
