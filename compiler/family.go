package compiler

import (
	"net/netip"

	"github.com/sluice-net/sluice/policy"
)

// family is an address family as the ruleset's names and expressions have it.
type family uint8

const (
	ipv4 family = iota
	ipv6
)

var families = [...]family{ipv4, ipv6}

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return ipv4
	}
	return ipv6
}

func (f family) String() string { return [...]string{"v4", "v6"}[f] }

// header is the nft name of the header that holds the addresses.
func (f family) header() string { return [...]string{"ip", "ip6"}[f] }

func (f family) addrType() string { return [...]string{"ipv4_addr", "ipv6_addr"}[f] }

// set is the name of one of the two sets that differ in nothing but family.
func (f family) set(name string) string { return name + "-" + f.String() }

// way is one way that a packet of a connection goes.
type way uint8

const (
	forth way = iota // in the connection's original direction
	back             // replies, judged with swapped keys
)

// peerKey is where a packet has the address of the peer, as seen from the Pod
// that is the subject.
func peerKey(f family, d policy.Direction, w way) string {
	if (d == policy.Ingress) == (w == forth) {
		return f.header() + " saddr"
	}
	return f.header() + " daddr"
}

// subjectKey is where a packet has the subject's address.
func subjectKey(f family, d policy.Direction, w way) string {
	if (d == policy.Ingress) == (w == forth) {
		return f.header() + " daddr"
	}
	return f.header() + " saddr"
}

// portKey is where a packet has the port that policies speak of.
func portKey(w way) string {
	if w == forth {
		return "th dport"
	}
	return "th sport"
}

func (w way) suffix() string { return [...]string{"", "-reply"}[w] }
