package attack_test

import (
	"net/netip"

	"github.com/sluice-net/sluice/conformance/lab"
)

// sourceAttacks: packets with somebody else's source address. On a bridge only
// the guard can tell from which Pod a packet comes, so there a Pod that was let
// off it is trusted with the addresses of its neighbours.
var sourceAttacks = func() []attack {
	var all []attack
	for _, a := range forgedSources {
		all = append(all, a)
		a.by, a.only = []origin{byStray}, []lab.Topology{lab.PTP}
		all = append(all, a)
	}
	return all
}()

var forgedSources = []attack{
	{
		name: "TCP with the allowed Pod's address", in: dual, by: []origin{byAttacker, byOutsider},
		frames: func(s *scene) [][]byte { return one(s.from(s.addrOf(friend)).tcp(allowedPort, syn)) },
	},
	{
		name: "UDP with the allowed Pod's address", in: dual, by: []origin{byAttacker, byOutsider},
		frames: func(s *scene) [][]byte { return one(s.from(s.addrOf(friend)).udp(allowedPort)) },
	},
	{
		name: "UDP with the allowed Pod's address and hardware address", in: dual, by: []origin{byAttacker},
		frames: func(s *scene) [][]byte {
			p := s.from(s.addrOf(friend))
			p.srcMAC = s.w.pod(friend).MAC
			return one(p.udp(allowedPort))
		},
	},
	{
		name: "ping with the allowed Pod's address", in: dual, by: []origin{byAttacker, byOutsider}, at: fan,
		frames: func(s *scene) [][]byte { return one(s.from(s.addrOf(friend)).echo()) },
	},
	{
		name: "UDP with the victim's own address", in: dual, by: []origin{byAttacker, byOutsider},
		frames: func(s *scene) [][]byte { return one(s.from(s.dst).udp(allowedPort)) },
	},
	{
		name: "TCP with the victim's own address", in: dual, by: []origin{byAttacker, byOutsider},
		frames: func(s *scene) [][]byte { return one(s.from(s.dst).tcp(allowedPort, syn)) },
	},
	{
		name: "TCP with the gateway's address", in: dual, by: []origin{byAttacker, byOutsider},
		frames: func(s *scene) [][]byte { return one(s.from(s.gateway()).tcp(allowedPort, syn)) },
	},
	{
		name: "TCP with the node's address", in: dual, by: []origin{byAttacker, byOutsider},
		frames: func(s *scene) [][]byte { return one(s.from(s.w.nodeAddr(s.is6())).tcp(allowedPort, syn)) },
	},
	{
		name: "UDP with an unknown Pod's address", in: dual, by: []origin{byAttacker},
		frames: func(s *scene) [][]byte { return one(s.from(s.unknown()).udp(allowedPort)) },
	},
	{
		name: "UDP with an address of the outside", in: dual, by: []origin{byAttacker}, at: open,
		frames: func(s *scene) [][]byte { return one(s.from(s.external()).udp(allowedPort)) },
	},
	{
		name: "UDP without an address", in: dual, by: []origin{byAttacker}, without: routed("the router takes it for nobody's"),
		frames: func(s *scene) [][]byte { return one(s.from(s.unspecified()).udp(allowedPort)) },
	},
}

func (w *world) nodeAddr(is6 bool) netip.Addr {
	for _, a := range w.Spec().Nodes[0].Addrs {
		if a.Is6() == is6 {
			return a
		}
	}
	w.t.Fatal("the node has no address of that family")
	return netip.Addr{}
}

// unknown is an address among the Pods' that none has.
func (s *scene) unknown() netip.Addr {
	if s.is6() {
		return netip.MustParseAddr("fd77::99")
	}
	return netip.MustParseAddr("10.77.0.99")
}

func (s *scene) external() netip.Addr {
	if s.is6() {
		return netip.MustParseAddr("2001:db8::66")
	}
	return outsider
}

func (s *scene) unspecified() netip.Addr {
	if s.is6() {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}
