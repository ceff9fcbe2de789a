package beyond

import (
	"slices"
	"testing"
)

// TestHairpin: a Pod reaches itself through its Service, though nobody may reach
// it and it may reach nobody.
func TestHairpin(t *testing.T) {
	w := newWorld(t)
	pods := w.pods(spec{name: "server"}, spec{name: "near"}, spec{name: "far", node: 1})
	server := pods["server"]
	service := w.service("server", "server", nil, web)
	cluster := parse(service.Spec.ClusterIPs)
	cells := func(itself, others bool) []cell {
		var cells []cell
		for _, network := range []string{"tcp", "udp"} {
			cells = slices.Concat(cells,
				server.at("its own Service", cluster, network, web, itself),
				pods["near"].at("the Service", cluster, network, web, others),
				pods["far"].at("the Service", cluster, network, web, others))
		}
		return append(cells, server.to(server, web, itself)...)
	}
	w.expect("without a policy", cells(true, true)...)
	w.policy(w.ns, "deny", denyAll)
	w.expect("under default deny", cells(true, false)...)
}

// TestClusterIP: policies mean the Pods behind a Service, not its address, and
// the Pods' ports.
func TestClusterIP(t *testing.T) {
	w := newWorld(t)
	pods := w.pods(spec{name: "server"}, spec{name: "near"}, spec{name: "far", node: 1})
	service := w.service("server", "server", nil, web)
	addrs := parse(service.Spec.ClusterIPs)
	w.policy(w.ns, "deny", denyAll)
	w.policy(w.ns, "in", `
podSelector: {matchLabels: {app: server}}
ingress: [{from: [{podSelector: {}}]}]
`)
	w.policy(w.ns, "near", `
podSelector: {matchLabels: {app: near}}
policyTypes: [Egress]
egress: [{to: [{podSelector: {matchLabels: {app: server}}}]}]
`)
	w.policy(w.ns, "far", `
podSelector: {matchLabels: {app: far}}
policyTypes: [Egress]
egress: [{to: `+blocks(addrs)+`}]
`)
	var cells []cell
	for _, network := range []string{"tcp", "udp"} {
		cells = slices.Concat(cells,
			pods["near"].at("the Service", addrs, network, web, true),
			pods["far"].at("the Service", addrs, network, web, false))
	}
	w.expect("by the Pod, and by the Service's address", cells...)
}
