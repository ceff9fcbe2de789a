package policy

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

var equateAddrs = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

func podFromYAML(t testing.TB, manifest string) *corev1.Pod {
	t.Helper()
	p := &corev1.Pod{}
	if err := yaml.UnmarshalStrict([]byte(manifest), p); err != nil {
		t.Fatalf("test manifest: %v", err)
	}
	p.Namespace, p.Name = "shop", "p"
	return p
}

func addrList(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func TestPodFromAPI(t *testing.T) {
	name := types.NamespacedName{Namespace: "shop", Name: "p"}
	for _, c := range []struct {
		name, manifest string
		want           Pod
		err            string
	}{
		{"what policy needs",
			`{metadata: {uid: u, labels: {app: web}, creationTimestamp: "2026-01-02T03:04:05Z", annotations: {sluice-net.github.io/guard: "off"}},
			  spec: {nodeName: n1}, status: {phase: Running, podIPs: [{ip: 10.0.0.1}, {ip: "2001:db8::1"}], hostIPs: [{ip: 192.0.2.1}], hostIP: 192.0.2.1}}`,
			Pod{
				UID: "u", Labels: map[string]string{"app": "web"}, Node: "n1", Unguarded: true,
				Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Unix(),
				Addrs:   addrList("10.0.0.1", "2001:db8::1"), NodeAddrs: addrList("192.0.2.1"),
			}, ""},
		{"podIP counts where there are no podIPs", `{status: {podIP: 10.0.0.1}}`,
			Pod{Addrs: addrList("10.0.0.1")}, ""},
		{"addresses in odd forms", `{status: {podIPs: [{ip: "::ffff:10.0.0.1"}, {ip: 010.000.0.2}, {ip: 10.0.0.1}, {ip: "fe80::1%eth0"}]}}`,
			Pod{Addrs: addrList("10.0.0.1", "10.0.0.2", "fe80::1")}, ""},
		{"an address that is none", `{status: {podIPs: [{ip: ten}, {ip: 10.0.0.1}], hostIP: "1"}}`,
			Pod{Addrs: addrList("10.0.0.1")},
			"Pod shop/p: status.podIPs[0].ip: \"ten\" is no IP address\nPod shop/p: status.hostIP: \"1\" is no IP address"},
		{"ports of containers and sidecars",
			`{spec: {initContainers: [
				{restartPolicy: Always, ports: [{name: mesh, containerPort: 15000}]},
				{ports: [{name: setup, containerPort: 1}]}],
			  containers: [{ports: [{containerPort: 9}, {name: http, containerPort: 80}, {name: dns, protocol: UDP, containerPort: 53}]},
				{ports: [{name: http, containerPort: 8080}, {name: http, containerPort: 80}]}]}}`,
			Pod{Ports: []NamedPort{{"http", TCP, 80}, {"dns", UDP, 53}, {"http", TCP, 8080}, {"mesh", TCP, 15000}}}, ""},
		{"ports that make no sense",
			`{spec: {containers: [{ports: [{name: a, protocol: ICMP, containerPort: 1}, {name: b, containerPort: 65536}, {name: c, containerPort: 0}]}]}}`,
			Pod{},
			"Pod shop/p: spec.containers[0].ports[0].protocol: unknown protocol \"ICMP\"\n" +
				"Pod shop/p: spec.containers[0].ports[1].containerPort: 65536 is not in 1-65535\n" +
				"Pod shop/p: spec.containers[0].ports[2].containerPort: 0 is not in 1-65535"},
		{"succeeded is finished", `{status: {phase: Succeeded}}`, Pod{Finished: true}, ""},
		{"failed is finished", `{status: {phase: Failed}}`, Pod{Finished: true}, ""},
		{"pending is not finished", `{status: {phase: Pending}}`, Pod{}, ""},
		{"terminating is not finished", `{metadata: {deletionTimestamp: "2026-01-02T03:04:05Z"}, status: {phase: Running}}`, Pod{Terminating: true}, ""},
		{"a static Pod's UID is the kubelet's", `{metadata: {uid: object, annotations: {kubernetes.io/config.mirror: running}}}`, Pod{UID: "running"}, ""},
		{"host network", `{spec: {hostNetwork: true}}`, Pod{HostNetwork: true}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.want.NamespacedName = name
			got, err := PodFromAPI(podFromYAML(t, c.manifest))
			if d := cmp.Diff(&c.want, got, equateAddrs); d != "" {
				t.Errorf("Pod (-want +got):\n%s", d)
			}
			if text := errorText(err); text != c.err {
				t.Errorf("error is\n%s\nnot\n%s", text, c.err)
			}
		})
	}
	if p, err := PodFromAPI(nil); p != nil || err == nil {
		t.Errorf("of no Pod: %v, %v", p, err)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// A Pod object may be changed and handed over again.
func TestPodFromAPICopiesLabels(t *testing.T) {
	object := podFromYAML(t, `{metadata: {labels: {app: web}}}`)
	p, _ := PodFromAPI(object)
	object.Labels["app"] = "api"
	if p.Labels["app"] != "web" {
		t.Error("the label changed with the object")
	}
}
