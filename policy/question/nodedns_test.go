package question

import (
	"strings"
	"testing"
)

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
		w := New(load(t, fixture(t, "dns.yaml", "RULE", tt.rule)+tt.more))
		t.Run(name, func(t *testing.T) {
			got := told(t, w, tt.src, tt.dst)
			if !strings.HasPrefix(got, strings.TrimSuffix(tt.want, " ALLOWED")) || !strings.Contains(got, tt.note) {
				t.Errorf("want %q and %q in\n%s", tt.want, tt.note, got)
			}
			if tt.note == "" && strings.Contains(got, "opens") {
				t.Errorf("a note about what is not so:\n%s", got)
			}
		})
	}
}

// DNS on the host network is its node to policies: no podSelector allows it.
func TestHostNetworkEndsAreNoted(t *testing.T) {
	w := New(load(t, fixture(t, "dns.yaml", "RULE", byPod, "spec: {nodeName: a, containers: [{name: dns", "spec: {nodeName: a, hostNetwork: true, containers: [{name: dns")))
	for _, dst := range []string{"svc/kube-system/kube-dns:53/UDP", "kube-system/kube-dns-1:53/UDP"} {
		got := told(t, w, "shop/app", dst)
		if !strings.HasPrefix(got, "DENIED") || !strings.Contains(got, "Pod kube-system/kube-dns-1 uses the host network: to policies it is its node, which no podSelector matches") {
			t.Errorf("%s\n%s", dst, got)
		}
	}
}
