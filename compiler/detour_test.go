package compiler_test

import (
	"testing"

	"github.com/sluice-net/sluice/compiler/rulesim"
)

// What a node sends to a Pod that it reaches by way of the network comes back as a packet
// to be forwarded. It passes whatever the Pod's policies say, and so does the answer; what
// only has the node's address does not.
func TestDetours(t *testing.T) {
	const script = `namespace a
pod a/pod on node-a at 10.0.0.2,fd00::2 app=pod
policy a/closed
  podSelector: {}
  policyTypes: [Ingress, Egress]
`
	for _, to := range []struct{ node, pod string }{{"192.0.2.9", "10.0.0.2"}, {"2001:db8::9", "fd00::2"}} {
		for _, detours := range []bool{false, true} {
			n := compileScript(t, plainConfig(), false, script)
			n.links.Detours = detours
			n.compiler.Update(n.index, n.index.Changes(), n.links)
			n.install(t)
			veth := n.vethOf(t, to.pod)
			c := &rulesim.Connection{
				Flow:  rulesim.Flow{Src: addr(to.node), Dst: addr(to.pod), Protocol: 6, FromPort: 40000, ToPort: 8080},
				There: []rulesim.Hop{{Kernel: n.kernel, Hook: rulesim.Output, Out: uplink}, {Kernel: n.kernel, Hook: rulesim.Forward, In: uplink, Out: veth}},
				Back: []rulesim.Hop{
					{Kernel: n.kernel, Hook: rulesim.Forward, In: veth, Out: uplink, ToNode: true},
					{Kernel: n.kernel, Hook: rulesim.Input, In: uplink, ToNode: true},
				},
			}
			if got := rulesim.Passed(c.Open()); got != detours {
				t.Errorf("to %s with detours %t: passed %t", to.pod, detours, got)
			}
			if !detours {
				continue
			}
			if !rulesim.Passed(c.Reply()) || !rulesim.Passed(c.Send()) {
				t.Errorf("%s: the connection does not go on", to.pod)
			}
			// Under another epoch each end may be the first to speak.
			for _, reply := range []bool{true, false} {
				hops := c.Judged(reply, 0)
				if !hops[0].Passed() || reply && !hops[1].Passed() {
					t.Errorf("%s: after a change, reply %t: %v", to.pod, reply, hops)
				}
			}
			forged := &rulesim.Connection{Flow: c.Flow, There: c.There[1:]}
			if rulesim.Passed(forged.Open()) {
				t.Errorf("%s: whoever has the node's address gets through", to.pod)
			}
			// A Pod that nobody knows is outside to the first look, and none to the second.
			stranger := &rulesim.Connection{
				Flow:  rulesim.Flow{Src: addr(to.node), Dst: addr(map[bool]string{true: "10.0.0.77", false: "fd00::77"}[c.Flow.Src.Is4()]), Protocol: 6, FromPort: 40000, ToPort: 8080},
				There: []rulesim.Hop{{Kernel: n.kernel, Hook: rulesim.Forward, In: uplink, Out: uplink}, {Kernel: n.kernel, Hook: rulesim.Forward, In: uplink, Out: "v-new"}},
			}
			if hops := stranger.Open(); !hops[0].Passed() || hops[1].Passed() {
				t.Errorf("%s: an unknown Pod is reached by what was judged when it left: %v", to.pod, hops)
			}
			straight := &rulesim.Connection{Flow: c.Flow, There: []rulesim.Hop{{Kernel: n.kernel, Hook: rulesim.Output, Out: veth}}}
			straight.Open()
			if mark := straight.Marks()[0]; mark != 0 {
				t.Errorf("%s: what goes straight to a Pod is marked %#x", to.pod, mark)
			}
		}
	}
}

// The rules are there as long as such Pods are, and gone without a trace.
func TestDetoursComeAndGo(t *testing.T) {
	n := compileScript(t, plainConfig(), false, "namespace a\npod a/pod on node-a at 10.0.0.2 app=pod\n")
	before := n.compiler.Ruleset().String()
	for _, detours := range []bool{true, false} {
		n.links.Detours = detours
		plan := n.compiler.Update(n.index, n.index.Changes(), n.links)
		if err := n.kernel.Apply(plan); err != nil {
			t.Fatalf("detours %t: %v", detours, err)
		}
		want, err := rulesim.Load(n.compiler.Ruleset().String())
		if err != nil {
			t.Fatal(err)
		}
		if got, want := n.kernel.Dump(), want.Dump(); got != want {
			t.Errorf("detours %t: the plan makes\n%s\nand not\n%s", detours, got, want)
		}
		if !plan.Narrows {
			t.Errorf("detours %t: connections are not judged anew", detours)
		}
	}
	if after := n.compiler.Ruleset().String(); after != before {
		t.Errorf("something is left:\n%s", after)
	}
}
