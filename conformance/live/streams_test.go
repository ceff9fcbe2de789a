package live

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluice-net/sluice/conformance/enforced"
	"github.com/sluice-net/sluice/conformance/lab"
)

var streamKinds = []lab.StreamKind{lab.TCPSend, lab.TCPPush, lab.TCPIdle, lab.UDPExchange, lab.UDPPush}

// The client talks to a server on its own node and to one on the other.
var (
	client = pod("front", "client", "a", "10.1.0.10", "fd00:1::10")
	near   = pod("shop", "near", "a", "10.1.0.20", "fd00:1::20")
	far    = pod("shop", "far", "b", "10.2.0.20", "fd00:2::20")
	// stranger plays no part but to be in sets.
	stranger = pod("front", "stranger", "b", "10.2.0.30", "fd00:2::30")
)

const streamPort = 8080

// labPods are fresh copies.
func labPods() []*corev1.Pod {
	server := func(p *corev1.Pod) *corev1.Pod { return relabelled(p, "server") }
	return []*corev1.Pod{client.DeepCopy(), server(near), server(far), stranger.DeepCopy()}
}

func baseNamespaces() []any {
	return []any{labelledNamespace("front", "team", "red"), labelledNamespace("shop", "team", "blue")}
}

// A state is objects in force. Policies that another state of the case has are
// deleted if this one does not have them.
type state []any

// A cut is a change that forbids what was allowed before.
type cut struct {
	name            string
	allowed, forbid state
}

// cuts are all the ways to lose permission.
func cuts() []cut {
	ends := func(in []networkingv1.NetworkPolicyPeer, inPorts []networkingv1.NetworkPolicyPort,
		out []networkingv1.NetworkPolicyPeer, outPorts []networkingv1.NetworkPolicyPort,
	) state {
		return state{
			enforced.DenyIngress("shop", "server", ingress(in, inPorts...)),
			enforced.DenyEgress("front", "client", egress(out, outPorts...)),
		}
	}
	clients, servers := podsIn("team", "red", "client"), podsIn("team", "blue", "server")
	clientBlocks, serverBlocks := blocks("10.1.0.8/29", "fd00:1::/124", "fd00:1::10/127"), blocks("10.0.0.0/12", "fd00::/14")
	port := tcpUDP(streamPort, streamPort)
	base := ends(clients, port, servers, port)
	with := func(objects ...any) state { return append(append(state{}, base...), objects...) }
	none := []networkingv1.NetworkPolicyPeer{enforced.PeerApp("nobody")}
	return []cut{
		{"the server's ingress", base, ends(none, port, servers, port)},
		{"the client's egress", base, ends(clients, port, none, port)},
		{"the client's label", with(client.DeepCopy()), with(relabelled(client, "other"), enforced.DenyEgress("front", "client"))},
		{"the servers' label", with(relabelled(near, "server"), relabelled(far, "server")), with(relabelled(near, "other"), relabelled(far, "other"))},
		{"the client's namespace", with(labelledNamespace("front", "team", "red")), with(labelledNamespace("front", "team", "green"))},
		{"the servers' namespace", with(labelledNamespace("shop", "team", "blue")), with(labelledNamespace("shop", "team", "green"))},
		{"a block of ingress", ends(clientBlocks, port, servers, port), ends(blocks("10.1.0.16/28", "fd00:1::20/123"), port, servers, port)},
		{"a block of egress", ends(clients, port, serverBlocks, port), ends(clients, port, blocks("10.16.0.0/12", "fe00::/14"), port)},
		{"a port of ingress", base, ends(clients, tcpUDP(8081, 8081), servers, port)},
		{"a range of ingress", ends(clients, tcpUDP(8000, 8100), servers, port), ends(clients, tcpUDP(8000, 8079), servers, port)},
		{"a range of egress", ends(clients, port, servers, tcpUDP(8080, 9000)), ends(clients, port, servers, tcpUDP(8081, 9000))},
		{"blocks and ranges", ends(clientBlocks, tcpUDP(8000, 8100), serverBlocks, tcpUDP(8000, 8100)), ends(blocks("10.1.0.16/28"), tcpUDP(8000, 8100), serverBlocks, tcpUDP(8000, 8100))},
		{"a first policy", state{}, state{enforced.DenyIngress("shop", "server")}},
		{"a first policy of the client", state{}, state{enforced.DenyEgress("front", "client")}},
	}
}

