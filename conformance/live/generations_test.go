package live

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/conformance/enforced"
	"github.com/sluice-net/sluice/conformance/lab"
)

const (
	// Flows of the Pods of loserNet to loserPorts lose their permission and get
	// it back, those of keeperNet to keeperPorts keep it throughout.
	loserNet, keeperNet, sinkNet = 1, 2, 3
	loserPort, keeperPort        = 7000, 7100
	portsEach                    = 10
)

// What a round takes from the losers. Each is an interval set, and those of
// the keepers are replaced with it.
type loss int

const (
	ingressBlock loss = iota
	egressRange
	ingressRange
	egressBlock
	nothing
)

func (l loss) String() string {
	return [...]string{"a block of ingress", "a range of egress", "a range of ingress", "a block of egress", "nothing"}[l]
}

// With interval sets in play and traffic at full rate on all processors, no
// packet that is judged by the rules before a change marks its connection with
// the epoch after it; forbidden flows end and allowed ones lose nothing.
func TestNoFlowIsMarkedUnderTheWrongGeneration(t *testing.T) {
	for _, topology := range topologies {
		t.Run(topology.String(), func(t *testing.T) {
			g := newGenerations(t, topology)
			rounds := (*roundsFlag + len(topologies) - 1) / len(topologies)
			for round := range rounds {
				g.round(round, loss((round+2*int(topology))%int(nothing)))
			}
			g.flood.end()
			if n := lost(g.keepers); n != 0 {
				t.Errorf("allowed flows lost %d datagrams of %d; the kernel dropped %d for want of room before any rule",
					n, sentOn(g.keepers), backlogDrops(t)-g.dropped)
			}
			t.Logf("%d rounds: %d datagrams on %d flows that lose permission, %d on %d that keep it",
				rounds, sentOn(g.losers), len(g.losers), sentOn(g.keepers), len(g.keepers))
		})
	}
}

func sentOn(flows []*floodFlow) (n uint64) {
	for _, flow := range flows {
		n += flow.sent.Load()
	}
	return n
}

type generations struct {
	t               *testing.T
	c               *enforced.Cluster
	r               *rand.Rand
	flood           *flood
	losers, keepers []*floodFlow
	dropped         uint64
}

func newGenerations(t *testing.T, topology lab.Topology) *generations {
	g := &generations{t: t, r: seeded(uint64(topology)), dropped: backlogDrops(t)}
	sink := pod("t", "sink", "a", "10.3.0.10", "fd00:3::10")
	all := []*corev1.Pod{sink}
	senders := func(app string, net, n int) (list []*corev1.Pod) {
		for i := range n {
			name := fmt.Sprintf("%s-%d", app, i)
			p := pod("t", name, "a", fmt.Sprintf("10.%d.0.%d", net, 10+i), fmt.Sprintf("fd00:%d::%x", net, 0x10+i))
			list = append(list, relabelled(p, app))
		}
		all = append(all, list...)
		return list
	}
	losers, keepers := senders("loser", loserNet, 5), senders("keeper", keeperNet, 2)
	g.c = enforced.Start(t, enforced.Options{
		Placement: lab.Placement{Topology: topology}, Pods: all,
		Objects: append(g.policies(nothing), enforced.Namespace("t")), Config: quick,
	})
	g.flood = newFlood(t, g.c.Lab)
	g.losers, g.keepers = g.flows(losers, sink, loserPort), g.flows(keepers, sink, keeperPort)
	g.flood.receive()
	half := len(g.losers) / 2
	g.flood.send(0, g.losers[:half]...)
	g.flood.send(0, g.losers[half:]...)
	g.flood.send(5*time.Millisecond, g.keepers...)
	g.flood.alive(g.losers)
	return g
}

func (g *generations) flows(from []*corev1.Pod, to *corev1.Pod, port int) (flows []*floodFlow) {
	for _, p := range from {
		for i := range portsEach {
			for f, dst := range addrs(to) {
				flows = append(flows, g.flood.add(netip.AddrPortFrom(addrs(p)[f], uint16(port+i)), netip.AddrPortFrom(dst, uint16(port+i))))
			}
		}
	}
	return flows
}

