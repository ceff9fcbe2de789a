package attack_test

import (
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/conformance/lab"
)

// linkMessageAttacks: what passes between neighbours whatever policies say, with
// more in it than neighbours have to say, or for others than it is for. An isolated
// Pod gets none of it, and neither does one that is not isolated: these types have no
// other use.
var linkMessageAttacks = func() []attack {
	var all []attack
	for _, at := range []string{victim, open} {
		for _, a := range []attack{
			linkMessage("solicitation with room for bytes", func(s *scene) [][]byte {
				group := solicitedNode(s.dst)
				p := s.to(group, multicastMAC(group))
				return one(p.nd(layers.ICMPv6TypeNeighborSolicitation, 0, s.dst, ndOption(sourceLinkAddress, s.srcMAC), room(64)))
			}),
			linkMessage("solicitation of one neighbour with room for bytes", func(s *scene) [][]byte {
				return one(s.nd(layers.ICMPv6TypeNeighborSolicitation, 0, s.dst, ndOption(sourceLinkAddress, s.srcMAC), room(1024)))
			}),
			linkMessage("advertisement with room for bytes", func(s *scene) [][]byte {
				return one(s.nd(layers.ICMPv6TypeNeighborAdvertisement, override|solicited, s.src, ndOption(targetLinkAddress, s.srcMAC), room(1024)))
			}),
			linkMessage("advertisement to a group", func(s *scene) [][]byte {
				p := s.to(s.group(), multicastMAC(s.group()))
				return one(p.nd(layers.ICMPv6TypeNeighborAdvertisement, override, s.src, ndOption(targetLinkAddress, s.srcMAC)))
			}),
			linkMessage("solicitation in a group of no address", func(s *scene) [][]byte {
				return one(s.to(allNodes, multicastMAC(allNodes)).nd(layers.ICMPv6TypeNeighborSolicitation, 0, s.dst, ndOption(sourceLinkAddress, s.srcMAC)))
			}),
			linkMessage("router solicitation to a neighbour", func(s *scene) [][]byte { return solicitRouter(s.packet) }),
			linkMessage("router solicitation with room for bytes", func(s *scene) [][]byte {
				routers := netip.MustParseAddr("ff02::2")
				return solicitRouter(s.to(routers, multicastMAC(routers)), room(256)...)
			}),
			// The first fragment ends before the type, so that no guard sees it.
			linkMessage("advertisement of a neighbour's address in fragments that hide it", func(s *scene) [][]byte {
				b, protocol := s.ndMessage(layers.ICMPv6TypeNeighborAdvertisement, override|solicited, s.addrOf(friend), ndOption(targetLinkAddress, s.srcMAC))
				p := s.packet
				p.hops = 255
				return p.fragments(unix.IPPROTO_DSTOPTS, append(padding(protocol), b...), 8)
			}),
			linkMessage("advertisement behind destination options", func(s *scene) [][]byte {
				b, protocol := s.ndMessage(layers.ICMPv6TypeNeighborAdvertisement, override|solicited, s.src, ndOption(targetLinkAddress, s.srcMAC))
				p := s.packet
				p.hops = 255
				return one(p.ip(unix.IPPROTO_DSTOPTS, append(padding(protocol), b...)))
			}),
			linkMessage("multicast listener report to a neighbour", func(s *scene) [][]byte { return listenerReport(s.packet, 1) }),
			linkMessage("multicast listener report of many groups", func(s *scene) [][]byte {
				routers := netip.MustParseAddr("ff02::16")
				return listenerReport(s.to(routers, multicastMAC(routers)), 70)
			}),
			linkMessage("multicast listener report of the first version with room for bytes", func(s *scene) [][]byte {
				p := s.to(s.group(), multicastMAC(s.group()))
				p.hops = 1
				b, protocol := p.icmpMessage(layers.ICMPv6TypeMLDv1MulticastListenerReportMessage, 0, make([]byte, 4), slices.Concat(s.group().AsSlice(), s.token, make([]byte, 128)))
				return one(p.ip(unix.IPPROTO_HOPOPTS, append(routerAlert(protocol), b...)))
			}),
		} {
			a.at = at
			a.name += " to " + at
			all = append(all, a)
		}
	}
	// Reports are for routers and the bridge.
	return append(all, linkMessage("multicast listener report", func(s *scene) [][]byte { return s.report(2) }))
}()

// report is as it should be.
func (s *scene) report(groups int) [][]byte {
	routers := netip.MustParseAddr("ff02::16")
	return listenerReport(s.to(routers, multicastMAC(routers)), groups)
}

// TestReportsReachTheBridge: what no Pod gets the bridge has read before, so that it goes
// on knowing who listens.
func TestReportsReachTheBridge(t *testing.T) {
	w := newWorld(t, lab.Bridge, true)
	s := newScene(t, w, byAttacker, victim, true, newToken())
	s.inject(s.report(1))
	group := netip.AddrFrom16([16]byte(append(append([]byte{0xff, 2}, s.token...), 0, 0))).String()
	var entries []byte
	for deadline := time.Now().Add(eventually); ; time.Sleep(soon) {
		err := w.node.Do(func() (err error) {
			entries, err = exec.Command("bridge", "mdb", "show").CombinedOutput()
			return err
		})
		if err != nil {
			t.Fatalf("%v: %s", err, entries)
		}
		if strings.Contains(string(entries), w.pod(attacker).Veth+" grp "+group) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the bridge does not know that somebody listens to %s:\n%s", group, entries)
		}
	}
	if s.arrivals().arrives(s.token, soon) {
		t.Error("another Pod got the report")
	}
}

// linkMessage is sent by a Pod with a guard, and by one without, which nothing but the
// rules by address stop.
func linkMessage(name string, frames func(s *scene) [][]byte) attack {
	return attack{name: name, in: ipv6, by: fromPods, only: []lab.Topology{lab.Bridge}, frames: frames}
}

// room is an option that nobody knows, of so many bytes.
func room(size int) []byte {
	o := make([]byte, size)
	o[0], o[1] = 254, byte(size/8)
	return o
}

func solicitRouter(p packet, options ...byte) [][]byte {
	p.hops = 255
	b, protocol := p.icmpMessage(layers.ICMPv6TypeRouterSolicitation, 0, make([]byte, 4), append(p.tokenOption(), options...))
	return one(p.ip(protocol, b))
}

// routerAlert is the header that multicast listener discovery goes behind.
func routerAlert(next uint8) []byte { return []byte{next, 0, 5, 2, 0, 0, 1, 0} }

// listenerReport says of so many groups that somebody listens. The first group's
// address has the token.
func listenerReport(p packet, groups int) [][]byte {
	var body []byte
	for range groups {
		record := append([]byte{4, 0, 0, 0, 0xff, 0x02}, p.token...)
		body = append(body, append(record, make([]byte, 20-len(record))...)...)
	}
	p.hops = 1
	b, protocol := p.icmpMessage(layers.ICMPv6TypeMLDv2MulticastListenerReportMessageV2, 0, []byte{0, 0, 0, byte(groups)}, body)
	return one(p.ip(unix.IPPROTO_HOPOPTS, append(routerAlert(protocol), b...)))
}
