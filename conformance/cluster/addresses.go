package main

import (
	"net/netip"
	"strings"
)

// network is where everything is, in one address family. The addresses exist
// only inside the machines' own network namespaces.
type network struct {
	machines netip.Prefix
	pods     netip.Prefix
	services netip.Prefix
}

var (
	ipv4 = network{
		machines: netip.MustParsePrefix("172.30.0.0/24"),
		pods:     netip.MustParsePrefix("10.244.0.0/16"),
		services: netip.MustParsePrefix("10.96.0.0/16"),
	}
	ipv6 = network{
		machines: netip.MustParsePrefix("fd00:30::/64"),
		pods:     netip.MustParsePrefix("fd00:244::/48"),
		services: netip.MustParsePrefix("fd00:96::/112"),
	}
)

func (n network) controlPlane() netip.Addr { return nth(n.machines, 1) }

// node is the address of node 1, 2, …
func (n network) node(number int) netip.Addr { return nth(n.machines, byte(10+number)) }

// apiService is the address that the API server gives its own Service.
func (n network) apiService() netip.Addr { return nth(n.services, 1) }

// podsOf is a node's share of the Pods' addresses.
func (n network) podsOf(number int) netip.Prefix {
	if n.pods.Addr().Is4() {
		b := n.pods.Addr().As4()
		b[2] = byte(number)
		return netip.PrefixFrom(netip.AddrFrom4(b), 24)
	}
	b := n.pods.Addr().As16()
	b[7] = byte(number)
	return netip.PrefixFrom(netip.AddrFrom16(b), 64)
}

// everywhere is the destination of a default route.
func (n network) everywhere() netip.Prefix { return everywhere(n.pods.Addr()) }

// everywhere are all addresses of another's family.
func everywhere(a netip.Addr) netip.Prefix {
	if a.Is4() {
		return netip.MustParsePrefix("0.0.0.0/0")
	}
	return netip.MustParsePrefix("::/0")
}

func nth(p netip.Prefix, n byte) netip.Addr {
	if p.Addr().Is4() {
		b := p.Addr().As4()
		b[3] = n
		return netip.AddrFrom4(b)
	}
	b := p.Addr().As16()
	b[15] = n
	return netip.AddrFrom16(b)
}

// each joins one thing of every network with commas, as Kubernetes' flags want
// both families of a dual-stack cluster.
func each[T interface{ String() string }](networks []network, of func(network) T) string {
	return strings.Join(list(networks, of), ",")
}

func list[T interface{ String() string }](networks []network, of func(network) T) []string {
	var all []string
	for _, n := range networks {
		all = append(all, of(n).String())
	}
	return all
}
