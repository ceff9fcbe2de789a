// Package start holds the engine to what it promises of a Pod's first moments, in every
// topology that the lab has: nothing forbidden passes, nothing else is lost that could be
// known to be allowed, whoever is unknown is closed, and nobody else notices.
package start

import (
	"flag"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/conformance/enforced"
	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/policy/spectest"
)

var (
	podsFlag = flag.Int("sluice.pods", 12, "Pods that start in the race, in each topology that is tried whole")
	seedFlag = flag.Uint64("sluice.seed", 1, "seed of the race")
)

const namespace = "shop"

// The Pods that are there from the beginning. web is isolated in ingress and lets front in,
// at port 80; Pods of the app caged may reach bad alone, at port 80.
const (
	web   = "web"
	front = "front"
	bad   = "bad"
	caged = "caged"
)

func named(pod string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: pod}
}

// pod is the n-th Pod, with an address of each family.
func pod(n int, name, app string) *corev1.Pod {
	n += 2
	p := enforced.Pod(namespace, name, fmt.Sprintf("10.1.%d.%d", n/200, n%200+1), fmt.Sprintf("fd01::%x", n))
	p.Labels = map[string]string{"app": app}
	return p
}

func policies() []*networkingv1.NetworkPolicy {
	tcp := enforced.Port(corev1.ProtocolTCP, 80)
	return []*networkingv1.NetworkPolicy{
		enforced.DenyIngress(namespace, web, networkingv1.NetworkPolicyIngressRule{
			From: []networkingv1.NetworkPolicyPeer{enforced.PeerApp(front)}, Ports: []networkingv1.NetworkPolicyPort{tcp},
		}),
		enforced.DenyEgress(namespace, caged, networkingv1.NetworkPolicyEgressRule{
			To: []networkingv1.NetworkPolicyPeer{enforced.PeerApp(bad)}, Ports: []networkingv1.NetworkPolicyPort{tcp},
		}),
	}
}

// world is a node with three Pods that are known and others that are to come.
type world struct {
	*enforced.Cluster
	t        testing.TB
	topology lab.Topology
	node     string
	// told is the cluster as it is once all is known.
	told *spectest.Cluster
}

var outside = []netip.Addr{netip.MustParseAddr("203.0.113.66"), netip.MustParseAddr("2001:db8::66")}