// A change that forbids a flow cuts it, whoever talks in it and whichever end
// loses the permission, and the flow goes on when it is allowed again.
func TestForbiddenFlowsAreCutAndComeBack(t *testing.T) {
	for _, topology := range topologies {
		t.Run(topology.String(), func(t *testing.T) {
			c := enforced.Start(t, enforced.Options{
				Placement: lab.Placement{Topology: topology}, Pods: labPods(), Objects: baseNamespaces(), Config: quick,
			})
			for _, k := range cuts() {
				t.Run(k.name, func(t *testing.T) { k.run(t, c) })
			}
		})
	}
}

func (k *cut) run(t *testing.T, c *enforced.Cluster) {
	defer c.Delete(append(k.policies(k.allowed), k.policies(k.forbid)...)...)
	k.apply(c, k.allowed, k.forbid)
	streams := startStreams(t, c, 5*time.Millisecond)
	defer stopAll(streams)
	awaitAll(t, talking(streams), 3)

	k.apply(c, k.forbid, k.allowed)
	for _, s := range streams {
		s.Lap()
		s.Talk()
	}
	time.Sleep(250 * time.Millisecond)
	for _, s := range streams {
		if r := s.Lap(); r.Fresh != 0 || r.Err != nil {
			t.Errorf("%s %s: %d messages while it was forbidden, error %v", s.Kind(), s.Flow(), r.Fresh, r.Err)
		}
	}

	k.apply(c, k.allowed, k.forbid)
	awaitAll(t, streams, 5)
	for _, s := range streams {
		if r := s.Stop(); r.Err != nil || isTCP(s) && r.Lost != 0 {
			t.Errorf("%s %s: after it was allowed again: %d lost, error %v", s.Kind(), s.Flow(), r.Lost, r.Err)
		}
	}
}

// apply brings one state in the place of another, in one delivery where
// nothing has to go.
func (k *cut) apply(c *enforced.Cluster, now, before state) {
	var gone []any
	for _, p := range k.policies(before) {
		if !holds(now, p.(*networkingv1.NetworkPolicy)) {
			gone = append(gone, p)
		}
	}
	if len(now) > 0 {
		c.Set(now...)
	}
	if len(gone) > 0 {
		c.Delete(gone...)
	}
}

func (k *cut) policies(s state) (list []any) {
	for _, o := range s {
		if p, ok := o.(*networkingv1.NetworkPolicy); ok {
			list = append(list, p)
		}
	}
	return list
}

func holds(s state, p *networkingv1.NetworkPolicy) bool {
	for _, o := range s {
		if q, ok := o.(*networkingv1.NetworkPolicy); ok && q.Namespace == p.Namespace && q.Name == p.Name {
			return true
		}
	}
	return false
}

// startStreams starts every kind, to both servers, in both families.
func startStreams(t *testing.T, c *enforced.Cluster, every time.Duration) (streams []*lab.Stream) {
	t.Helper()
	for _, kind := range streamKinds {
		for _, server := range []*corev1.Pod{near, far} {
			for f, dst := range addrs(server) {
				s, err := c.Stream(lab.Flow{Src: addrs(client)[f], Dst: dst, Port: streamPort}, kind, every)
				if err != nil {
					t.Fatal(err)
				}
				streams = append(streams, s)
			}
		}
	}
	return streams
}

func stopAll(streams []*lab.Stream) {
	for _, s := range streams {
		s.Stop()
	}
}

func isTCP(s *lab.Stream) bool { return s.Kind() != lab.UDPExchange && s.Kind() != lab.UDPPush }

// talking are the streams without those that wait to be told. While one waits
// for messages of these, the others connect.
func talking(streams []*lab.Stream) (list []*lab.Stream) {
	for _, s := range streams {
		if s.Kind() != lab.TCPIdle {
			list = append(list, s)
		}
	}
	return list
}

// awaitAll waits until each stream has got n more messages.
func awaitAll(t *testing.T, streams []*lab.Stream, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	errs := make(chan error)
	for _, s := range streams {
		go func() { errs <- s.Await(ctx, n) }()
	}
	for range streams {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
