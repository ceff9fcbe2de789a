package beyond

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/sluice-net/sluice/conformance/cluster/beyond/probe"
)

// TestRelabel: labels of namespaces and Pods retarget policies at once, open
// connections included.
func TestRelabel(t *testing.T) {
	w := newWorld(t)
	team := w.namespace(map[string]string{"team": "a"})
	pods := w.pods(spec{name: "server", labels: map[string]string{"tier": "db"}}, spec{name: "client", ns: team, node: 1})
	server, client := pods["server"], pods["client"]
	cells := func(want bool) []cell { return append(client.to(server, web, want), client.echo(server, want)...) }

	w.policy(w.ns, "team", fmt.Sprintf(`
podSelector: {matchLabels: {tier: db}}
ingress: [{from: [{namespaceSelector: {matchLabels: {team: a, kubernetes.io/metadata.name: %s}}, podSelector: {matchLabels: {app: client}}}]}]
`, team))
	w.expect("in the right namespace", cells(true)...)

	var held []task
	for _, addr := range server.addrs() {
		for _, network := range []string{"tcp", "udp"} {
			held = append(held, client.start(probe.Request{
				Op: probe.Hold, Network: network, Address: netip.AddrPortFrom(addr, web).String(),
				Timeout: 3 * time.Second, Interval: 50 * time.Millisecond,
			}))
		}
	}
	time.Sleep(time.Second)
	w.label(team, "", map[string]string{"team": "b"})
	w.expect("the namespace has another label", cells(false)...)
	for _, h := range held {
		if r := h.wait(settle); r.Outcome != probe.Broken {
			t.Errorf("a connection that is forbidden now is %s: %s", r.Outcome, r.Detail)
		}
	}
	w.label(team, "", map[string]string{"team": "a"})
	w.expect("the namespace has its label again", cells(true)...)
	w.label(team, "client", map[string]string{"app": "other"})
	w.expect("the client has another label", cells(false)...)
	w.label(w.ns, "server", map[string]string{"tier": ""})
	w.expect("the server has no label any more", cells(true)...)
	// In this order: the other way round they are apart for a moment.
	w.label(team, "client", map[string]string{"app": "client"})
	w.label(w.ns, "server", map[string]string{"tier": "db"})
	w.expect("both have theirs again", cells(true)...)
}
