package compiler

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/policy"
)

// Guards of bridge ports are data: one table of family bridge, a chain for each
// way that a frame goes, and sets by port. A Pod that comes or goes is elements.
// The chains stand from the first start on, so a port of a veth of which no set
// says anything passes nothing, from its first frame, whether an agent runs or
// not. Ports are known by the number of their interface: names can be had again,
// numbers cannot, and a port's element ends with the port.
//
// Why the bridge family: a frame that tc redirects past nf_ingress still meets
// the hooks of the bridge. Why not the bridge's name: meta ibrname is a module
// that not every kernel has.

// Fixed names of table bridge sluice.
const (
	guardedSet     = "guarded"         // port . hardware address . address: what a Pod sends from, and is sent to
	linkSourcesSet = "link-sources"    // the same for neighbour discovery: link-local addresses, too
	linkTargetsSet = "link-targets"    // port . address that neighbour discovery may speak of
	hardwareSet    = "hardware"        // port . hardware address
	podPortsSet    = "pod-ports"       // ports with a known Pod
	isolatedPorts  = "isolated-ports"  // those of Pods that are isolated in ingress
	uplinksSet     = "uplinks"         // veths that lead out of the node
	openPortsSet   = "open-ports"      // ports that are none of ours
	unguardedSet   = "unguarded-ports" // of Pods that do without a guard
	podAddrsSet    = "pod-addresses"   // addresses that are behind some port
	podHardware    = "pod-hardware"    // their hardware addresses
	podTargetsSet  = "pod-targets"     // those of IPv6 as neighbour discovery has them
	fromPortChain  = "from-port"       // prerouting: before the bridge learns from the frame
	toPortChain    = "to-port"         // forward: from port to port
	fromNodeChain  = "from-node"       // output: what the node sends or routes
	fromPodChain   = "from-pod"        // closer looks at what few frames need
	toPodChain     = "to-pod"          // …
	nodeToPodChain = "from-node-to-pod"
	strangerChain  = "from-stranger"
)

// What frames are dropped for, as the table counts it.
const (
	unknownPortFrom = "from-unknown-port"
	unknownPortTo   = "to-unknown-port"
	foreignHardware = "foreign-hardware-address"
	foreignSource   = "foreign-source"
	linkMessage     = "link-message"
	misdelivered    = "not-addressed-to-it"
	posing          = "posing-as-pod"
)

var portCounters = []string{unknownPortFrom, unknownPortTo, foreignHardware, foreignSource, linkMessage, misdelivered, posing}

// portPriority is before everything else in the bridge family, br_netfilter too.
const portPriority = "-310"

// shortARP is an ARP packet for IPv4 over Ethernet: 28 bytes (RFC 826), and no more
// behind it than the 18 to which Ethernet pads the shortest frame.
const shortARP = "arp htype 1 arp ptype ip arp hlen 6 arp plen 4 arp operation { request, reply } meta length <= 46"

// The messages of neighbour discovery (RFC 4861), without extension headers and no
// longer than with the one or two options that hosts add: their own hardware
// address, and a nonce (RFC 7527). With anything more a Pod could say anything to
// anybody in them.
const (
	solicitation  = "ip6 nexthdr icmpv6 ip6 hoplimit 255 ip6 length <= 40 icmpv6 type nd-neighbor-solicit"
	advertisement = "ip6 nexthdr icmpv6 ip6 hoplimit 255 ip6 length <= 40 icmpv6 type nd-neighbor-advert"
	routerQuery   = "ip6 nexthdr icmpv6 ip6 hoplimit 255 ip6 length <= 24 ip6 daddr ff02::2 icmpv6 type nd-router-solicit"
	linkMessages  = "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, nd-redirect, mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report }"
)

// solicitedNode is where solicitations go that look for an address (RFC 4291,
// 2.7.1), and allNodes where an unasked advertisement goes.
const (
	multicast6    = "ff00::/8"
	solicitedNode = "ff02::1:ff00:0/104"
	allNodes      = "ff02::1"
)

// groupsAtOnce bounds a report of listeners (RFC 3810, 5.2): a router alert, the
// header, and 16 groups of 20 bytes.
const groupsAtOnce = 8 + 8 + 16*20

