package compiler

import (
	"net/netip"
	"slices"

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
var shortARP = []Term{
	isNumber(ARPHardware, arpEthernet), isNumber(ARPProtocol, etherIPv4), isNumber(ARPHardwareLength, 6), isNumber(ARPProtocolLength, 4),
	oneOf(ARPOperation, arpRequest, arpReply), atMost(PacketLength, 28+18),
}

// Numbers of ARP (RFC 826) and of Ethernet's types.
const (
	arpEthernet = 1
	arpRequest  = 1
	arpReply    = 2
	etherIPv4   = 0x0800
	etherARP    = 0x0806
	etherVLAN   = 0x8100
	etherIPv6   = 0x86dd
	etherQinQ   = 0x88a8
)

// The messages of neighbour discovery (RFC 4861), without extension headers and no
// longer than with the one or two options that hosts add: their own hardware
// address, and a nonce (RFC 7527). With anything more a Pod could say anything to
// anybody in them.
var (
	solicitation  = []Term{plainICMPv6, fromThisLink, atMost(IP6Length, 40), isNumber(ICMPv6Type, ndAsk)}
	advertisement = []Term{plainICMPv6, fromThisLink, atMost(IP6Length, 40), isNumber(ICMPv6Type, ndTell)}
	routerQuery   = []Term{plainICMPv6, fromThisLink, atMost(IP6Length, 24), to6(allRouters), isNumber(ICMPv6Type, ndRouterAsk)}
	linkMessages  = oneOf(ICMPv6Type, ndRouterAsk, ndRouterTell, ndAsk, ndTell, ndRedirect, mldQuery, mldReport, mldDone, mld2Report)
	// listenerMessage is one of multicast listener discovery.
	listenerMessage = []Term{notRouted, within(IP6Destination, multicast6), atMost(IP6Length, groupsAtOnce)}
)

// solicitedNode is where solicitations go that look for an address (RFC 4291,
// 2.7.1), and allNodes where an unasked advertisement goes.
var (
	multicast6    = netip.MustParsePrefix("ff00::/8")
	linkLocal6    = netip.MustParsePrefix("fe80::/10")
	solicitedNode = netip.MustParsePrefix("ff02::1:ff00:0/104")
	allNodes      = netip.MustParseAddr("ff02::1")
	allRouters    = netip.MustParseAddr("ff02::2")
	mld2Routers   = netip.MustParseAddr("ff02::16")
)

// groupsAtOnce bounds a report of listeners (RFC 3810, 5.2): a router alert, the
// header, and 16 groups of 20 bytes.
const groupsAtOnce = 8 + 8 + 16*20

// all puts a rule together of what several have in common, and the rest.
func all(common []Term, rest ...Term) Rule { return Rule{Terms: slices.Concat(common, rest)} }

var (
	ofIPv4   = isNumber(EtherProtocol, etherIPv4)
	ofIPv6   = isNumber(EtherProtocol, etherIPv6)
	ofARP    = isNumber(EtherProtocol, etherARP)
	noICMPv6 = isNot(L4Protocol, uint32(protoICMPv6))
	// fromPod4 and the rest: a frame is from the Pod of its port, or to it.
	fromPod4 = in(ipv4.set(guardedSet), PortIn, EtherSource, IPSource)
	fromPod6 = in(ipv6.set(guardedSet), PortIn, EtherSource, IP6Source)
	toPod4   = in(ipv4.set(guardedSet), PortOut, EtherDestination, IPDestination)
	toPod6   = in(ipv6.set(guardedSet), PortOut, EtherDestination, IP6Destination)
	// spoken and spokenOf are about neighbour discovery: by the Pod of the port, and
	// about it.
	spoken   = in(linkSourcesSet, PortIn, EtherSource, IP6Source)
	spokenOf = in(linkTargetsSet, PortIn, NeighbourTarget)
	// anonymous is from who has no address yet.
	anonymous = is(IP6Source, AddrValue(netip.IPv6Unspecified()))
	// toGroup is a frame for more than one.
	toGroup = Masked{Field: EtherDestination, Mask: etherValue([6]byte{1}), Value: etherValue([6]byte{1})}
)

// addressedTo accepts the usual frame to a Pod: its hardware address and its
// address belong together, and to the port.
func addressedTo() []Rule {
	return []Rule{
		rule(ofIPv4, toPod4, Accept{}).because("to the Pod of the port"),
		rule(ofIPv6, noICMPv6, toPod6, Accept{}).because("to the Pod of the port"),
	}
}

// known leads on from a base chain with frames that are not usual: by what the port
// is.
func known(port, kind Field, pod string, stranger Term) []Rule {
	return []Rule{
		rule(Is{Field: kind, Not: true, Value: kind.Text(veth)}, stranger).because("leads out of the node"),
		rule(in(uplinksSet, port), stranger),
		rule(in(podPortsSet, port), Goto{pod}),
		rule(in(openPortsSet, port), Accept{}),
		rule(in(unguardedSet, port), Accept{}),
	}
}

// otherPorts is for ports that nothing is known of.
func (c *Config) otherPorts(counter, chain string, stranger Term) []Rule {
	if c.UnknownPods {
		return []Rule{rule(stranger).because("unknown Pods may")}
	}
	return []Rule{leading(counter, chain).because("a port without a known Pod")}
}

// fromPort judges what comes in by a port, before anything is learned from it.
func (c *Config) fromPort() []Rule {
	return slices.Concat([]Rule{
		rule(ofIPv4, fromPod4, Accept{}).because("from the Pod of the port"),
		rule(ofIPv6, noICMPv6, outside(IP6Destination, linkLocal6), fromPod6, Accept{}).because("from the Pod of the port"),
	}, known(PortIn, InterfaceKindIn, fromPodChain, Goto{strangerChain}), c.otherPorts(unknownPortFrom, dropUnknownFrom, Goto{strangerChain}))
}

// fromPod is what else a Pod may send: everything but this is dropped.
func fromPod() []Rule {
	return []Rule{
		leading(foreignHardware, dropGuarded, notIn(hardwareSet, PortIn, EtherSource)),
		all(shortARP, in(ipv4.set(guardedSet), PortIn, ARPSourceEther, ARPSourceIP), Accept{}),
		// A probe for an address that is not used yet (RFC 5227): asking for another
		// Pod's would be a way to keep it from its address.
		all(shortARP, is(ARPSourceIP, AddrValue(netip.IPv4Unspecified())), in(ipv4.set(guardedSet), PortIn, ARPSourceEther, ARPDestinationIP), Accept{}).
			because("a probe for its own address"),
		leading(linkMessage, dropGuarded, ofARP),
		// A header behind the fragment header could hide what the message is from us
		// (RFC 7112), and neighbour discovery is never fragmented (RFC 6980).
		// Numbers: nft in the image has no file of protocol names.
		leading(linkMessage, dropGuarded, oneOf(FragmentNextHeader, 0, 43, 44, 60)).
			because("what a fragment may hide: hop-by-hop options, routing, fragment, destination options"),
		leading(linkMessage, dropGuarded, Exists{Field: FragmentHeader}, linkMessages).because("what a fragment may hide"),
		all(advertisement, outside(IP6Destination, multicast6), spoken, spokenOf, Accept{}),
		all(advertisement, to6(allNodes), spoken, spokenOf, Accept{}),
		all(solicitation, outside(IP6Destination, multicast6), spoken, Accept{}),
		all(solicitation, within(IP6Destination, solicitedNode), spoken, Accept{}),
		all(solicitation, within(IP6Destination, solicitedNode), anonymous, spokenOf, Accept{}).because("detection of duplicates of its own address"),
		all(routerQuery, spoken, Accept{}),
		all(routerQuery, anonymous, Accept{}),
		all(listenerMessage, oneOf(ICMPv6Type, mldReport, mldDone, mld2Report), spoken, Accept{}),
		all(listenerMessage, anonymous, oneOf(ICMPv6Type, mldReport, mld2Report), Accept{}),
		leading(linkMessage, dropGuarded, linkMessages),
		rule(outside(IP6Destination, linkLocal6), fromPod6, Accept{}).because("other messages of ICMPv6"),
		leading(foreignSource, dropGuarded).because("another's address, a tag, a foreign protocol"),
	}
}

// toPort judges what goes from one port to another. What a Pod's port is sent must
// be addressed to the Pod, hardware address and address together: otherwise a Pod
// could reach one by another's address, or all of them by a hardware address that
// the bridge does not know.
func (c *Config) toPort() []Rule {
	return slices.Concat(addressedTo(), tagsToUnguarded(), known(PortOut, InterfaceKindOut, toPodChain, Accept{}), c.otherPorts(unknownPortTo, dropUnknownTo, Accept{}))
}

// toPod is what else reaches a Pod from another port.
//
// Of multicast listener discovery it needs the queries, which routers send: no Pod's
// leave its port. Reports are for routers and for bridges that snoop. The bridge itself
// has read a report when it comes here, and sends it to the ports where it heard a router,
// or to all if it does not snoop; such a port is never a guarded Pod's. A listener
// that does not hear others' reports only answers where it could have kept silent, and
// a Pod could say things to all others in the groups that it names.
func (c *Config) toPod() []Rule {
	out := []Rule{
		all(shortARP, Accept{}),
		rule(plainICMPv6, fromThisLink, isNumber(ICMPv6Type, ndAsk), in(linkTargetsSet, PortOut, NeighbourTarget), Accept{}).because("asked for the Pod's address"),
		all(solicitation, anonymous, Accept{}).because("detection of duplicates"),
		rule(plainICMPv6, fromThisLink, oneOf(ICMPv6Type, ndTell, ndRouterTell), Accept{}),
		all(listenerMessage, isNumber(ICMPv6Type, mldQuery), Accept{}).because("no Pod sends queries"),
		dropping(misdelivered, linkMessages),
		rule(ofIPv6, toPod6, Accept{}),
	}
	if c.UnknownPods {
		out = append(out, toAnybody())
	}
	return append(out, dropping(misdelivered).because("for others, a tag, a foreign protocol"))
}

// toAnybody lets what goes to many pass to Pods that are not isolated.
func toAnybody() Rule {
	return rule(notIn(isolatedPorts, PortOut), oneOf(EtherProtocol, etherIPv4, etherIPv6), toGroup, Accept{})
}

// fromNode judges what the node itself sends or routes: it is trusted, but a bridge
// that does not know a hardware address sends to all ports.
func (c *Config) fromNode() []Rule {
	return slices.Concat(addressedTo(), known(PortOut, InterfaceKindOut, nodeToPodChain, Accept{}), c.otherPorts(unknownPortTo, dropUnknownTo, Accept{}))
}

func fromNodeToPod() []Rule {
	return []Rule{
		rule(ofARP, Accept{}),
		rule(linkMessages, Accept{}),
		rule(ofIPv6, in(linkSourcesSet, PortOut, EtherDestination, IP6Destination), Accept{}),
		toAnybody(),
		dropping(misdelivered).because("for others, a tag, a foreign protocol"),
	}
}

// portTable is table bridge sluice without the elements of its sets.
func (c *Config) portTable() *Ruleset {
	base := func(name string, hook knftables.BaseChainHook, rules []Rule) Chain {
		return Chain{Name: name, Hook: &Hook{Name: hook, Priority: portPriority, Policy: knftables.AcceptPolicy}, Rules: rules}
	}
	out := &Ruleset{
		Counters: slices.Clone(portCounters),
		Sets: []Set{
			{Name: hardwareSet, Key: keyType(IfIndex, EtherAddr)},
			heldSet(linkSourcesSet, ipv6),
			{Name: linkTargetsSet, Key: keyType(IfIndex, Integer)},
			{Name: podHardware, Key: keyType(EtherAddr)},
			{Name: podTargetsSet, Key: keyType(Integer)},
		},
		Chains: []Chain{
			base(fromPortChain, knftables.PreroutingHook, c.fromPort()),
			base(toPortChain, knftables.ForwardHook, c.toPort()),
			base(fromNodeChain, knftables.OutputHook, c.fromNode()),
			{Name: fromPodChain, Rules: fromPod()},
			{Name: strangerChain, Rules: fromStranger()},
			{Name: toPodChain, Rules: c.toPod()},
			{Name: nodeToPodChain, Rules: fromNodeToPod()},
		},
	}
	out.Chains = append(out.Chains, c.portDropChains()...)
	out.Sets = append(out.Sets, portDropSets()...)
	for _, name := range []string{podPortsSet, isolatedPorts, uplinksSet, openPortsSet, unguardedSet} {
		out.Sets = append(out.Sets, Set{Name: name, Key: keyType(IfIndex)})
	}
	for _, f := range families {
		out.Sets = append(out.Sets,
			heldSet(f.set(guardedSet), f),
			Set{Name: f.set(podAddrsSet), Key: keyType(f.addrType())})
	}
	out.sort()
	return out
}

// PortGuards is table bridge sluice as it should be.
func (c *Compiler) PortGuards() *Ruleset {
	return c.portGuards(func(string, Key) bool { return true })
}

func (c *Compiler) portGuards(has func(set string, key Key) bool) *Ruleset {
	out := c.cfg.portTable()
	for i := range out.Sets {
		s := &out.Sets[i]
		for key := range c.ports[s.Name].values {
			if has(s.Name, key) {
				s.Elements = append(s.Elements, Element{Key: key})
			}
		}
		sortElements(s.Elements)
	}
	return out
}

// HeldSets are the sets of table bridge sluice that say what is held to which port:
// Pods' addresses by family, and what they speak of on their link. [ReadHeld] reads their
// keys.
func HeldSets() (addresses []Set, linkSources Set) {
	for _, f := range families {
		addresses = append(addresses, heldSet(f.set(guardedSet), f))
	}
	return addresses, heldSet(linkSourcesSet, ipv6)
}

// heldSize is room for 500 Pods with 16 addresses of their own and eight link-local ones
// each. Where the kernel knows how much a set can hold it takes a hash of that size, whose
// lookup costs a fourth less than one that grows: every frame of a Pod is looked up twice.
// It takes half a mebibyte.
const heldSize = 32768

func heldSet(name string, f family) Set {
	return Set{Name: name, Key: keyType(IfIndex, EtherAddr, f.addrType()), Size: heldSize}
}

// Held is an address that is held to a port of a bridge.
type Held struct {
	Port int
	// MAC is the hardware address that it has there, as Linux writes it.
	MAC  string
	Addr netip.Addr
}

// ReadHeld reads the key of an element of the [HeldSets]; false if it is none.
func ReadHeld(key Key) (Held, bool) {
	const head = 4 + 6
	if len(key) < head {
		return Held{}, false
	}
	addr, ok := netip.AddrFromSlice([]byte(key[head:]))
	out := Held{Port: int(valueOf(string(key[:4])).number()), MAC: string(etherText(nil, valueOf(string(key[4:head])))), Addr: addr}
	return out, ok
}

// guarded yields what the Pod puts into the sets of table bridge sluice: an
// address whose port or hardware address is not known, nothing that opens.
func (s *subject) guarded(optOut bool, yield func(set string, key Key)) {
	for i, a := range s.Addrs {
		b := s.binds[i]
		if b.Port <= 0 {
			continue
		}
		port := indexKey(b.Port)
		if s.sets(a)[policy.Ingress] != nil {
			yield(isolatedPorts, port)
		}
		if s.Unguarded && optOut {
			yield(unguardedSet, port)
			continue
		}
		mac, err := parseMAC(b.MAC)
		if err != nil {
			continue
		}
		hardware, f := Key(mac[:]), familyOf(a)
		at := port + hardware
		yield(podPortsSet, port)
		yield(hardwareSet, at)
		yield(podHardware, hardware)
		yield(f.set(guardedSet), at+addrKey(a))
		yield(f.set(podAddrsSet), addrKey(a))
		if f == ipv4 {
			continue
		}
		yield(podTargetsSet, addrKey(a))
		for _, l := range append([]netip.Addr{a}, linkLocalOf(mac, b.LinkLocal)...) {
			yield(linkSourcesSet, at+addrKey(l))
			yield(linkTargetsSet, port+addrKey(l))
		}
	}
}
