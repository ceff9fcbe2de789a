package beyond

import (
	"slices"
	"testing"
)

func TestEndPort(t *testing.T) {
	w := newWorld(t)
	pods := w.pods(spec{name: "server"}, spec{name: "near"}, spec{name: "far", node: 1})
	server, near, far := pods["server"], pods["near"], pods["far"]
	ports := []int{7999, 8000, 8005, 8010, 8011}
	w.listen(server, ports...)

	var open []cell
	for _, port := range ports {
		open = append(open, far.to(server, uint16(port), true)...)
	}
	w.expect("without a policy", open...)

	w.policy(w.ns, "in", `
podSelector: {matchLabels: {app: server}}
ingress:
- ports: [{port: 8000, endPort: 8010}]
`)
	var cells []cell
	for _, from := range []*pod{near, far} {
		for _, port := range ports {
			in := port >= 8000 && port <= 8010
			cells = slices.Concat(cells,
				only("tcp", from.to(server, uint16(port), in)),
				only("udp", from.to(server, uint16(port), false)))
		}
	}
	w.expect("with a range of TCP ports in", cells...)

	w.policy(w.ns, "out", `
podSelector: {matchLabels: {app: far}}
policyTypes: [Egress]
egress:
- ports: [{port: 8005, endPort: 9000}, {port: 1, endPort: 65535, protocol: UDP}]
`)
	w.expect("with overlapping ranges out",
		slices.Concat(
			only("tcp", far.to(server, 8000, false)), only("tcp", far.to(server, 8005, true)),
			only("tcp", far.to(server, 8010, true)), only("tcp", far.to(server, 8011, false)),
			only("udp", far.to(near, web, true)), only("tcp", far.to(near, web, false)),
		)...)
}
