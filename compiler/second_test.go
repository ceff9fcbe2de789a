package compiler_test

import (
	"testing"

	"github.com/sluice-net/sluice/compiler/rulesim"
)

// What comes by a Pod's second interface passes in names that the node knows to be from
// there, and in no other. What stays within such a network, or comes by another interface,
// is not asked for that.
func TestSecondInterfaces(t *testing.T) {
	const script = "namespace a\npod a/pod on node-a at 10.0.0.2,fd00::2 app=pod\n"
	for _, c := range []struct {
		name, in, out string
		astray        bool
		want          bool
	}{
		{"from there", "v2nd", "", false, true},
		{"in somebody else's name", "v2nd", "", true, false},
		{"in somebody else's name, by the bridge", "br1", "", true, false},
		{"in somebody else's name, to another network of the kind", "br1", "v2nd", true, true},
		{"in somebody else's name, by the uplink", uplink, "", true, true},
	} {
		for _, to := range []struct{ from, pod string }{{"10.9.0.5", "10.0.0.2"}, {"fd09::5", "fd00::2"}} {
			n := compileScript(t, plainConfig(), false, script)
			n.links.SecondInterfaces, n.links.OtherInterfaces = []string{"br1", "v2nd"}, []string{"v2nd"}
			if err := n.kernel.Apply(n.compiler.Update(n.index, n.index.Changes(), n.links)); err != nil {
				t.Fatal(err)
			}
			hop := rulesim.Hop{Kernel: n.kernel, Hook: rulesim.Forward, In: c.in, Out: c.out, Astray: c.astray}
			flow := rulesim.Flow{Src: addr(to.from), Dst: addr(to.pod), Protocol: 17, FromPort: 40000, ToPort: 80}
			if hop.Out == "" {
				hop.Out = n.vethOf(t, to.pod)
			} else {
				flow.Dst = addr(map[bool]string{true: "10.9.0.6", false: "fd09::6"}[flow.Src.Is4()])
			}
			conn := &rulesim.Connection{Flow: flow, There: []rulesim.Hop{hop}}
			if got := rulesim.Passed(conn.Open()); got != c.want {
				t.Errorf("%s, from %s: passed %t", c.name, to.from, got)
			}
			n.links.SecondInterfaces = nil
			if err := n.kernel.Apply(n.compiler.Update(n.index, n.index.Changes(), n.links)); err != nil {
				t.Fatal(err)
			}
			if !rulesim.Passed(conn.Open()) {
				t.Errorf("%s, from %s: does not pass where there is no such interface", c.name, to.from)
			}
		}
	}
}
