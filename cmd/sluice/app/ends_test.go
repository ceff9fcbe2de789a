package app

import (
	"strings"
	"testing"
)

const shopBlocks = shopManifests + `
  - from: [{ipBlock: {cidr: 10.1.0.0/16, except: [10.1.2.0/24]}}]
---
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: db}
spec: {selector: {app: db}, clusterIP: 10.96.0.7, ports: [{port: 5432, targetPort: sql}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {namespace: shop, name: night}
spec: {jobTemplate: {spec: {template: {metadata: {labels: {app: night}}, spec: {containers: [{name: c}]}}}}}
`

// Workloads are ends without a Pod that runs, and so are ranges, namespaces and labels.
func TestExplainEnds(t *testing.T) {
	file := write(t, "shop.yaml", shopBlocks)
	for question, want := range map[string]string{
		"deploy/shop/web sts/shop/db:5432":     "ALLOWED  deploy/shop/web → sts/shop/db:5432/TCP",
		"shop/web shop/db":                     "no address yet",
		"shop/web svc/shop/db":                 "through Service shop/db",
		"shop/web shop/db:22":                  "on whether the address of shop/web is in 10.1.0.0/16 except 10.1.2.0/24",
		"cronjob/shop/night shop/db:80":        "DEPENDS  cronjob/shop/night → ",
		"shop/db shop/db:5432":                 "another Pod of it",
		"10.1.2.0/24 shop/db:22":               "0 of 1 path allowed",
		"10.1.0.0/16 shop/db:22":               "1 of 2 paths allowed",
		"internet shop/db:22":                  "PARTLY ALLOWED  internet → ",
		"internet shop/web:22":                 "ALLOWED  internet → ",
		"any shop/web:8080":                    "ALLOWED  any → ",
		"app=web ns/shop:app=db:5432":          "ALLOWED  app=web → ns/shop:app=db:5432/TCP",
		"ns/shop shop/web:80":                  "2 of 3 paths allowed",
		"shop/db internet:443":                 "DENIED  shop/db → internet:443/TCP",
		"shop/wbe shop/db:80":                  "no Pod shop/wbe in the manifests; did you mean shop/web?",
		"web shop/db:80":                       "; there is shop/web",
		"shop/web www.example.org:443":         "names of hosts are not resolved",
		"ns/shpo shop/db:80":                   "did you mean shop?",
		"app=nobody shop/db:80":                "no Pod of the manifests is app=nobody",
		"cronjob/shop/nihgt shop/db:80":        "did you mean shop/night?",
		"10.1.0.5/16 shop/db:80":               "write 10.1.0.0/16",
		"shop/web 203.0.113.0/24:443/UDP":      "ALLOWED",
		"shop/web '[2001:db8::/32]:443'":       "ALLOWED",
		"deploy/shop/web ns/kube-system:53":    "no Pod of the manifests is ns/kube-system",
		"shop/web app=db,tier!=x:5432":         "ALLOWED",
		"deploy/shop/web pod/shop/db:5432/TCP": "ALLOWED",
	} {
		var args []string
		for _, word := range strings.Fields(question) {
			args = append(args, strings.Trim(word, "'"))
		}
		r := sluice(t, "", append(append([]string{"explain"}, args...), "-f", file)...)
		if !strings.Contains(r.out+r.err, want) {
			t.Errorf("%s: %d, %q is missing:\n%s%s", question, r.code, want, r.out, r.err)
		}
	}
}

// The internet has no nodes and no Pods, be it of verify, of list or of what a cloud's load
// balancer sends: a rule for the cluster's own ranges opens nothing to it.
func TestInternetIsOutside(t *testing.T) {
	file := write(t, "node.yaml", shopManifests+`
  - from: [{ipBlock: {cidr: 10.244.0.0/16}}, {ipBlock: {cidr: 192.168.77.2/32}}]
---
{apiVersion: v1, kind: Node, metadata: {name: n1}, spec: {podCIDR: 10.244.0.0/16}, status: {addresses: [{type: InternalIP, address: 192.168.77.2}]}}
`)
	const flows = "internet -> shop/db:5432 deny\n10.244.0.0/16 -> shop/db:5432 allow\nnode/n1 -> shop/db:5432 allow\ninternet -> shop/web:80 allow\n"
	if r := sluice(t, flows, "verify", "-f", file); r.code != exitOK {
		t.Errorf("%+v", r)
	}
	if r := sluice(t, "", "list", "-f", file, "--focus", "shop/db", "--direction", "ingress"); strings.Contains(r.out, "internet") || !strings.Contains(r.out, "nodes → shop/db") {
		t.Errorf("%+v", r)
	}
	nowhere := write(t, "node.yaml", shopManifests+"---\n{apiVersion: v1, kind: Node, metadata: {name: n1}, spec: {podCIDRs: [0.0.0.0/0, '::/0']}}\n")
	for file, end := range map[string]string{nowhere: "internet", file: "0.0.0.0/8"} {
		if r := sluice(t, "", "explain", end, "shop/db:80", "-f", file); r.code != exitUnusable || !strings.Contains(r.err, "no address of "+end+" is one that") {
			t.Errorf("%s: %+v", end, r)
		}
	}
}

// What depends is neither allowed nor denied, so that it meets no expectation.
func TestVerifyDepends(t *testing.T) {
	file := write(t, "shop.yaml", shopBlocks)
	for _, expected := range []string{"true", "false"} {
		r := sluice(t, `{"src":"shop/web","dst":"shop/db","port":22,"expected":`+expected+`}`, "verify", "-f", file)
		if r.code != exitFailed || !strings.Contains(r.out, "depends on whether the address of shop/web is in 10.1.0.0/16") {
			t.Errorf("expected %s: %+v", expected, r)
		}
	}
}

// -n places what names no namespace, as kubectl apply does.
func TestNamespacePlaces(t *testing.T) {
	file := write(t, "shop.yaml", strings.ReplaceAll(shopManifests, "namespace: shop, ", ""))
	r := sluice(t, "", "explain", "web", "db", "-n", "store", "-f", file)
	if r.code != exitOK || !strings.Contains(r.out, "policy store/db") {
		t.Errorf("%+v", r)
	}
	if r := sluice(t, "", "list", "-n", "store", "-f", file); !strings.Contains(r.out, "store/web → store/db") {
		t.Errorf("%+v", r)
	}
}

// With --exit-code the answer is the exit code.
func TestExplainExitCode(t *testing.T) {
	file := write(t, "shop.yaml", shopBlocks)
	for dst, want := range map[string]int{"shop/db:5432": exitOK, "shop/db:22": exitFailed, "shop/none:1": exitUnusable} {
		if r := sluice(t, "", "explain", "shop/web", dst, "-f", file, "--exit-code"); r.code != want {
			t.Errorf("%s: %d, want %d", dst, r.code, want)
		}
	}
	if r := sluice(t, "", "--version"); r.code != exitOK || r.out != sluice(t, "", "version").out {
		t.Errorf("%+v", r)
	}
}