func newWorld(t testing.TB, topology lab.Topology, late ...*corev1.Pod) *world {
	t.Helper()
	first := []*corev1.Pod{pod(0, web, web), pod(1, front, front), pod(2, bad, bad)}
	objects := []any{enforced.Namespace(namespace)}
	for _, p := range policies() {
		objects = append(objects, p)
	}
	w := &world{t: t, topology: topology, told: &spectest.Cluster{
		Namespaces: []*corev1.Namespace{enforced.Namespace(namespace)}, Policies: policies(),
	}}
	w.Cluster = enforced.Start(t, enforced.Options{
		Placement: lab.Placement{Topology: topology, External: outside}, Pods: first, Late: late, Objects: objects,
	})
	w.node = w.Cluster.Pods[named(web)].Spec.NodeName
	for _, p := range first {
		w.told.Pods = append(w.told.Pods, w.known(p.Name))
		for _, port := range []uint16{80, 81} {
			for family := range 2 {
				if err := w.Serve(lab.TCP, netip.AddrPortFrom(w.addr(p.Name, family), port)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return w
}

func (w *world) addr(pod string, family int) netip.Addr { return w.Addr(named(pod), family == 1) }

// known is a Pod's object once the kubelet has written its addresses.
func (w *world) known(name string) *corev1.Pod { return w.Cluster.Pods[named(name)].DeepCopy() }

// waiting is the object before that.
func (w *world) waiting(name string) *corev1.Pod {
	p := w.known(name)
	p.Status = corev1.PodStatus{Phase: corev1.PodPending}
	return p
}

// start makes a Pod, with servers where others look for it.
func (w *world) start(name string) *lab.PodNamespace {
	w.t.Helper()
	p, err := w.StartPod(w.t.Context(), named(name))
	if err != nil {
		w.t.Fatal(err)
	}
	for family := range 2 {
		if err := w.Serve(lab.TCP, netip.AddrPortFrom(w.addr(name, family), 80)); err != nil {
			w.t.Fatal(err)
		}
	}
	return p
}

// connect tries once.
func connect(from *lab.Namespace, to netip.Addr, port uint16, within time.Duration) error {
	return from.Do(func() error {
		c, err := net.DialTimeout("tcp", netip.AddrPortFrom(to, port).String(), within)
		if err == nil {
			_ = c.Close()
		}
		return err
	})
}

// often is how long one of several tries may take.
const often = 20 * time.Millisecond

// reaches tries one connection after the other until one is answered, in each family.
func (w *world) reaches(from, to string, port uint16) {
	w.t.Helper()
	for family := range 2 {
		began := time.Now()
		for connect(w.Pod(named(from)).Namespace, w.addr(to, family), port, often) != nil {
			if time.Since(began) > 15*time.Second {
				w.t.Errorf("%s does not reach %s at port %d: %v", from, w.addr(to, family), port, w.Agent(w.node).Status())
				return
			}
		}
		w.t.Logf("%v until %s reached %s", time.Since(began).Round(time.Millisecond), from, w.addr(to, family))
	}
}

// never tries for a while, in each family.
func (w *world) never(from, to string, port uint16) {
	w.t.Helper()
	for began := time.Now(); time.Since(began) < 150*time.Millisecond; {
		for family := range 2 {
			if connect(w.Pod(named(from)).Namespace, w.addr(to, family), port, often) == nil {
				w.t.Errorf("%s reaches %s at port %d", from, w.addr(to, family), port)
				return
			}
		}
	}
}

// undisturbed is what must not notice that a Pod starts.
func (w *world) undisturbed(when string) {
	w.t.Helper()
	var flows []lab.Flow
	flow := func(from, to netip.Addr) {
		flows = append(flows, lab.Flow{Src: from, Dst: to, Protocol: lab.TCP, Port: 80})
	}
	for family := range 2 {
		node := w.Spec().Nodes[0].Addrs[family]
		flow(outside[family], w.addr(bad, family))
		flow(w.addr(bad, family), outside[family])
		flow(outside[family], node)
		flow(node, outside[family])
		flow(node, w.addr(web, family))
		flow(node, w.addr(bad, family))
		flow(w.addr(bad, family), node)
		flow(w.addr(front, family), w.addr(web, family))
	}
	reached, err := w.Probe(w.t.Context(), flows)
	if err != nil {
		w.t.Fatal(err)
	}
	for i, ok := range reached {
		if !ok {
			w.t.Errorf("%s: %s does not get through", when, flows[i])
		}
	}
}

func (w *world) expectStart(want string) {
	w.t.Helper()
	if s := w.Agent(w.node).Status(); !strings.Contains(s.PodStart, want) {
		w.t.Errorf("pod start: %q, want %q in it", s.PodStart, want)
	}
}

func (w *world) expectReady() {
	w.t.Helper()
	if err := w.Agent(w.node).Ready(); err != nil {
		w.t.Errorf("not ready: %v", err)
	}
}

// datagram is a frame with a UDP datagram that says something, as a Pod would send it to
// another, in somebody's name.
func (w *world) datagram(from *lab.PodNamespace, source netip.Addr, to string, family int, port uint16, text string) []byte {
	w.t.Helper()
	hop := from.GatewayMAC
	if w.topology.Bridged() {
		hop = w.Pod(named(to)).MAC
	}
	target := w.addr(to, family)
	ether := &layers.Ethernet{SrcMAC: from.MAC, DstMAC: hop, EthernetType: layers.EthernetTypeIPv4}
	udp := &layers.UDP{SrcPort: layers.UDPPort(port), DstPort: layers.UDPPort(port)}
	var ip gopacket.SerializableLayer
	if family == 0 {
		header := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: source.AsSlice(), DstIP: target.AsSlice()}
		_ = udp.SetNetworkLayerForChecksum(header)
		ip = header
	} else {
		header := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP, SrcIP: source.AsSlice(), DstIP: target.AsSlice()}
		_ = udp.SetNetworkLayerForChecksum(header)
		ether.EthernetType, ip = layers.EthernetTypeIPv6, header
	}
	b := gopacket.NewSerializeBuffer()
	o := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(b, o, ether, ip, udp, gopacket.Payload(text)); err != nil {
		w.t.Fatal(err)
	}
	return b.Bytes()
}

// inEach runs a test in each topology.
func inEach(t *testing.T, f func(t *testing.T, topology lab.Topology)) {
	for _, topology := range append(enforced.Whole(t), enforced.Brief(t)...) {
		t.Run(topology.String(), func(t *testing.T) { f(t, topology) })
	}
}
