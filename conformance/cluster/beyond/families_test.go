package beyond

import (
	"fmt"
	"net/netip"
	"testing"
)

// TestFamilies: a block of one family says nothing of the other, and what
// selectors say holds for both.
func TestFamilies(t *testing.T) {
	w := newWorld(t)
	pods := w.pods(spec{name: "server"}, spec{name: "far", node: 1})
	server, far := pods["server"], pods["far"]
	want := func(allowed func(netip.Addr) bool) []cell {
		cells := append(far.to(server, web, true), far.echo(server, true)...)
		for i := range cells {
			cells[i].want = allowed(cells[i].addr.Addr())
		}
		return cells
	}
	for _, everything := range []string{"0.0.0.0/0", "::/0"} {
		prefix := netip.MustParsePrefix(everything)
		name := "v6"
		if prefix.Addr().Is4() {
			name = "v4"
		}
		w.policy(w.ns, name, fmt.Sprintf(`
podSelector: {matchLabels: {app: server}}
ingress: [{from: [{ipBlock: {cidr: %q}}]}]
`, everything))
		w.expect("with "+everything+" allowed", want(prefix.Contains)...)
		w.deletePolicy(w.ns, name)
	}
	w.policy(w.ns, "other", `
podSelector: {matchLabels: {app: server}}
ingress: [{from: [{podSelector: {matchLabels: {app: nobody}}}]}]
`)
	w.expect("with another Pod allowed", want(func(netip.Addr) bool { return false })...)
	w.policy(w.ns, "far", `
podSelector: {matchLabels: {app: server}}
ingress: [{from: [{podSelector: {matchLabels: {app: far}}}]}]
`)
	w.expect("with the Pod allowed", want(func(netip.Addr) bool { return true })...)
}
