package beyond

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/conformance/cluster/beyond/probe"
)

// TestEgressToNode: a Pod's own node is a destination like any other.
func TestEgressToNode(t *testing.T) {
	w := newWorld(t)
	pods := w.pods(spec{name: "pod"}, spec{name: "own-node", onNode: true}, spec{name: "other-node", onNode: true, node: 1})
	cells := func(own, other bool) []cell {
		return slices.Concat(
			pods["pod"].to(pods["own-node"], web, own), pods["pod"].echo(pods["own-node"], own),
			pods["pod"].to(pods["other-node"], web, other), pods["pod"].echo(pods["other-node"], other),
			// And what the node asks, the Pod may answer.
			pods["own-node"].to(pods["pod"], web, true), pods["own-node"].echo(pods["pod"], true))
	}
	w.expect("without a policy", cells(true, true)...)
	w.policy(w.ns, "deny", `{podSelector: {matchLabels: {app: pod}}, policyTypes: [Egress]}`)
	w.expect("under default deny", cells(false, false)...)
	w.policy(w.ns, "own", fmt.Sprintf(`
podSelector: {matchLabels: {app: pod}}
policyTypes: [Egress]
egress: [{to: %s}]
`, blocks(pods["own-node"].addrs())))
	w.expect("with the own node allowed", cells(true, false)...)
}

// TestEgressToAPIServer: policies mean the addresses behind the Service
// kubernetes.
func TestEgressToAPIServer(t *testing.T) {
	w := newWorld(t)
	service, err := cluster.client.CoreV1().Services(metav1.NamespaceDefault).Get(w.ctx, "kubernetes", metav1.GetOptions{})
	w.must("get the Service kubernetes", err)
	list, err := cluster.client.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault).List(w.ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=kubernetes"})
	w.must("list its EndpointSlices", err)
	var servers []netip.Addr
	var port int32
	for _, s := range list.Items {
		for _, e := range s.Endpoints {
			servers = append(servers, parse(e.Addresses)...)
		}
		port = *s.Ports[0].Port
	}
	pods := w.pods(spec{name: "near"}, spec{name: "far", node: 1})
	cells := func(want bool) []cell {
		var cells []cell
		for _, p := range pods {
			cells = slices.Concat(cells,
				p.at("kubernetes", parse(service.Spec.ClusterIPs[:1]), "tcp", uint16(service.Spec.Ports[0].Port), want),
				p.at("the API server", servers, "tcp", uint16(port), want))
		}
		for i := range cells {
			cells[i].op = probe.Connect
		}
		return cells
	}
	w.expect("without a policy", cells(true)...)
	w.policy(w.ns, "service", fmt.Sprintf(`
podSelector: {}
policyTypes: [Egress]
egress: [{to: %s}]
`, blocks(parse(service.Spec.ClusterIPs))))
	w.expect("with the Service's address allowed", cells(false)...)
	w.policy(w.ns, "server", fmt.Sprintf(`
podSelector: {}
policyTypes: [Egress]
egress: [{to: %s, ports: [{port: %d}]}]
`, blocks(servers), port))
	w.expect("with the server's address and port allowed", cells(true)...)
}

// TestEgressToDNS has what most default-deny policies come with: port 53 of Pods
// of another namespace, through a Service whose Pods listen on another port.
func TestEgressToDNS(t *testing.T) {
	w := newWorld(t)
	system := w.namespace(map[string]string{"beyond": w.ns})
	pods := w.pods(
		spec{name: "near"}, spec{name: "far", node: 1},
		spec{name: "dns", ns: system}, spec{name: "dns-high", ns: system},
	)
	w.listen(pods["dns"], 53)
	mine := w.ns
	w.ns = system // Services are made where their Pods are
	low := w.service("dns", "dns", nil, 53)
	high := w.service("dns-high", "dns-high", func(s *corev1.ServiceSpec) {
		for i := range s.Ports {
			s.Ports[i].TargetPort = intstr.FromInt32(web)
		}
	}, 53)
	w.ns = mine
	cells := func(udp, tcp, elsewhere, anotherPort bool) []cell {
		var cells []cell
		for _, name := range []string{"near", "far"} {
			p := pods[name]
			cells = slices.Concat(cells,
				p.at("dns", parse(low.Spec.ClusterIPs), "udp", 53, udp), p.at("dns", parse(low.Spec.ClusterIPs), "tcp", 53, tcp),
				only("udp", p.to(pods["dns"], 53, udp)), p.to(pods["dns"], web, elsewhere),
				p.at("dns on another port", parse(high.Spec.ClusterIPs), "udp", 53, anotherPort))
		}
		return cells
	}
	w.expect("without a policy", cells(true, true, true, true)...)
	w.policy(w.ns, "deny", denyAll)
	w.expect("under default deny", cells(false, false, false, false)...)
	w.policy(w.ns, "dns", fmt.Sprintf(`
podSelector: {}
policyTypes: [Egress]
egress:
- to: [{namespaceSelector: {matchLabels: {beyond: %s}}}]
  ports: [{port: 53, protocol: UDP}]
`, w.ns))
	w.expect("with UDP port 53 allowed", cells(true, false, false, false)...)
}
