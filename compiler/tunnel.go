package compiler

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/sluice-net/sluice/policy"
)

// Tunnel is what a tunnel device of the node takes from the network: whoever can send
// it such a packet can put any other on the node, in any name.
type Tunnel struct {
	// Protocol is that of the outer packet.
	Protocol uint8
	// Port is UDP's destination port, 0 for protocols without ports.
	Port uint16
	// Peers are the far ends that the device sends to.
	Peers []netip.Addr
	// Closed: there are no other peers.
	Closed bool
}

// tunnelDrop is for who has no business at a tunnel.
var tunnelDrop = leadingTo(tunnelCounter, dropTunnel)

// udpNumber is the protocol of tunnels with a port.
const udpNumber = 17

// entrance is what a packet for a tunnel looks like.
type entrance struct {
	protocol uint8
	port     uint16
}

func (t *Tunnel) entrance() entrance { return entrance{t.Protocol, t.Port} }

func (e entrance) compare(o entrance) int {
	return cmp.Or(cmp.Compare(e.protocol, o.protocol), cmp.Compare(e.port, o.port))
}

// match is the comparison that finds it. A node has one or two, which are cheaper to
// compare than to look up.
func (e entrance) match() Term {
	if e.port != 0 {
		return isNumber(UDPDestinationPort, uint32(e.port))
	}
	return isNumber(L4Protocol, uint32(e.protocol))
}

// tunnelLayout is what rules say of tunnels, sorted: their entrances, and those of
// them that are closed. The far ends are in sets.
type tunnelLayout struct{ all, closed []entrance }

func (l tunnelLayout) equal(o tunnelLayout) bool {
	return slices.Equal(l.all, o.all) && slices.Equal(l.closed, o.closed)
}

// tunnelLayout sorts tunnels. What two devices share is as open as the more open of
// them.
func (c *Config) tunnelLayout(tunnels []Tunnel) tunnelLayout {
	if c.PodTunnels {
		return tunnelLayout{}
	}
	closed := map[entrance]bool{}
	for _, t := range tunnels {
		if t.Protocol == udpNumber && t.Port == 0 {
			continue // It would be all of UDP.
		}
		before, known := closed[t.entrance()]
		closed[t.entrance()] = t.Closed && (before || !known)
	}
	l := tunnelLayout{all: slices.SortedFunc(maps.Keys(closed), entrance.compare)}
	for _, e := range l.all {
		if closed[e] {
			l.closed = append(l.closed, e)
		}
	}
	return l
}

// tunnelPeers are the elements of the sets of far ends, by set.
func (c *Config) tunnelPeers(tunnels []Tunnel) map[string]map[Key]bool {
	out := map[string]map[Key]bool{}
	for _, f := range families {
		out[f.set(tunnelPeersSet)] = map[Key]bool{}
	}
	if c.PodTunnels {
		return out
	}
	for _, t := range tunnels {
		for _, a := range t.Peers {
			if a = a.Unmap(); a.IsValid() && a.Zone() == "" {
				out[familyOf(a).set(tunnelPeersSet)][addrKey(a)] = true
			}
		}
	}
	return out
}

// toTunnels asks of most packets one thing, and nothing where there is no tunnel:
// most of what policies are about is TCP, and no tunnel's.
func (l tunnelLayout) toTunnels(chain string) []Rule {
	if len(l.all) == 0 {
		return nil
	}
	return []Rule{rule(isNot(L4Protocol, uint32(policy.TCP)), Jump{chain})}
}

// toChain goes to a chain with what comes for an entrance.
func toChain(list []entrance, chain string) []Rule {
	out := make([]Rule, len(list))
	for i, e := range list {
		out[i] = rule(e.match(), Goto{chain})
	}
	return out
}

// tunnelSource is about what comes for the node's own tunnels. Pods have no business
// there, by whatever address of the node's, and where the far ends are known nobody
// else has: another node's Pod, for one.
func (l tunnelLayout) tunnelSource() []Rule {
	stranger := func(f family) Term { return notIn(f.set(tunnelPeersSet), f.source()) }
	out := slices.Concat(
		inBoth(func(f family) Rule {
			return tunnelDrop(in(f.set(localSet), f.source())).because("a Pod's")
		}),
		// A far end can be behind a port of the Pods' bridge; no Pod has its address.
		fromPodInterface(tunnelDrop, "an unknown Pod's", stranger))
	for _, e := range l.closed {
		out = append(out, inBoth(func(f family) Rule { return tunnelDrop(e.match(), stranger(f)) })...)
	}
	return out
}

// tunnelDestination is about what goes to other nodes' tunnels: it leaves with this
// node's address, as if the node had sent it, so that it can only be told here.
// Addresses that are no tunnel's far end stay free, for Pods may have tunnels of their
// own.
func tunnelDestination() []Rule {
	peer := func(f family) Term { return in(f.set(tunnelPeersSet), f.destination()) }
	return append(
		fromPodInterface(tunnelDrop, "an unknown Pod's", peer),
		inBoth(func(f family) Rule {
			return tunnelDrop(peer(f), in(f.set(localSet), f.source())).because("a Pod's")
		})...)
}
