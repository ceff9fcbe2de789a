package lab

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/sluice-net/sluice/conformance/lab/frame"
)

// made unwraps what the frame builders return.
func made(t testing.TB) func([]byte, error) []byte {
	return func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

// holds matches frames that carry some text.
func holds(text string) func([]byte) bool {
	return func(b []byte) bool { return bytes.Contains(b, []byte(text)) }
}

func capture(t testing.TB, n *Namespace, match func([]byte) bool) *Capture {
	t.Helper()
	c, err := n.Capture("eth0", match)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Stop() })
	return c
}

func inject(t testing.TB, n *Namespace, b []byte) {
	t.Helper()
	if err := n.Inject("eth0", b); err != nil {
		t.Fatal(err)
	}
}

func TestFrameReachesTheServerOfAnotherPod(t *testing.T) {
	for _, topology := range []Topology{Bridge, PTP} {
		for _, ends := range [][2]string{
			{"10.244.1.5:999", "10.244.1.6:53"}, {"10.244.1.5:999", "10.244.2.5:53"},
			{"[fd00:10:244:1::5]:999", "[fd00:10:244:1::6]:53"}, {"[fd00:10:244:1::5]:999", "[2001:db8:ffff::1]:53"},
		} {
			t.Run(topology.String()+"/"+ends[1], func(t *testing.T) {
				l := buildLab(t, smallCluster(topology, families["dual"]))
				src, dst := netip.MustParseAddrPort(ends[0]), netip.MustParseAddrPort(ends[1])
				attacker := l.Pod(podName("one"))
				to := attacker.GatewayMAC
				victim := l.Host(dst.Addr())
				if p := l.Pod(podName("two")); topology == Bridge && p.Namespace == victim {
					to = p.MAC
				}
				arrives, answer := capture(t, victim, holds("crafted")), capture(t, attacker.Namespace, holds("crafted"))
				inject(t, attacker.Namespace, made(t)(frame.UDP(attacker.MAC, to, src, dst, "crafted")))
				if arrives.First(t.Context(), 3*time.Second) == nil {
					t.Error("the frame did not arrive")
				}
				if answer.First(t.Context(), 3*time.Second) == nil {
					t.Error("the server did not answer")
				}
			})
		}
	}
}

func TestCaptureKeepsVLANTags(t *testing.T) {
	l := buildLab(t, smallCluster(Bridge, families["dual"]))
	one, two := l.Pod(podName("one")), l.Pod(podName("two"))
	for name, kind := range map[string]layers.EthernetType{
		"802.1Q": layers.EthernetTypeDot1Q, "802.1ad": layers.EthernetTypeQinQ,
	} {
		t.Run(name, func(t *testing.T) {
			c := capture(t, two.Namespace, holds("tagged "+name))
			sent := made(t)(frame.Build(frame.Ethernet(one.MAC, two.MAC, kind), frame.VLAN(7, layers.EthernetTypeIPv4),
				frame.IP(one.Pod.Addrs[0], two.Pod.Addrs[0], layers.IPProtocolUDP),
				&layers.UDP{SrcPort: 1, DstPort: 53}, gopacket.Payload("tagged "+name)))
			inject(t, one.Namespace, sent)
			if got := c.First(t.Context(), 3*time.Second); !bytes.Equal(got, sent) {
				t.Errorf("got  %x\nsent %x", got, sent)
			}
		})
	}
}

func TestCaptureSeesOnlyWhatComesIn(t *testing.T) {
	l := buildLab(t, smallCluster(Bridge, families["IPv4"]))
	one, two := l.Pod(podName("one")), l.Pod(podName("two"))
	c := capture(t, one.Namespace, holds("one way"))
	arrives := capture(t, two.Namespace, holds("one way"))
	// An Ethernet type for experiments: nobody answers it.
	b := made(t)(frame.Build(frame.Ethernet(one.MAC, two.MAC, 0x88b5), gopacket.Payload("one way, and long enough for a frame to hold it")))
	inject(t, one.Namespace, b)
	if arrives.First(t.Context(), 3*time.Second) == nil {
		t.Fatal("the frame did not arrive")
	}
	if got := c.Stop(); len(got) != 0 {
		t.Errorf("the sender captured its own frame: %x", got)
	}
}

// Packets that the outside forges reach the Pods: neither fabric nor nodes
// filter sources.
func TestForgedSourceFromTheOutsideArrives(t *testing.T) {
	for _, topology := range []Topology{Bridge, PTP} {
		t.Run(topology.String(), func(t *testing.T) {
			l := buildLab(t, smallCluster(topology, families["dual"]))
			near, far := l.UplinkMACs("")
			for _, ends := range [][2]string{
				{"10.244.1.5:999", "10.244.1.6:53"}, {"[fd00:10:244:1::5]:999", "[fd00:10:244:1::6]:53"},
			} {
				c := capture(t, l.Pod(podName("two")).Namespace, holds("forged"))
				inject(t, l.Outside(), made(t)(frame.UDP(far, near,
					netip.MustParseAddrPort(ends[0]), netip.MustParseAddrPort(ends[1]), "forged")))
				if c.First(t.Context(), 3*time.Second) == nil {
					t.Errorf("%s: did not arrive", ends[0])
				}
			}
		})
	}
}

// The builders' claims are believed where nothing guards: they are right.
func TestForgedNeighbourMessagesAreBelieved(t *testing.T) {
	l := buildLab(t, smallCluster(Bridge, families["dual"]))
	one, two := l.Pod(podName("one")), l.Pod(podName("two"))
	if err := two.Sysctl("ipv6/conf/eth0/accept_ra", "2"); err != nil {
		t.Fatal(err)
	}
	lladdr := addr("fe80::bad")
	inject(t, one.Namespace, made(t)(frame.RouterAdvertisement(one.MAC, lladdr, netip.MustParsePrefix("2001:db8:bad::/64"))))
	inject(t, one.Namespace, made(t)(frame.ARPRequest(one.MAC, addr("10.244.1.99"), two.Pod.Addrs[0])))
	inject(t, one.Namespace, made(t)(frame.NeighbourSolicitation(one.MAC, addr("fd00:10:244:1::99"), two.Pod.Addrs[1])))
	believed := func() (ra, arp, ns bool) {
		addrs, _ := two.link.AddrList(nil, 0)
		for _, a := range addrs {
			ra = ra || netip.MustParsePrefix("2001:db8:bad::/64").Contains(netip.MustParseAddr(a.IP.String()))
		}
		neighbours, _ := two.link.NeighList(two.eth0, 0)
		for _, n := range neighbours {
			arp = arp || n.IP.String() == "10.244.1.99" && bytes.Equal(n.HardwareAddr, one.MAC)
			ns = ns || n.IP.String() == "fd00:10:244:1::99" && bytes.Equal(n.HardwareAddr, one.MAC)
		}
		return
	}
	deadline := time.Now().Add(5 * time.Second)
	for {
		ra, arp, ns := believed()
		if ra && arp && ns {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("router advertisement %t, ARP %t, neighbour solicitation %t", ra, arp, ns)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
