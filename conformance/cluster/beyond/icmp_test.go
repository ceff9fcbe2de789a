package beyond

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-net/sluice/conformance/cluster/beyond/probe"
)

// TestPing: a rule without ports allows every protocol, a rule with ports only
// those it names.
func TestPing(t *testing.T) {
	w := newWorld(t)
	pods := w.pods(spec{name: "server"}, spec{name: "near"}, spec{name: "far", node: 1}, spec{name: "node", onNode: true})
	server := pods["server"]
	cells := func(near, far bool) []cell {
		return slices.Concat(pods["near"].echo(server, near), pods["far"].echo(server, far), pods["node"].echo(server, true))
	}
	w.expect("without a policy", cells(true, true)...)
	w.policy(w.ns, "ports", `
podSelector: {matchLabels: {app: server}}
ingress: [{ports: [{port: 1, endPort: 65535}, {port: 1, endPort: 65535, protocol: UDP}]}]
`)
	w.expect("with all ports allowed", append(cells(false, false), pods["far"].to(server, web, true)...)...)
	w.policy(w.ns, "near", `
podSelector: {matchLabels: {app: server}}
ingress: [{from: [{podSelector: {matchLabels: {app: near}}}]}]
`)
	w.expect("with one peer allowed", cells(true, false)...)
	w.policy(w.ns, "out", `{podSelector: {matchLabels: {app: near}}, policyTypes: [Egress]}`)
	w.expect("with that peer's egress denied", append(cells(false, false), server.echo(pods["near"], true)...)...)
}

// TestPathMTU narrows the path behind a server's node. Its router's "too big"
// has to reach a client that may receive nothing but answers, or the client's
// large packets vanish.
func TestPathMTU(t *testing.T) {
	const mtu, size = 1300, 200_000
	w := newWorld(t)
	pods := w.pods(spec{name: "server"}, spec{name: "far", node: 1}, spec{name: "node", onNode: true, change: func(p *corev1.Pod) {
		p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"NET_ADMIN"}}}
	}})
	server, far := pods["server"], pods["far"]
	w.policy(w.ns, "deny", denyAll)
	w.policy(w.ns, "in", `
podSelector: {matchLabels: {app: server}}
ingress: [{from: [{podSelector: {matchLabels: {app: far}}}], ports: [{port: 7000}]}]
`)
	w.policy(w.ns, "out", `
podSelector: {matchLabels: {app: far}}
policyTypes: [Egress]
egress: [{to: [{podSelector: {matchLabels: {app: server}}}], ports: [{port: 7000}]}]
`)
	w.expect("before", append(only("tcp", far.to(server, web, true)), far.echo(server, false)...)...)
	for _, addr := range server.addrs() {
		upload := probe.Request{Op: probe.Upload, Address: netip.AddrPortFrom(addr, web).String(), Size: size, Timeout: 10 * time.Second}
		if r := far.do(upload); r.Outcome != probe.OK || r.MTU <= mtu {
			t.Fatalf("%s, with the usual MTU of %d: %s: %s", family(addr), r.MTU, r.Outcome, r.Detail)
		}
		narrowed := pods["node"].start(probe.Request{Op: probe.PathMTU, Address: addr.String(), Size: mtu})
		time.Sleep(500 * time.Millisecond)
		if r, over := narrowed.ended(); over {
			t.Fatalf("%s: narrow the path: %s", family(addr), r.Detail)
		}
		if r := far.do(upload); r.Outcome != probe.OK || r.MTU != mtu {
			t.Errorf("%s, with an MTU of %d behind the server's node, of which the client knows %d: %s: %s", family(addr), mtu, r.MTU, r.Outcome, r.Detail)
		}
		if r := narrowed.stop(); r.Outcome != probe.OK {
			t.Errorf("%s: take the narrow path back: %s", family(addr), r.Detail)
		}
	}
}
