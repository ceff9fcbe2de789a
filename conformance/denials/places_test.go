package denials

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/conformance/enforced"
	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/conformance/lab/frame"
	"github.com/sluice-net/sluice/enforcer"
	"github.com/sluice-net/sluice/enforcer/denials"
)

// place is a Pod that sends what it should not, another that it sends to, and one that
// nobody knows.
type place struct {
	w                        *watched
	sender, victim, stranger *lab.PodNamespace
	family                   int
}

func (p *place) addr(n *lab.PodNamespace) netip.Addr { return n.Pod.Addrs[p.family] }

func (p *place) udp(from netip.Addr, mac net.HardwareAddr, to netip.Addr, gateway net.HardwareAddr) [][]byte {
	b, err := frame.UDP(mac, gateway, netip.AddrPortFrom(from, 4000), netip.AddrPortFrom(to, 80), "x")
	if err != nil {
		p.w.t.Fatal(err)
	}
	return [][]byte{b}
}

func (p *place) tcp(flags func(*layers.TCP)) [][]byte {
	b, err := frame.TCP(p.sender.MAC, p.sender.GatewayMAC, netip.AddrPortFrom(p.addr(p.sender), 4001), netip.AddrPortFrom(p.addr(p.victim), 80), flags, "x")
	if err != nil {
		p.w.t.Fatal(err)
	}
	return [][]byte{b}
}

// What is dropped for another reason than policies is told of with that reason and the
// ends, on a bridge and on routed veths, in both families.
func TestWhatIsOutOfPlaceIsToldOf(t *testing.T) {
	unknown := enforced.Pod("shop", "stranger", "10.77.0.200", "fd77::c8")
	name := func(p *lab.PodNamespace) types.NamespacedName { return p.Pod.Name }
	for _, topology := range []lab.Topology{lab.Bridge, lab.PTP} {
		t.Run(topology.String(), func(t *testing.T) {
			w := watchWith(t, topology, []*corev1.Pod{unknown}, map[string]string{"shop/default-deny": "podSelector: {}\npolicyTypes: [Ingress]\n"})
			if _, err := w.StartPod(t.Context(), types.NamespacedName{Namespace: "shop", Name: "stranger"}); err != nil {
				t.Fatal(err)
			}
			at := func(p *corev1.Pod) *lab.PodNamespace {
				return w.Pod(types.NamespacedName{Namespace: p.Namespace, Name: p.Name})
			}
			// Of one node: it is a guest who sends to the shop.
			sender, victim, stranger := at(w.pods[1]), at(w.pods[0]), at(unknown)
			fabric, own := w.UplinkMACs(w.nodes[0])
			for _, tt := range []struct {
				name      string
				from      *lab.Namespace
				frames    func(p *place) [][]byte
				reason    denials.Reason
				direction string
				src, dst  string
			}{
				{"in another's name", sender.Namespace, func(p *place) [][]byte {
					return p.udp(p.addr(at(w.pods[3])), sender.MAC, p.addr(victim), sender.GatewayMAC)
				}, denials.Guard, "egress", "guests/p3", name(victim).String()},
				{"a Pod's address from the uplink", w.Fabric(), func(p *place) [][]byte {
					return p.udp(p.addr(at(w.pods[5])), fabric, p.addr(victim), own)
				}, denials.Misplaced, "egress", "guests/p5", name(victim).String()},
				{"of nobody known", stranger.Namespace, func(p *place) [][]byte {
					return p.udp(p.addr(stranger), stranger.MAC, p.addr(victim), stranger.GatewayMAC)
				}, denials.UnknownPod, "egress", "", name(victim).String()},
				{"to nobody known", sender.Namespace, func(p *place) [][]byte {
					return p.udp(p.addr(sender), sender.MAC, p.addr(stranger), toward(topology, sender, stranger))
				}, denials.UnknownPod, "ingress", name(sender).String(), ""},
				{"of a connection that nobody saw begin", sender.Namespace, func(p *place) [][]byte {
					return p.tcp(func(l *layers.TCP) { l.ACK, l.PSH, l.Ack = true, true, 77 })
				}, denials.MidStream, "ingress", name(sender).String(), name(victim).String()},
				{"of no sense", at(w.pods[7]).Namespace, func(p *place) [][]byte {
					p.sender = at(w.pods[7])
					return p.tcp(func(l *layers.TCP) { l.SYN, l.FIN = true, true })
				}, denials.Invalid, "ingress", "guests/p7", name(victim).String()},
			} {
				for family, is := range []string{"IPv4", "IPv6"} {
					t.Run(tt.name+"/"+is, func(t *testing.T) {
						p := &place{w: w, sender: sender, victim: victim, stranger: stranger, family: family}
						link := "eth0"
						if tt.from == w.Fabric() {
							link = uplinkOf(t, w)
						}
						before := len(w.told())
						for range 3 {
							if err := tt.from.Inject(link, tt.frames(p)...); err != nil {
								t.Fatal(err)
							}
						}
						list := w.told()[before:]
						if len(list) != 1 {
							t.Fatalf("%d are told of: %+v", len(list), list)
						}
						d := list[0]
						if d.Reason != tt.reason || d.Direction != tt.direction || podOf(d.Src) != tt.src || podOf(d.Dst) != tt.dst {
							t.Errorf("%s %s: %s to %s: %s, want %s %s from %q to %q", d.Reason, d.Direction, d.Src.Name(), d.Dst.Name(), d.Message, tt.reason, tt.direction, tt.src, tt.dst)
						}
					})
				}
			}
		})
	}
}

func podOf(e denials.End) string {
	if e.Kind != denials.PodEnd {
		return ""
	}
	return e.Name()
}

// toward is where a Pod sends what is for a neighbour.
func toward(topology lab.Topology, from, to *lab.PodNamespace) net.HardwareAddr {
	if topology.Bridged() {
		return to.MAC
	}
	return from.GatewayMAC
}

// uplinkOf is the fabric's end of the first node's uplink.
func uplinkOf(t *testing.T, w *watched) string {
	t.Helper()
	fabric, _ := w.UplinkMACs(w.nodes[0])
	var out string
	err := w.Fabric().Do(func() error {
		list, err := net.Interfaces()
		for _, i := range list {
			if strings.EqualFold(i.HardwareAddr.String(), fabric.String()) {
				out = i.Name
			}
		}
		return err
	})
	if err != nil || out == "" {
		t.Fatalf("no uplink of node %s: %v", w.nodes[0], err)
	}
	return out
}

// watchWith has Pods besides that are started later and told of to nobody.
func watchWith(t *testing.T, topology lab.Topology, late []*corev1.Pod, policies map[string]string) *watched {
	return watch(t, topology, lab.OneNode, policies, func(c *enforcer.Config) { c.Grace = -time.Second }, late...)
}