// policies allow both kinds of flows by blocks and ranges only, except for what
// is taken from the losers.
func (g *generations) policies(l loss) []any {
	const size = 300
	blocksBut := func(without bool, net int) []networkingv1.NetworkPolicyPeer {
		list := someBlocks(g.r, size)
		if !without {
			list = append(list, around(g.r, net)...)
		}
		return list
	}
	rangesBut := func(without bool) []networkingv1.NetworkPolicyPort {
		list := append(someRanges(g.r, size), ports(corev1.ProtocolUDP, keeperPort-int32(g.r.IntN(50)), keeperPort+portsEach-1)...)
		if !without {
			list = append(list, ports(corev1.ProtocolUDP, loserPort, loserPort+portsEach-1+int32(g.r.IntN(10)))...)
		}
		return list
	}
	from := append(blocksBut(l == ingressBlock, loserNet), around(g.r, keeperNet)...)
	return []any{
		enforced.DenyIngress("t", "sink", ingress(from, rangesBut(l == ingressRange)...)),
		enforced.DenyEgress("t", "loser", egress(blocksBut(l == egressBlock, sinkNet), rangesBut(l == egressRange)...)),
		enforced.DenyEgress("t", "keeper", egress(blocksBut(false, sinkNet), rangesBut(true)...)),
	}
}

// round forbids, looks, and allows again.
func (g *generations) round(number int, l loss) {
	g.t.Helper()
	g.c.Set(g.policies(l)...)
	g.flood.forbid(g.losers...)
	for range 5 {
		g.inspect(number, l)
		time.Sleep(20 * time.Millisecond)
	}
	before := sentOn(g.losers)
	time.Sleep(50 * time.Millisecond)
	if sentOn(g.losers) == before {
		g.t.Errorf("round %d: nothing was sent while it was forbidden", number)
	}
	g.flood.permit(g.losers...)
	if n := escaped(g.losers); n > 0 {
		g.t.Fatalf("round %d, without %s: %d datagrams came through that were sent after the change was enforced", number, l, n)
	}
	g.c.Set(g.policies(nothing)...)
	g.flood.alive(g.losers)
}

// inspect looks in conntrack for forbidden flows that count as judged.
func (g *generations) inspect(number int, l loss) {
	g.t.Helper()
	layout := compiler.MarkLayout{Mask: compiler.DefaultMask}
	epoch := g.c.Agent("a").Status().Epoch
	seen, wrong := 0, 0
	for _, m := range marks(g.t, g.c.Node("a")) {
		if m.port < loserPort || m.port >= loserPort+portsEach {
			continue
		}
		seen++
		if layout.Decode(m.mark) == epoch {
			wrong++
		}
	}
	if seen < len(g.losers) {
		g.t.Errorf("round %d: conntrack knows %d of the %d flows", number, seen, len(g.losers))
	}
	if wrong > 0 {
		g.t.Fatalf("round %d, without %s: %d of %d forbidden flows bear the epoch of the rules that forbid them (%d)", number, l, wrong, seen, epoch)
	}
}

// connMark is the mark of a connection to a port.
type connMark struct {
	port uint16
	mark uint32
}

// marks are those of all connections that a node tracks.
func marks(t testing.TB, node *lab.Namespace) (list []connMark) {
	t.Helper()
	err := node.Do(func() error {
		for _, family := range []netlink.InetFamily{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			flows, err := netlink.ConntrackTableList(netlink.ConntrackTable, family)
			for tries := 0; errors.Is(err, netlink.ErrDumpInterrupted) && tries < 10; tries++ {
				flows, err = netlink.ConntrackTableList(netlink.ConntrackTable, family)
			}
			if err != nil {
				return err
			}
			for _, f := range flows {
				list = append(list, connMark{f.Forward.DstPort, f.Mark})
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("list connections: %v", err)
	}
	return list
}
