package compiler

import (
	"net/netip"
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

func (f family) addrType() DataType { return [...]DataType{IPv4Addr, IPv6Addr}[f] }

// set is the name of one of the two sets that differ in nothing but family.
func (f family) set(name string) string { return name + "-" + f.String() }

// way is one way that a packet of a connection goes.
type way uint8

const (
	forth way = iota // in the connection's original direction
	back             // replies, judged with swapped keys
)

func (w way) suffix() string { return [...]string{"", "-reply"}[w] }

// direction is the one that conntrack sees such packets in.
func (w way) direction() uint32 { return [...]uint32{directionOriginal, directionReply}[w] }
