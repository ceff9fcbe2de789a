package app

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluice-net/sluice/enforcer/denials"
)

func suggestFlow(t *testing.T, src, dst string, port uint16) string {
	t.Helper()
	// Written as the agent writes it, so that reading it does not drift away.
	line, err := json.Marshal(denials.Denial{
		APIVersion: denials.APIVersion, Kind: "Flow", Protocol: "TCP", Port: port,
		Src: denials.End{Kind: denials.PodEnd, Address: src}, Dst: denials.End{Kind: denials.PodEnd, Address: dst},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(line) + "\n"
}

// What suggest prints can be read back, and allows what was seen and no more.
func TestSuggest(t *testing.T) {
	pods := pod("shop", "web", "app: web", "10.0.0.1", "") + "\n---\n" +
		pod("shop", "api", "app: api", "10.0.0.3", "{containerPort: 9000, name: grpc}") + "\n---\n" +
		pod("shop", "db", "app: db", "10.0.0.2", "{containerPort: 5432, name: postgres}")
	path := write(t, "m.yaml", pods)
	flows := suggestFlow(t, "10.0.0.1", "10.0.0.3", 9000) + suggestFlow(t, "10.0.0.3", "10.0.0.2", 5432)
	got := sluice(t, flows, "suggest", "-n", "shop", "-f", path, "--flows", "-", "--mode", "enforce")
	if got.code != exitOK || !strings.Contains(got.err, "2 different flows, 3 policies") {
		t.Fatalf("%+v", got)
	}
	golden(t, "suggest.yaml", got.out)
	both := write(t, "both.yaml", pods+"\n---\n"+got.out)
	for flow, allowed := range map[[2]string]bool{
		{"web", "api:9000"}: true, {"api", "db:5432"}: true,
		{"web", "db:5432"}: false, {"api", "web:80"}: false, {"web", "api:9001"}: false,
	} {
		e := sluice(t, "", "explain", "-n", "shop", flow[0], flow[1], "-f", both)
		if strings.HasPrefix(e.out, "ALLOWED") != allowed {
			t.Errorf("%v: %s", flow, e.out)
		}
	}
	// Without --mode nothing is enforced.
	got = sluice(t, flows, "suggest", "-n", "shop", "-f", path, "--flows", "-", "-o", "json")
	var list networkingv1.NetworkPolicyList
	if err := json.Unmarshal([]byte(got.out), &list); err != nil || len(list.Items) != 3 || list.Items[0].Annotations["sluice-net.github.io/mode"] != "audit" {
		t.Errorf("%v %+v", err, got)
	}
}

// What is suggested for a namespace with policies can be applied there, and changes nothing
// until it is enforced.
func TestSuggestBesidePolicies(t *testing.T) {
	pods := pod("shop", "web", "app: web", "10.0.0.1", "") + "\n---\n" + pod("shop", "api", "app: api", "10.0.0.3", "") + "\n---\n" +
		pod("shop", "db", "app: db", "10.0.0.2", "{containerPort: 5432}")
	const enforced = `
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: api}}}]}]}
`
	flows := suggestFlow(t, "10.0.0.3", "10.0.0.2", 5432)
	old := write(t, "old.yaml", pods+enforced)
	got := sluice(t, flows, "suggest", "-n", "shop", "-f", old, "--flows", "-")
	if got.code != exitOK || !strings.Contains(got.err, "notice: policy shop/db is there, and stays as it is: the one suggested is called db-2\n") || strings.Contains(got.err, "have no NetworkPolicy") {
		t.Fatalf("%+v", got)
	}
	suggested := write(t, "suggested.yaml", got.out)
	if d := sluice(t, "", "diff", old, suggested, "--apply"); d.code != exitOK || !strings.Contains(d.out, "No difference in who can reach whom, though 2 policies changed.") {
		t.Errorf("applied, it makes a difference: %+v", d)
	}
	if l := sluice(t, "", "lint", "-f", old, "-f", suggested, "--fail-on", "note"); strings.Contains(l.out, "NetworkPolicy shop/db: adds nothing") {
		t.Errorf("lint takes what is audited for enforced: %s", l.out)
	}
	// Suggested anew, it has the same name.
	again := sluice(t, flows, "suggest", "-n", "shop", "-f", old, "-f", suggested, "--flows", "-")
	if again.code != exitOK || again.out != got.out || !strings.Contains(again.err, "notice: policy shop/db-2 is there, audited, for the same Pods: this one replaces it\n") {
		t.Errorf("%+v", again)
	}
	// Manifests without policies say nothing about those of the cluster.
	bare := sluice(t, flows, "suggest", "-n", "shop", "-f", write(t, "pods.yaml", pods), "--flows", "-")
	if bare.code != exitOK || !strings.Contains(bare.err, "notice: the manifests have no NetworkPolicy of namespace shop: ") {
		t.Errorf("%+v", bare)
	}
}

// Of manifests with errors nothing is suggested: a policy that could not be read would be
// replaced, and a Pod be missing.
func TestSuggestWantsManifestsWithoutErrors(t *testing.T) {
	pods := pod("shop", "web", "app: web", "10.0.0.1", "") + "\n---\n" + pod("shop", "db", "app: db", "10.0.0.2", "")
	for name, bad := range map[string]string{
		"a policy":    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: db, namespace: shop}\nspec: {podSelector: 7}\n",
		"a Pod":       pod("shop", "x", "app: x", "10.0.0.300", ""),
		"no YAML":     "a: [",
		"a wrong key": "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: shop}\nspec: {podselector: {}}\n",
	} {
		got := sluice(t, suggestFlow(t, "10.0.0.1", "10.0.0.2", 5432), "suggest", "-n", "shop", "-f", write(t, "m.yaml", pods+"\n---\n"+bad), "--flows", "-")
		if got.code != exitUnusable || got.out != "" || !strings.Contains(got.err, "error: ") || !strings.Contains(got.err, "mend the manifests first") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestSuggestRefuses(t *testing.T) {
	path := write(t, "m.yaml", pod("shop", "web", "app: web", "10.0.0.1", ""))
	for name, c := range map[string]struct {
		flows, want string
		code        int
		args        []string
	}{
		"no flows":       {"", "no flows: give a file", exitUnusable, nil},
		"an empty file":  {"\n", "there is none that passed", exitUnusable, []string{"--flows", "-"}},
		"nonsense":       {"a\nb\n", "error: stdin:2: JSON: invalid character 'b'", exitUnusable, []string{"--flows", "-"}},
		"elsewhere":      {`{"kind":"Flow","src":{"address":"1.1.1.1"},"dst":{"address":"2.2.2.2"},"protocol":"TCP","port":1}`, "none of the 1 flows gives a policy in namespace shop", exitFailed, []string{"--flows", "-"}},
		"stdin for both": {"", "-f - takes stdin for manifests: give the flows with --flows FILE", exitUnusable, []string{"-f", "-", "--flows", "-"}},
		"stdin, twice":   {"", "--flows -: stdin can be read once", exitUnusable, []string{"--flows", "-", "--flows", "-"}},
		"a wrong mode":   {"", `"try"`, exitUnusable, []string{"--flows", "-", "--mode", "try"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := sluice(t, c.flows, append([]string{"suggest", "-n", "shop", "-f", path}, c.args...)...)
			if got.code != c.code || !strings.Contains(got.err, c.want) {
				t.Errorf("want %d, %s; got %s", c.code, c.want, fmt.Sprintf("%+v", got))
			}
		})
	}
}
