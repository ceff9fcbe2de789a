package app

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// dnsCluster is a Pod on each of two nodes whose egress to DNS is allowed by a
// rule, and DNS behind a Service.
func dnsCluster(rule string) string {
	return `{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: kube-system}}
---
{apiVersion: v1, kind: Pod, metadata: {name: kube-dns-1, namespace: kube-system, labels: {k8s-app: kube-dns}}, spec: {nodeName: a, containers: [{name: dns, ports: [{containerPort: 53, name: dns, protocol: UDP}, {containerPort: 9153}]}]}, status: {phase: Running, podIP: 10.1.0.53, hostIP: 192.0.2.1, conditions: [{type: Ready, status: "True"}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: kube-dns, namespace: kube-system}, spec: {clusterIP: 10.96.0.10, selector: {k8s-app: kube-dns}, ports: [{name: dns, port: 53, protocol: UDP, targetPort: 53}, {name: dns-tcp, port: 53, protocol: TCP, targetPort: 53}, {name: metrics, port: 9153, protocol: TCP}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, metadata: {namespace: kube-system, name: kube-dns-1, labels: {kubernetes.io/service-name: kube-dns}}, ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}, {name: metrics, port: 9153, protocol: TCP}], endpoints: [{addresses: [10.1.0.53], nodeName: a, targetRef: {kind: Pod, namespace: kube-system, name: kube-dns-1}, conditions: {ready: true}}]}
---
{apiVersion: v1, kind: Pod, metadata: {name: app, namespace: shop, labels: {app: app}}, spec: {nodeName: a}, status: {phase: Running, podIP: 10.1.0.10, hostIP: 192.0.2.1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: away, namespace: shop, labels: {app: app}}, spec: {nodeName: b}, status: {phase: Running, podIP: 10.1.1.10, hostIP: 192.0.2.2}}
---
{apiVersion: v1, kind: Pod, metadata: {name: unplaced, namespace: shop, labels: {app: app}}, spec: {}, status: {phase: Running, podIP: 10.1.9.10}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: dns, namespace: shop}, spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [` + rule + `]}]}}
`
}

// onHostNetwork is a Pod of the host network of node a, with a command line.
func onHostNetwork(name, label, command, ready string) string {
	return "\n---\n{apiVersion: v1, kind: Pod, metadata: {name: " + name + ", namespace: kube-system, labels: {" + label + "}}, spec: {nodeName: a, hostNetwork: true, containers: [{name: c, " + command +
		`}]}, status: {phase: Running, podIP: 192.0.2.1, hostIP: 192.0.2.1, conditions: [{type: Ready, status: "` + ready + `"}]}}`
}

func dnsCache(command string) string {
	return onHostNetwork("node-local-dns-x", "k8s-app: node-local-dns", command, "True")
}

const (
	byPod   = `{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}`
	byBlock = `{ipBlock: {cidr: 10.96.0.10/32}}`
	dnsArgs = `args: ["-localip", "169.254.20.10,10.96.0.10", "-conf", "/etc/Corefile"]`
)