// addressedTo accepts the usual frame to a Pod: its hardware address and its
// address belong together, and to the port.
var addressedTo = []line{
	{"ether type ip oif . ether daddr . ip daddr @guarded-v4 accept", "to the Pod of the port"},
	{"ether type ip6 meta l4proto != icmpv6 oif . ether daddr . ip6 daddr @guarded-v6 accept", "to the Pod of the port"},
}

// known leads on from a base chain with frames that are not usual: by what the port
// is.
func known(side, pod, stranger string) []line {
	return []line{
		{"meta " + side + "kind != \"veth\" " + stranger, "leads out of the node"},
		{side + " @" + uplinksSet + " " + stranger, ""},
		{side + " @" + podPortsSet + " goto " + pod, ""},
		{side + " @" + openPortsSet + " accept", ""},
		{side + " @" + unguardedSet + " accept", ""},
	}
}

// otherPorts is for ports that nothing is known of.
func (c *Config) otherPorts(counter, stranger string) []line {
	if c.UnknownPods {
		return []line{{stranger, "unknown Pods may"}}
	}
	return []line{{"counter name " + counter + " drop", "a port without a known Pod"}}
}

// fromPort judges what comes in by a port, before anything is learned from it.
func (c *Config) fromPort() []line {
	return slices.Concat([]line{
		{"ether type ip iif . ether saddr . ip saddr @guarded-v4 accept", "from the Pod of the port"},
		{"ether type ip6 meta l4proto != icmpv6 ip6 daddr != fe80::/10 iif . ether saddr . ip6 saddr @guarded-v6 accept", "from the Pod of the port"},
	}, known("iif", fromPodChain, "goto "+strangerChain), c.otherPorts(unknownPortFrom, "goto "+strangerChain))
}

// fromPod is what else a Pod may send: everything but this is dropped.
var fromPod = []line{
	{"iif . ether saddr != @" + hardwareSet + " counter name " + foreignHardware + " drop", ""},
	{shortARP + " iif . arp saddr ether . arp saddr ip @guarded-v4 accept", ""},
	// A probe for an address that is not used yet (RFC 5227): asking for another
	// Pod's would be a way to keep it from its address.
	{shortARP + " arp saddr ip 0.0.0.0 iif . arp saddr ether . arp daddr ip @guarded-v4 accept", "a probe for its own address"},
	{"ether type arp counter name " + linkMessage + " drop", ""},
	// A header behind the fragment header could hide what the message is from us
	// (RFC 7112), and neighbour discovery is never fragmented (RFC 6980).
	// Numbers: nft in the image has no file of protocol names.
	{"frag nexthdr { 0, 43, 44, 60 } counter name " + linkMessage + " drop", "what a fragment may hide: hop-by-hop options, routing, fragment, destination options"},
	{"exthdr frag exists " + linkMessages + " counter name " + linkMessage + " drop", "what a fragment may hide"},
	{advertisement + " ip6 daddr != " + multicast6 + " iif . ether saddr . ip6 saddr @" + linkSourcesSet + " iif . @th,64,128 @" + linkTargetsSet + " accept", ""},
	{advertisement + " ip6 daddr " + allNodes + " iif . ether saddr . ip6 saddr @" + linkSourcesSet + " iif . @th,64,128 @" + linkTargetsSet + " accept", ""},
	{solicitation + " ip6 daddr != " + multicast6 + " iif . ether saddr . ip6 saddr @" + linkSourcesSet + " accept", ""},
	{solicitation + " ip6 daddr " + solicitedNode + " iif . ether saddr . ip6 saddr @" + linkSourcesSet + " accept", ""},
	{solicitation + " ip6 daddr " + solicitedNode + " ip6 saddr :: iif . @th,64,128 @" + linkTargetsSet + " accept", "detection of duplicates of its own address"},
	{routerQuery + " iif . ether saddr . ip6 saddr @" + linkSourcesSet + " accept", ""},
	{routerQuery + " ip6 saddr :: accept", ""},
	{fmt.Sprintf("ip6 hoplimit 1 ip6 daddr ff00::/8 ip6 length <= %d icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } iif . ether saddr . ip6 saddr @%s accept", groupsAtOnce, linkSourcesSet), ""},
	{fmt.Sprintf("ip6 hoplimit 1 ip6 daddr ff00::/8 ip6 length <= %d ip6 saddr :: icmpv6 type { mld-listener-report, mld2-listener-report } accept", groupsAtOnce), ""},
	{linkMessages + " counter name " + linkMessage + " drop", ""},
	{"ip6 daddr != fe80::/10 iif . ether saddr . ip6 saddr @guarded-v6 accept", "other messages of ICMPv6"},
	{"counter name " + foreignSource + " drop", "another's address, a tag, a foreign protocol"},
}

