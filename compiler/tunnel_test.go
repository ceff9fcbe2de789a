package compiler_test

import (
	"net/netip"
	"testing"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/compiler/rulesim"
)

// tunnel gives the node tunnels.
func (n *host) tunnel(t testing.TB, tunnels ...compiler.Tunnel) {
	t.Helper()
	n.links.Tunnels = tunnels
	n.compiler.Update(n.index, n.index.Changes(), n.links)
	n.install(t)
}

func addresses(list ...string) []netip.Addr {
	out := make([]netip.Addr, len(list))
	for i, a := range list {
		out[i] = addr(a)
	}
	return out
}

// TestTunnels: Pods reach no tunnel of a node's, where its far ends are known nobody
// but these does, and all else goes on as if there were none.
func TestTunnels(t *testing.T) {
	const script = "namespace a\npod a/pod on node-a at 10.0.0.2,fd00::2 app=pod\n"
	tunnels := []compiler.Tunnel{
		{Protocol: 17, Port: 8472, Closed: true, Peers: addresses("192.0.2.1", "2001:db8::1")},
		{Protocol: 17, Port: 4789},
		{Protocol: 4, Closed: true, Peers: addresses("192.0.2.1")},
		{Protocol: 47},
		// As open as the more open of two.
		{Protocol: 17, Port: 6081, Closed: true}, {Protocol: 17, Port: 6081},
	}
	const pod4, pod6 = "10.0.0.2", "fd00::2"
	for _, c := range []struct {
		name, from, to string
		protocol       uint8
		port           uint16
		want           bool
	}{
		{"a Pod to its node", pod4, "192.0.2.9", 17, 8472, false},
		{"a Pod to its node, IPv6", pod6, "2001:db8::9", 17, 8472, false},
		{"a Pod to its node's open tunnel", pod4, "192.0.2.9", 17, 4789, false},
		{"a Pod to its node without a port", pod4, "192.0.2.9", 4, 0, false},
		{"a Pod to its node's open one without a port", pod4, "192.0.2.9", 47, 0, false},
		{"a Pod to its node, by TCP", pod4, "192.0.2.9", 6, 8472, true},
		{"a Pod to its node, another port", pod4, "192.0.2.9", 17, 53, true},
		{"a Pod to another node", pod4, "192.0.2.1", 17, 8472, false},
		{"a Pod to another node, IPv6", pod6, "2001:db8::1", 17, 8472, false},
		{"a Pod to another node without a port", pod4, "192.0.2.1", 4, 0, false},
		{"a Pod to another node, by TCP", pod4, "192.0.2.1", 6, 8472, true},
		{"a Pod to somebody else's tunnel", pod4, "198.51.100.1", 17, 8472, true},
		{"a far end to the node", "192.0.2.1", "192.0.2.9", 17, 8472, true},
		{"a far end to the node, IPv6", "2001:db8::1", "2001:db8::9", 17, 8472, true},
		{"a far end to the node without a port", "192.0.2.1", "192.0.2.9", 4, 0, true},
		{"somebody else to the node", "198.51.100.1", "192.0.2.9", 17, 8472, false},
		{"somebody else to the node, IPv6", "2001:db8::66", "2001:db8::9", 17, 8472, false},
		{"somebody else to the node without a port", "198.51.100.1", "192.0.2.9", 4, 0, false},
		{"somebody else to an open tunnel", "198.51.100.1", "192.0.2.9", 17, 4789, true},
		{"somebody else to one that is open for another's sake", "198.51.100.1", "192.0.2.9", 17, 6081, true},
		{"somebody else to an open one without a port", "198.51.100.1", "192.0.2.9", 47, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, off := range []bool{false, true} {
				cfg := plainConfig()
				cfg.PodTunnels = off
				n := compileScript(t, cfg, false, script)
				n.tunnel(t, tunnels...)
				hop := rulesim.Hop{Kernel: n.kernel, Hook: rulesim.Input, In: uplink}
				if c.from == pod4 || c.from == pod6 {
					hop.In = n.vethOf(t, pod4)
				}
				if to := addr(c.to); to == addr("192.0.2.1") || to == addr("2001:db8::1") || to == addr("198.51.100.1") {
					hop.Hook, hop.Out = rulesim.Forward, uplink
				}
				conn := &rulesim.Connection{There: []rulesim.Hop{hop}, Trace: true,
					Flow: rulesim.Flow{Src: addr(c.from), Dst: addr(c.to), Protocol: c.protocol, FromPort: 40000, ToPort: c.port}}
				want := c.want || off
				if res := conn.Open()[0]; res.Passed() != want {
					t.Errorf("tunnels open to all %t: %s, want passed %t\n%q", off, res.Verdict, want, res.Trace)
				}
			}
		})
	}
}

// TestTunnelsCostOthersOneComparison: a first packet that is no tunnel's looks nothing
// up for them, and asks nothing where there are none.
func TestTunnelsCostOthersOneComparison(t *testing.T) {
	n := compileScript(t, plainConfig(), false, manyPolicies(1)+"pod a/near on node-a at 10.0.0.3 app=client-0\n")
	first := func(to string, hook rulesim.Hook) rulesim.Result {
		c := &rulesim.Connection{
			There: []rulesim.Hop{{Kernel: n.kernel, Hook: hook, In: n.vethOf(t, "10.0.0.3"), Out: uplink}},
			Flow:  rulesim.Flow{Src: addr("10.0.0.3"), Dst: addr(to), Protocol: 6, FromPort: 40000, ToPort: 8000},
		}
		return c.Open()[0]
	}
	cases := []struct {
		to    string
		hook  rulesim.Hook
		rules int
	}{{"10.0.0.2", rulesim.Forward, 0}, {"198.51.100.1", rulesim.Forward, 1}, {"192.0.2.9", rulesim.Input, 1}}
	var before []rulesim.Result
	for _, c := range cases {
		before = append(before, first(c.to, c.hook))
	}
	n.tunnel(t, compiler.Tunnel{Protocol: 17, Port: 8472, Closed: true, Peers: addresses("192.0.2.1")})
	for i, c := range cases {
		was, now := before[i], first(c.to, c.hook)
		if now.Rules != was.Rules+c.rules || now.Lookups != was.Lookups {
			t.Errorf("to %s by %s: %d rules and %d lookups, %d and %d without tunnels", c.to, c.hook, now.Rules, now.Lookups, was.Rules, was.Lookups)
		}
	}
}