// Where NodeLocal DNSCache answers at the DNS Service's ClusterIP the kernel never
// sees the Pods behind the Service.
func TestNodeLocalDNS(t *testing.T) {
	agent := func(args string) string {
		return onHostNetwork("sluice-x", "app.kubernetes.io/name: sluice", args, "True")
	}
	tests := map[string]struct {
		rule, more, src, dst string
		want, note           string
	}{
		"no cache":                            {byPod, "", "shop/app", "svc/kube-system/kube-dns:53/UDP", "ALLOWED", ""},
		"allowed by podSelector":              {byPod, dnsCache(dnsArgs), "shop/app", "svc/kube-system/kube-dns:53/UDP", "DENIED", "egress is judged to the address itself"},
		"by the Service's address":            {byPod, dnsCache(dnsArgs), "shop/app", "10.96.0.10:53/UDP", "DENIED", "answers at 10.96.0.10"},
		"by the port's name":                  {byPod, dnsCache(dnsArgs), "shop/app", "svc/kube-system/kube-dns:dns/UDP", "DENIED", "--node-dns"},
		"TCP":                                 {byPod, dnsCache(dnsArgs), "shop/app", "svc/kube-system/kube-dns:53/TCP", "DENIED", "answers at 10.96.0.10"},
		"another port":                        {byPod, dnsCache(dnsArgs), "shop/app", "svc/kube-system/kube-dns:9153/TCP", "ALLOWED", ""},
		"the Pod itself":                      {byPod, dnsCache(dnsArgs), "shop/app", "kube-system/kube-dns-1:53/UDP", "ALLOWED", ""},
		"allowed by ipBlock":                  {byBlock, dnsCache(dnsArgs), "shop/app", "svc/kube-system/kube-dns:53/UDP", "ALLOWED", "but an ipBlock does"},
		"the node's own address":              {byPod, dnsCache(dnsArgs), "shop/app", "169.254.20.10:53/UDP", "DENIED", "answers at 169.254.20.10"},
		"a node without":                      {byPod, dnsCache(dnsArgs), "shop/away", "svc/kube-system/kube-dns:53/UDP", "ALLOWED", ""},
		"a node without, by ipBlock":          {byBlock, dnsCache(dnsArgs), "shop/away", "svc/kube-system/kube-dns:53/UDP", "DENIED", ""},
		"a node that is not known":            {byPod, dnsCache(dnsArgs), "shop/unplaced", "svc/kube-system/kube-dns:53/UDP", "PARTLY ALLOWED", "both ways are judged"},
		"the node":                            {byPod, dnsCache(dnsArgs), "kube-system/node-local-dns-x", "svc/kube-system/kube-dns:53/UDP", "ALLOWED", "answers at 10.96.0.10"},
		"flag with =":                         {byPod, dnsCache(`args: ["-localip=169.254.20.10,10.96.0.10"]`), "shop/app", "svc/kube-system/kube-dns:53/UDP", "DENIED", "answers at 10.96.0.10"},
		"flag of the command":                 {byPod, dnsCache(`command: [/node-cache, --localip, "169.254.20.10,10.96.0.10"]`), "shop/app", "svc/kube-system/kube-dns:53/UDP", "DENIED", "answers at 10.96.0.10"},
		"flag in a shell's command":           {byPod, dnsCache(`command: [sh, -c, "exec /node-cache -localip 169.254.20.10,10.96.0.10 -conf /etc/Corefile"]`), "shop/app", "svc/kube-system/kube-dns:53/UDP", "DENIED", "answers at 10.96.0.10"},
		"not at the ClusterIP, as with IPVS":  {byPod, dnsCache(`args: ["-localip", "169.254.20.10"]`), "shop/app", "svc/kube-system/kube-dns:53/UDP", "ALLOWED", ""},
		"addresses that cannot be read":       {byPod, dnsCache(`args: ["-localip", "$(LOCAL_IP)"]`), "shop/app", "svc/kube-system/kube-dns:53/UDP", "PARTLY ALLOWED", "it depends on whether NodeLocal DNSCache"},
		"no addresses at all":                 {byPod, dnsCache(`args: ["-conf", x]`), "shop/app", "svc/kube-system/kube-dns:53/UDP", "PARTLY ALLOWED", "it depends on whether NodeLocal DNSCache"},
		"a cache that is not ready":           {byPod, onHostNetwork("x", "k8s-app: node-local-dns", dnsArgs, "False"), "shop/app", "svc/kube-system/kube-dns:53/UDP", "PARTLY ALLOWED", "both ways are judged"},
		"another chart's label":               {byPod, onHostNetwork("x", "app.kubernetes.io/name: node-local-dns", dnsArgs, "True"), "shop/app", "svc/kube-system/kube-dns:53/UDP", "DENIED", "answers at 10.96.0.10"},
		"another Pod of the host network":     {byPod, onHostNetwork("x", "k8s-app: other", dnsArgs, "True"), "shop/app", "svc/kube-system/kube-dns:53/UDP", "ALLOWED", ""},
		"a Pod without the host network":      {byPod, strings.Replace(dnsCache(dnsArgs), "hostNetwork: true", "hostNetwork: false", 1), "shop/app", "svc/kube-system/kube-dns:53/UDP", "ALLOWED", ""},
		"opened by the agent":                 {byPod, dnsCache(dnsArgs) + agent(`args: [agent, "--node-dns=169.254.20.10,10.96.0.10"]`), "shop/app", "svc/kube-system/kube-dns:53/UDP", "ALLOWED", "runs with --node-dns"},
		"opened by the agent, by the address": {byPod, dnsCache(dnsArgs) + agent(`args: [agent, --node-dns, "169.254.20.10"]`), "shop/app", "169.254.20.10:53/UDP", "ALLOWED", "runs with --node-dns"},
		"the agent opens another":             {byPod, dnsCache(dnsArgs) + agent(`args: [agent, --node-dns, "169.254.20.10"]`), "shop/app", "svc/kube-system/kube-dns:53/UDP", "DENIED", ""},
		"the agent opens no other port":       {byPod, dnsCache(dnsArgs) + agent(`args: [agent, --node-dns, "169.254.20.10"]`), "shop/app", "169.254.20.10:9253/TCP", "DENIED", ""},
	}
	for name, tt := range tests {
		file := write(t, "m.yaml", dnsCluster(tt.rule)+tt.more)
		t.Run(name, func(t *testing.T) {
			got := sluice(t, "", "explain", tt.src, tt.dst, "-f", file)
			if got.code != exitOK || !strings.HasPrefix(got.out, tt.want) || !strings.Contains(got.out, tt.note) {
				t.Errorf("exit code %d, want %q and %q in\n%s%s", got.code, tt.want, tt.note, got.err, got.out)
			}
			if tt.note == "" && strings.Contains(got.out, "opens") {
				t.Errorf("a note about what is not so:\n%s", got.out)
			}
		})
	}
}

func TestLiveNodeLocalDNS(t *testing.T) {
	s := &apiServer{t: t}
	s.load(dnsCluster(byPod) + dnsCache(dnsArgs))
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

// DNS on the host network is its node to policies: no podSelector allows it.
func TestHostNetworkEndsAreNoted(t *testing.T) {
	file := write(t, "m.yaml", strings.Replace(dnsCluster(byPod), "spec: {nodeName: a, containers: [{name: dns", "spec: {nodeName: a, hostNetwork: true, containers: [{name: dns", 1))
	for _, dst := range []string{"svc/kube-system/kube-dns:53/UDP", "kube-system/kube-dns-1:53/UDP"} {
		got := sluice(t, "", "explain", "shop/app", dst, "-f", file)
		if !strings.HasPrefix(got.out, "DENIED") || !strings.Contains(got.out, "Pod kube-system/kube-dns-1 uses the host network: to policies it is its node, which no podSelector matches") {
			t.Errorf("%s\n%s%s", dst, got.err, got.out)
		}
	}
}