// fromStranger is for whatever is no port of a Pod: it may send anything but in a
// Pod's name.
var fromStranger = []line{
	{"ether saddr @" + podHardware + " counter name " + posing + " drop", ""},
	{"ether type ip ip saddr @" + podAddrsSet + "-v4 counter name " + posing + " drop", ""},
	{"ether type ip6 ip6 saddr @" + podAddrsSet + "-v6 counter name " + posing + " drop", ""},
	{"ether type arp arp saddr ip @" + podAddrsSet + "-v4 counter name " + posing + " drop", ""},
	{"icmpv6 type nd-neighbor-advert @th,64,128 @" + podTargetsSet + " counter name " + posing + " drop", ""},
	{"accept", ""},
}

// toPort judges what goes from one port to another. What a Pod's port is sent must
// be addressed to the Pod, hardware address and address together: otherwise a Pod
// could reach one by another's address, or all of them by a hardware address that
// the bridge does not know.
func (c *Config) toPort() []line {
	return slices.Concat(addressedTo, known("oif", toPodChain, "accept"), c.otherPorts(unknownPortTo, "accept"))
}

// toPod is what else reaches a Pod from another port.
//
// Of multicast listener discovery it needs the queries, which routers send: no Pod's
// leave its port. Reports are for routers and for bridges that snoop. The bridge itself
// has read a report when it comes here, and sends it to the ports where it heard a router,
// or to all if it does not snoop; such a port is never a guarded Pod's. A listener
// that does not hear others' reports only answers where it could have kept silent, and
// a Pod could say things to all others in the groups that it names.
func (c *Config) toPod() []line {
	out := []line{
		{shortARP + " accept", ""},
		{"ip6 nexthdr icmpv6 ip6 hoplimit 255 icmpv6 type nd-neighbor-solicit oif . @th,64,128 @" + linkTargetsSet + " accept", "asked for the Pod's address"},
		{solicitation + " ip6 saddr :: accept", "detection of duplicates"},
		{"ip6 nexthdr icmpv6 ip6 hoplimit 255 icmpv6 type { nd-neighbor-advert, nd-router-advert } accept", ""},
		{fmt.Sprintf("ip6 hoplimit 1 ip6 daddr ff00::/8 ip6 length <= %d icmpv6 type mld-listener-query accept", groupsAtOnce), "no Pod sends queries"},
		{linkMessages + " counter name " + misdelivered + " drop", ""},
		{"ether type ip6 oif . ether daddr . ip6 daddr @guarded-v6 accept", ""},
	}
	if c.UnknownPods {
		out = append(out, line{"oif != @" + isolatedPorts + " ether type { ip, ip6 } " + toGroup + " accept", ""})
	}
	return append(out, line{"counter name " + misdelivered + " drop", "for others, a tag, a foreign protocol"})
}

// toGroup is a frame for more than one.
const toGroup = "ether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00"

// fromNode judges what the node itself sends or routes: it is trusted, but a bridge
// that does not know a hardware address sends to all ports.
func (c *Config) fromNode() []line {
	return slices.Concat(addressedTo, known("oif", nodeToPodChain, "accept"), c.otherPorts(unknownPortTo, "accept"))
}

var fromNodeToPod = []line{
	{"ether type arp accept", ""},
	{linkMessages + " accept", ""},
	{"ether type ip6 oif . ether daddr . ip6 daddr @" + linkSourcesSet + " accept", ""},
	{"oif != @" + isolatedPorts + " ether type { ip, ip6 } " + toGroup + " accept", ""},
	{"counter name " + misdelivered + " drop", "for others, a tag, a foreign protocol"},
}

