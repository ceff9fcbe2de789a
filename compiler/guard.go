package compiler

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"

	"sigs.k8s.io/knftables"
)

// guard is what the chain of a routed veth in table netdev sluice is made of: what may
// leave the Pod. Its hook sees all that address rules cannot: tagged
// frames, ARP, foreign link-local addresses. What reaches the Pod needs none, for
// nothing does but what the node itself sends or routes. Ports of bridges have
// guards of another kind, see portguard.go. Everything is sorted, each once.
type guard struct {
	macs      [][6]byte
	addrs     []netip.Addr
	linkLocal []netip.Addr
}

func (g guard) equal(o guard) bool {
	return slices.Equal(g.macs, o.macs) && slices.Equal(g.addrs, o.addrs) && slices.Equal(g.linkLocal, o.linkLocal)
}

// guardPriority is before other programs' chains on the veth.
const guardPriority = "-10"

// guardAnew brings the guard of a veth up to date.
func (c *Compiler) guardAnew(veth string) (GuardPlan, bool) {
	was, now := c.guards[veth], c.guardOf(veth)
	if len(c.onVeth[veth]) == 0 {
		delete(c.onVeth, veth)
	}
	if len(now.macs) == 0 {
		delete(c.guards, veth)
	} else {
		c.guards[veth] = now
	}
	if was.equal(now) {
		return GuardPlan{}, false
	}
	return now.plan(&c.cfg, veth), true
}

// guardOf collects what the Pods behind a veth may send; there is one. A Pod
// whose hardware address is not known cannot be guarded, one that asks for no
// guard is not: the guard is empty.
func (c *Compiler) guardOf(veth string) guard {
	var out guard
	if !validInterface(veth) {
		return out
	}
	for s := range c.onVeth[veth] {
		if s.Unguarded && c.cfg.GuardOptOut {
			return guard{}
		}
		for i, b := range s.binds {
			mac, err := parseMAC(b.MAC)
			if b.Veth != veth || b.Port != 0 || err != nil {
				continue
			}
			out.macs = append(out.macs, mac)
			out.addrs = append(out.addrs, s.Addrs[i])
			out.linkLocal = append(out.linkLocal, linkLocalOf(mac, b.LinkLocal)...)
		}
	}
	slices.SortFunc(out.macs, func(a, b [6]byte) int { return bytes.Compare(a[:], b[:]) })
	out.macs = slices.Compact(out.macs)
	out.addrs = sortedOnce(out.addrs)
	out.linkLocal = sortedOnce(out.linkLocal)
	if len(sameFamily(out.addrs, ipv6)) == 0 {
		out.linkLocal = nil // It speaks no IPv6, by whatever address.
	}
	return out
}

func sortedOnce(list []netip.Addr) []netip.Addr {
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}

// parseMAC reads a hardware address of Ethernet as Linux writes it.
func parseMAC(text string) (mac [6]byte, err error) {
	if len(text) != 3*len(mac)-1 {
		return mac, fmt.Errorf("hardware address %q has %d characters, not %d", text, len(text), 3*len(mac)-1)
	}
	for i := range mac {
		at := 3 * i
		if i > 0 && text[at-1] != ':' {
			return mac, fmt.Errorf("hardware address %q: %q where a colon belongs", text, text[at-1])
		}
		if _, err := hex.Decode(mac[i:i+1], []byte(text[at:at+2])); err != nil {
			return mac, fmt.Errorf("hardware address %q: %w", text, err)
		}
	}
	return mac, nil
}

// derivedLinkLocal is the address that follows from the hardware address (RFC
// 4291, appendix A), which the Pod has unless it was told otherwise.
func derivedLinkLocal(mac [6]byte) netip.Addr {
	return netip.AddrFrom16([16]byte{
		0: 0xfe, 1: 0x80,
		8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5],
	})
}

// maxLinkLocal is how many link-local addresses a Pod may speak from. It has one,
// and may have made itself any number.
const maxLinkLocal = 8

// linkLocalOf is what a Pod's end may be called on its link: what follows from its
// hardware address, and of those that it was seen with the first few.
func linkLocalOf(mac [6]byte, seen []netip.Addr) []netip.Addr {
	out := []netip.Addr{derivedLinkLocal(mac)}
	list := make([]netip.Addr, 0, len(seen))
	for _, a := range seen {
		if a = a.WithZone(""); a.Is6() && a.IsLinkLocalUnicast() {
			list = append(list, a)
		}
	}
	for _, a := range sortedOnce(list) {
		if len(out) < maxLinkLocal && a != out[0] {
			out = append(out, a)
		}
	}
	return out
}

// countedDrop drops what matches, and counts it in the rule.
func countedDrop(matches ...Term) Rule { return all(matches, Count{}, Drop{}) }

