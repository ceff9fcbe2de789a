package live

import (
	"net/netip"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluice-net/sluice/conformance/enforced"
	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/enforcer"
)

// Agents stop, in the middle of something or not, and others take over: in no
// moment does a denied packet pass, allowed connections live on, and what
// changed in between is enforced when they are back.
func TestRestartNeverOpensAndCutsNothing(t *testing.T) {
	for _, topology := range topologies {
		t.Run(topology.String(), func(t *testing.T) {
			x := newRestart(t, topology)
			x.idle()
			x.midway()
			x.changedMeanwhile()
			t.Log(x.streams.end())
			x.probers.end()
			if n := escaped(x.probers.flows); n > 0 {
				t.Errorf("%d of %d datagrams that were denied throughout came through", n, sentOn(x.probers.flows))
			}
			t.Logf("%d datagrams were denied", sentOn(x.probers.flows))
		})
	}
}

type restart struct {
	t       *testing.T
	c       *enforced.Cluster
	streams *allowedStreams
	probers *flood
	allowed []lab.Flow
	denied  []lab.Flow
}

func newRestart(t *testing.T, topology lab.Topology) *restart {
	x := &restart{t: t}
	x.c = enforced.Start(t, enforced.Options{
		Placement: lab.Placement{Topology: topology}, Pods: labPods(), Objects: append(baseNamespaces(), x.policies()...), Config: quick,
	})
	for f, dst := range addrs(near) {
		x.allowed = append(x.allowed, lab.Flow{Src: addrs(client)[f], Dst: dst, Protocol: lab.TCP, Port: streamPort})
		x.denied = append(x.denied, lab.Flow{Src: addrs(stranger)[f], Dst: dst, Protocol: lab.TCP, Port: streamPort},
			lab.Flow{Src: addrs(far)[f], Dst: dst, Protocol: lab.UDP, Port: streamPort})
	}
	x.probers = newFlood(t, x.c.Lab)
	for i := range 5 {
		for f, dst := range addrs(near) {
			to := netip.AddrPortFrom(dst, uint16(9000+i))
			x.probers.add(netip.AddrPortFrom(addrs(stranger)[f], to.Port()), to)
			x.probers.add(netip.AddrPortFrom(addrs(client)[f], to.Port()), to)
		}
	}
	x.probers.receive()
	x.probers.forbid(x.probers.flows...)
	x.probers.send(time.Millisecond, x.probers.flows...)
	x.streams = startAllowed(t, x.c, 5*time.Millisecond)
	return x
}

// policies allow the streams and nothing else.
func (x *restart) policies(more ...networkingv1.NetworkPolicyIngressRule) []any {
	rules := append([]networkingv1.NetworkPolicyIngressRule{ingress(blocks("10.1.0.8/29", "fd00:1::/123"), tcpUDP(8000, 8100)...)}, more...)
	return []any{enforced.DenyIngress("shop", "server", rules...)}
}

// judge holds new flows against the policies.
func (x *restart) judge(when string) {
	x.t.Helper()
	unexpected(x.t, x.c, when, true, x.allowed...)
	unexpected(x.t, x.c, when, false, x.denied...)
}

func (x *restart) idle() {
	for range 2 {
		x.c.StopAgents()
		x.judge("without agents")
		x.c.StartAgents()
		x.judge("with new agents")
	}
}

// midway stops agents while they work, as a kill does: they undo nothing.
func (x *restart) midway() {
	for i := range 5 {
		x.c.Deliver(x.policies(ingress(someBlocks(seeded(uint64(i)), 200), someRanges(seeded(uint64(i)), 200)...))...)
		time.Sleep(time.Duration(i) * 5 * time.Millisecond)
		x.c.StopAgents()
		x.c.StartAgents()
	}
	x.judge("after agents that were stopped midway")
}

// changedMeanwhile turns the policies around while no agent runs.
func (x *restart) changedMeanwhile() {
	x.c.StopAgents()
	some := podsIn("team", "red", "stranger")
	x.c.Deliver(x.policies(ingress(some, tcpUDP(streamPort, streamPort)...))...)
	x.judge("changed, without agents")
	x.c.StartAgents()
	unexpected(x.t, x.c, "changed, with new agents", true, append(x.allowed, x.denied[0], x.denied[2])...)
	unexpected(x.t, x.c, "changed, with new agents", false, x.denied[1], x.denied[3])
}

// Cleanup leaves nothing, and nothing is denied any more.
func TestCleanupLeavesNothing(t *testing.T) {
	for _, topology := range topologies {
		t.Run(topology.String(), func(t *testing.T) {
			c := enforced.Start(t, enforced.Options{
				Placement: lab.Placement{Topology: topology}, Pods: labPods(),
				Objects: append(baseNamespaces(), enforced.DenyIngress("shop", "server")), Config: quick,
			})
			denied := []lab.Flow{}
			for f, dst := range addrs(near) {
				denied = append(denied, lab.Flow{Src: addrs(client)[f], Dst: dst, Protocol: lab.TCP, Port: streamPort})
			}
			unexpected(t, c, "enforced", false, denied...)
			c.StopAgents()
			unexpected(t, c, "without agents", false, denied...)
			for _, n := range c.Spec().Nodes {
				if _, err := enforcer.Cleanup(t.Context(), c.Node(n.Name), enforcer.CleanupOptions{}); err != nil {
					t.Fatal(err)
				}
				if rest := nft(t, c.Node(n.Name), "list ruleset\n"); rest != "" {
					t.Errorf("cleanup left on node %s:\n%s", n.Name, rest)
				}
				for _, m := range marks(t, c.Node(n.Name)) {
					if m.mark != 0 {
						t.Errorf("cleanup left a connection marked %#x on node %s", m.mark, n.Name)
					}
				}
			}
			unexpected(t, c, "cleaned up", true, denied...)
		})
	}
}