// portTable is table bridge sluice without the elements of its sets.
func (c *Config) portTable() *Ruleset {
	base := func(name string, hook knftables.BaseChainHook, lines []line) Chain {
		return Chain{Name: name, Hook: &Hook{Name: hook, Priority: portPriority, Policy: knftables.AcceptPolicy}, Rules: rules(lines)}
	}
	out := &Ruleset{
		Counters: slices.Clone(portCounters),
		Sets: []Set{
			{Name: hardwareSet, Type: "iface_index . ether_addr"},
			heldSet(linkSourcesSet, ipv6),
			{Name: linkTargetsSet, TypeOf: "meta iif . @th,64,128", Type: "iface_index . integer"},
			{Name: podHardware, Type: "ether_addr"},
			{Name: podTargetsSet, TypeOf: "@th,64,128", Type: "integer"},
		},
		Chains: []Chain{
			base(fromPortChain, knftables.PreroutingHook, c.fromPort()),
			base(toPortChain, knftables.ForwardHook, c.toPort()),
			base(fromNodeChain, knftables.OutputHook, c.fromNode()),
			{Name: fromPodChain, Rules: rules(fromPod)},
			{Name: strangerChain, Rules: rules(fromStranger)},
			{Name: toPodChain, Rules: rules(c.toPod())},
			{Name: nodeToPodChain, Rules: rules(fromNodeToPod)},
		},
	}
	for _, name := range []string{podPortsSet, isolatedPorts, uplinksSet, openPortsSet, unguardedSet} {
		out.Sets = append(out.Sets, Set{Name: name, Type: "iface_index"})
	}
	for _, f := range families {
		out.Sets = append(out.Sets,
			heldSet(f.set(guardedSet), f),
			Set{Name: f.set(podAddrsSet), Type: f.addrType()})
	}
	out.sort()
	return out
}

// PortGuards is table bridge sluice as it should be.
func (c *Compiler) PortGuards() *Ruleset {
	out := c.cfg.portTable()
	for i := range out.Sets {
		s := &out.Sets[i]
		for _, key := range slices.Sorted(maps.Keys(c.ports[s.Name].values)) {
			s.Elements = append(s.Elements, Element{Key: key})
		}
	}
	return out
}

// HeldSets are the sets of table bridge sluice that say what is held to which port:
// Pods' addresses by family, and what they speak of on their link. Keys are port,
// hardware address and address.
func HeldSets() (addresses []Set, linkSources Set) {
	for _, f := range families {
		addresses = append(addresses, heldSet(f.set(guardedSet), f))
	}
	return addresses, heldSet(linkSourcesSet, ipv6)
}

func heldSet(name string, f family) Set {
	return Set{Name: name, Type: "iface_index . ether_addr . " + f.addrType()}
}

// ReplacePorts puts the whole of table bridge sluice in the place of whatever there
// is. It must be one transaction.
func (c *Compiler) ReplacePorts() []Op {
	table := &knftables.Table{}
	return append([]Op{{Add, table}, {Delete, table}, {Add, table}}, create(c.PortGuards())...)
}

// guarded yields what the Pod puts into the sets of table bridge sluice: an
// address whose port or hardware address is not known, nothing.
func (s *subject) guarded(optOut bool, yield func(set, key string)) {
	for i, a := range s.Addrs {
		b := s.binds[i]
		if b.Port <= 0 {
			continue
		}
		port := strconv.Itoa(b.Port)
		if s.Unguarded && optOut {
			yield(unguardedSet, port)
			continue
		}
		mac, err := parseMAC(b.MAC)
		if err != nil {
			continue
		}
		hardware, f := macText(mac), familyOf(a)
		at := port + " . " + hardware
		yield(podPortsSet, port)
		yield(hardwareSet, at)
		yield(podHardware, hardware)
		yield(f.set(guardedSet), at+" . "+a.String())
		yield(f.set(podAddrsSet), a.String())
		if s.sets(a)[policy.Ingress] != nil {
			yield(isolatedPorts, port)
		}
		if f == ipv4 {
			continue
		}
		yield(podTargetsSet, targetText(a))
		for _, l := range append([]netip.Addr{a}, linkLocalOf(mac, b.LinkLocal)...) {
			yield(linkSourcesSet, at+" . "+l.String())
			yield(linkTargetsSet, port+" . "+targetText(l))
		}
	}
}

func macText(mac [6]byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5])
}

// targetText is an address as nft takes it for a field that it has no name for.
func targetText(a netip.Addr) string { return fmt.Sprintf("0x%x", a.As16()) }