// rules are all that a Pod may send: the chain's policy is drop.
func (g guard) rules(c *Config) []Rule {
	own4, own6 := sameFamily(g.addrs, ipv4), sameFamily(g.addrs, ipv6)
	macs := OneOf{Field: EtherSource, Not: true, Values: macValues(g.macs)}
	out := append(g.usual(),
		// Past a tag, no address below is looked at.
		countedDrop(oneOf(EtherProtocol, etherVLAN, etherQinQ)))
	out = append(out, c.toldDrop(false, macs)...)
	if len(own4) > 0 {
		out = append(out,
			rule(isNumber(ARPHardware, arpEthernet), isNumber(ARPProtocolLength, 4), OneOf{Field: ARPSourceEther, Values: macs.Values},
				// 0.0.0.0 is a probe for an address that is not used yet.
				fromAny(ARPSourceIP, append([]netip.Addr{netip.IPv4Unspecified()}, own4...)), Accept{}),
			rule(fromAny(IPSource, own4), Accept{}),
		)
	}
	if len(own6) > 0 {
		out = append(out, g.rules6(c, own6)...)
	}
	return append(out, c.toldDrop(false)...)
}

// rules6 are about IPv6.
func (g guard) rules6(c *Config, own []netip.Addr) []Rule {
	both := fromAny(IP6Source, append(own[:len(own):len(own)], g.linkLocal...))
	// An advertisement may speak of own addresses alone: a target is at the
	// same place in all.
	targets := fromAny(NeighbourTarget, sortedOnce(append(own[:len(own):len(own)], g.linkLocal...)))
	asks := isNumber(ICMPv6Type, ndAsk)
	asksOrRouters := oneOf(ICMPv6Type, ndAsk, ndRouterAsk)
	out := c.toldDrop(true, oneOf(ICMPv6Type, ndRouterTell, ndRedirect))
	out = append(out, rule(both, fromThisLink, isNumber(ICMPv6Type, ndTell), targets, Accept{}))
	out = append(out, c.toldDrop(true, isNumber(ICMPv6Type, ndTell))...)
	return append(out,
		rule(both, fromThisLink, asksOrRouters, Accept{}),
		// Detection of duplicate addresses: asking for another Pod's would be a
		// way to keep it from its address.
		rule(anonymous, fromThisLink, asks, targets, Accept{}),
		rule(anonymous, fromThisLink, isNumber(ICMPv6Type, ndRouterAsk), Accept{}),
		countedDrop(asksOrRouters),
		countedDrop(within(IP6Destination, linkLocal6)),
		rule(fromAny(IP6Source, own), Accept{}),
		rule(fromAny(IP6Source, append([]netip.Addr{netip.IPv6Unspecified()}, g.linkLocal...)), notRouted, oneOf(ICMPv6Type, mldReport, mldDone, mld2Report), Accept{}),
	)
}

// usual has a rule for the usual packet of each family at the top: from the
// first address of the Pod, and nothing that the rules below look closer at. They
// would accept it, too, but at four times the cost, and on every packet. Hardware
// address and tag do not matter: nobody learns hardware addresses from routed
// packets, and a tagged frame is dropped by the node, or stripped of its tag before
// it is routed and judged. The destination's first ten bits are compared by offset,
// for a field with a name costs as much again.
func (g guard) usual() []Rule {
	var out []Rule
	if len(g.macs) != 1 {
		return nil
	}
	for _, f := range families {
		own := sameFamily(g.addrs, f)
		if len(own) == 0 {
			continue
		}
		from := []Term{is(f.source(), AddrValue(own[0]))}
		comment := "usual: ip from its own address"
		if f == ipv6 {
			from = append(from, noICMPv6, notLinkLocal)
			comment = "usual: ip6 from its own address"
		}
		out = append(out, all(from, Accept{}).because(comment))
	}
	return out
}

// notLinkLocal is the same as outside [linkLocal6].
var notLinkLocal = Masked{Field: IP6DestinationStart, Mask: IP6DestinationStart.Number(0xffc0), Not: true, Value: IP6DestinationStart.Number(0xfe80)}

func fromAny(f Field, list []netip.Addr) Term { return OneOf{Field: f, Values: AddrValues(list)} }

func macValues(list [][6]byte) string {
	out := make([]byte, 0, len(list)*6)
	for _, mac := range list {
		out = append(out, mac[:]...)
	}
	return string(out)
}

// plan makes the guard what it is to be. Adding a chain that is there changes
// nothing, so what is to be gone is added first.
func (g guard) plan(cfg *Config, veth string) GuardPlan {
	name := contentName(guardLetter, string(knftables.IngressHook)+" "+veth, string(knftables.IngressHook)+"-"+veth)
	c := &Chain{Name: name}
	out := GuardPlan{Veth: veth, Ops: []Op{{Add, &Table{}}}}
	if len(g.macs) == 0 {
		out.Ops = append(out.Ops, Op{Add, c}, Op{Delete, c})
		return out
	}
	c.Hook = &Hook{Name: knftables.IngressHook, Priority: guardPriority, Policy: knftables.DropPolicy, Device: veth}
	c.Rules = g.rules(cfg)
	out.Chains = []string{name}
	out.Ops = append(out.Ops, Op{Add, c}, Op{Flush, &Chain{Name: name}})
	out.Ops = append(out.Ops, c.addRules()...)
	return out
}
