package beyond

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// nodePorts makes a Service of the server's Pods that is reached at every node,
// and returns the nodes' ports.
func (w *world) nodePorts(name string, policy corev1.ServiceExternalTrafficPolicy) (tcp, udp uint16) {
	w.t.Helper()
	s := w.service(name, "server", func(s *corev1.ServiceSpec) {
		s.Type, s.ExternalTrafficPolicy = corev1.ServiceTypeNodePort, policy
		for i := range s.Ports {
			s.Ports[i].TargetPort = intstr.FromInt32(web)
		}
	}, 80)
	return uint16(s.Spec.Ports[0].NodePort), uint16(s.Spec.Ports[1].NodePort)
}

// through is cells to a node's port.
func (h *hand) through(what string, node []netip.Addr, tcp, udp uint16, want bool) []cell {
	return slices.Concat(h.at(what, node, "tcp", tcp, want), h.at(what, node, "udp", udp, want))
}

// across is cells from a Pod to another node's port, where it may be seen as itself,
// or as its node.
func (w *world) across(h *hand, what string, node []netip.Addr, tcp, udp uint16, pod, asNode bool) []cell {
	if w.hidden() {
		return unsaid(h.through(what, node, tcp, udp, asNode))
	}
	return h.through(what, node, tcp, udp, pod)
}

// TestNodePort: policies mean the server's Pod and port, and the client as its
// node sees it: a Pod, or a node that hides who came to it.
func TestNodePort(t *testing.T) {
	for _, policy := range []corev1.ServiceExternalTrafficPolicy{corev1.ServiceExternalTrafficPolicyCluster, corev1.ServiceExternalTrafficPolicyLocal} {
		t.Run(string(policy), func(t *testing.T) {
			w := newWorld(t)
			pods := w.pods(
				spec{name: "server"}, spec{name: "near"}, spec{name: "far", node: 1},
				spec{name: "own-node", onNode: true}, spec{name: "other-node", onNode: true, node: 1},
			)
			tcp, udp := w.nodePorts("server", policy)
			here := pods["own-node"].addrs()
			cells := func(near, far, node bool) []cell {
				return slices.Concat(
					pods["near"].through("NodePort of its node", here, tcp, udp, near),
					w.across(pods["far"].hand, "NodePort of the server's", here, tcp, udp, far, node),
					pods["other-node"].through("NodePort of the server's", here, tcp, udp, node),
					pods["own-node"].through("NodePort of its node", here, tcp, udp, true))
			}
			w.expect("without a policy", cells(true, true, true)...)
			w.policy(w.ns, "deny", `{podSelector: {matchLabels: {app: server}}, policyTypes: [Ingress]}`)
			w.expect("under default deny", cells(false, false, false)...)
			w.policy(w.ns, "port", fmt.Sprintf(`
podSelector: {matchLabels: {app: server}}
ingress: [{from: [{podSelector: {matchLabels: {app: far}}}], ports: [{port: %d}, {port: %[1]d, protocol: UDP}]}]
`, web))
			w.expect("with a Pod and the Pod's port allowed", cells(false, true, false)...)
			w.policy(w.ns, "node", fmt.Sprintf(`
podSelector: {matchLabels: {app: server}}
ingress: [{from: %s}]
`, blocks(w.known(pods["other-node"]))))
			w.expect("with the other node's address allowed", cells(false, true, true)...)
			w.fromOutside(policy, pods, tcp, udp)
		})
	}
}

// fromOutside asks through both nodes from no node. The server's node sees who
// it is, and so do policies; through the other node they see that node.
func (w *world) fromOutside(policy corev1.ServiceExternalTrafficPolicy, pods map[string]*pod, tcp, udp uint16) {
	w.t.Helper()
	h := outsider(w.t)
	if h == nil {
		w.t.Log("no client outside of the nodes: give one with -outside")
		return
	}
	h.learn(w.t, pods["own-node"])
	here, there := pods["own-node"].addrs(), pods["other-node"].addrs()
	cells := func(direct, around bool) []cell {
		cells := h.through("the server's node", here, tcp, udp, direct)
		if policy == corev1.ServiceExternalTrafficPolicyCluster {
			cells = append(cells, h.through("the other node", there, tcp, udp, around)...)
		}
		return cells
	}
	w.expect("from outside, with the other node allowed", cells(false, true)...)
	w.deletePolicy(w.ns, "node")
	w.expect("from outside, with no node allowed", cells(false, false)...)

	w.deletePolicy(w.ns, "deny")
	w.deletePolicy(w.ns, "port")
	w.expect("from outside, without a policy", cells(true, true)...)
	w.policy(w.ns, "client", fmt.Sprintf(`
podSelector: {matchLabels: {app: server}}
ingress: [{from: %s}]
`, blocks(h.known)))
	w.expect("from outside, with the client's address allowed", cells(true, false)...)
}

// TestHostPort: the container runtime's own way in.
func TestHostPort(t *testing.T) {
	const port = 17999
	w := newWorld(t)
	pods := w.pods(
		spec{name: "server", change: func(p *corev1.Pod) {
			for _, protocol := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP} {
				p.Spec.Containers[0].Ports = append(p.Spec.Containers[0].Ports, corev1.ContainerPort{ContainerPort: web, HostPort: port, Protocol: protocol})
			}
		}},
		spec{name: "near"}, spec{name: "far", node: 1},
		spec{name: "own-node", onNode: true}, spec{name: "other-node", onNode: true, node: 1},
	)
	here := pods["own-node"].addrs()
	h := outsider(t)
	if h != nil {
		h.learn(t, pods["own-node"])
	}
	cells := func(pod, node, outside bool) []cell {
		cells := slices.Concat(
			pods["near"].through("hostPort of its node", here, port, port, pod),
			w.across(pods["far"].hand, "hostPort of the server's node", here, port, port, pod, node),
			pods["other-node"].through("hostPort of the server's node", here, port, port, node),
			pods["own-node"].through("hostPort of its node", here, port, port, true))
		if h != nil {
			cells = append(cells, h.through("hostPort of the server's node", here, port, port, outside)...)
		}
		return cells
	}
	w.expect("without a policy", cells(true, true, true)...)
	w.policy(w.ns, "deny", `{podSelector: {matchLabels: {app: server}}, policyTypes: [Ingress]}`)
	w.expect("under default deny", cells(false, false, false)...)
	w.policy(w.ns, "pods", fmt.Sprintf(`
podSelector: {matchLabels: {app: server}}
ingress: [{from: [{podSelector: {}}], ports: [{port: %d}, {port: %[1]d, protocol: UDP}]}]
`, web))
	w.expect("with the Pods and the Pod's port allowed", cells(true, false, false)...)
	w.policy(w.ns, "node", fmt.Sprintf(`
podSelector: {matchLabels: {app: server}}
ingress: [{from: %s}]
`, blocks(pods["other-node"].addrs())))
	w.expect("with the other node's address allowed", cells(true, true, false)...)
	if h != nil {
		w.policy(w.ns, "client", fmt.Sprintf(`
podSelector: {matchLabels: {app: server}}
ingress: [{from: %s}]
`, blocks(h.known)))
		w.expect("with the outside client's address allowed", cells(true, true, true)...)
	}
}
