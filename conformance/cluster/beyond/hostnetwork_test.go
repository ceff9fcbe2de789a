package beyond

import (
	"fmt"
	"slices"
	"testing"
)

// TestHostNetworkClient: on its own node it is what the kubelet is; on another
// one an address, whatever its labels.
func TestHostNetworkClient(t *testing.T) {
	w := newWorld(t)
	pods := w.pods(
		spec{name: "server"},
		spec{name: "pod", node: 1, labels: map[string]string{"role": "client"}},
		spec{name: "same-node", onNode: true, labels: map[string]string{"role": "client"}},
		spec{name: "other-node", onNode: true, node: 1, labels: map[string]string{"role": "client"}},
	)
	server := pods["server"]
	cells := func(pod, same, other bool) []cell {
		return slices.Concat(
			pods["pod"].to(server, web, pod), pods["same-node"].to(server, web, same), pods["other-node"].to(server, web, other))
	}
	w.expect("without a policy", cells(true, true, true)...)
	w.policy(w.ns, "labels", `
podSelector: {matchLabels: {app: server}}
ingress:
- from: [{podSelector: {matchLabels: {role: client}}}, {namespaceSelector: {}}]
`)
	w.expect("allowed by labels", cells(true, true, false)...)
	w.policy(w.ns, "block", fmt.Sprintf(`
podSelector: {matchLabels: {app: server}}
ingress:
- from: %s
`, blocks(w.seen(pods["other-node"]))))
	w.expect("allowed by the node's address besides", cells(true, true, true)...)
	w.deletePolicy(w.ns, "labels")
	w.expect("allowed by the node's address alone", cells(false, true, true)...)
}

// TestHostNetworkServer: no policy selects it, and no selector means it.
func TestHostNetworkServer(t *testing.T) {
	w := newWorld(t)
	pods := w.pods(
		spec{name: "near", onNode: true, labels: map[string]string{"role": "server"}},
		spec{name: "far", onNode: true, node: 1, labels: map[string]string{"role": "server"}},
		spec{name: "free"}, spec{name: "bound"},
	)
	cells := func(from string, near, far bool) []cell {
		return slices.Concat(pods[from].to(pods["near"], web, near), pods[from].to(pods["far"], web, far))
	}
	w.policy(w.ns, "deny-ingress", `{podSelector: {}, policyTypes: [Ingress]}`)
	w.expect("selected by a default deny of ingress", append(cells("free", true, true), cells("bound", true, true)...)...)

	w.policy(w.ns, "out", `
podSelector: {matchLabels: {app: bound}}
policyTypes: [Egress]
egress:
- to: [{podSelector: {matchLabels: {role: server}}}, {namespaceSelector: {}}]
`)
	w.expect("named by selectors for egress", append(cells("free", true, true), cells("bound", false, false)...)...)
	w.policy(w.ns, "block", fmt.Sprintf(`
podSelector: {matchLabels: {app: bound}}
policyTypes: [Egress]
egress:
- to: %s
`, blocks(pods["far"].addrs())))
	w.expect("named by one node's address", cells("bound", false, true)...)
}
