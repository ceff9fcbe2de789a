package compiler

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sigs.k8s.io/knftables"
)

// guard is the chains of a veth in table netdev sluice, without their names.
// The ingress hook there runs before the bridge, so it sees all that address
// rules cannot: tagged frames, ARP, foreign link-local addresses.
type guard struct {
	// out is what leaves the Pod, in what reaches it, a rule a line; in is empty
	// where the Pod is not isolated in ingress, or behind no bridge.
	out, in string
}

// guardSpec is what a guard is made of. Everything is sorted, each once.
type guardSpec struct {
	macs      []string
	addrs     []netip.Addr
	linkLocal []netip.Addr
	// isolated in ingress, and bridged: without a bridge nothing reaches the Pod
	// but what the node itself sends or routes, and that the forward hook sees.
	isolated, bridged bool
}

// guardPriority is before other programs' chains on the veth.
const guardPriority = "-10"

// guardAnew brings the guard of a veth up to date.
func (c *Compiler) guardAnew(veth string) (GuardPlan, bool) {
	was := c.guards[veth]
	var now guard
	if spec, guarded := c.guardSpec(veth); guarded {
		now = guard{out: strings.Join(spec.outOfPod(), "\n")}
		if spec.isolated && spec.bridged {
			now.in = strings.Join(append(spec.usualIntoPod(), intoPod...), "\n")
		}
	}
	if len(c.onVeth[veth]) == 0 {
		delete(c.onVeth, veth)
	}
	if now == (guard{}) {
		delete(c.guards, veth)
	} else {
		c.guards[veth] = now
	}
	return now.plan(veth), was != now
}

// guardSpec collects what the Pods behind a veth may send; there is one. A Pod
// whose hardware address is not known cannot be guarded, one that asks for no
// guard is not.
func (c *Compiler) guardSpec(veth string) (guardSpec, bool) {
	var out guardSpec
	if !validInterface(veth) {
		return out, false
	}
	for s := range c.onVeth[veth] {
		if s.Unguarded && c.cfg.GuardOptOut {
			return out, false
		}
		for i, b := range s.binds {
			mac, err := parseMAC(b.MAC)
			if b.Veth != veth || err != nil {
				continue
			}
			out.macs = append(out.macs, strings.ToLower(b.MAC))
			out.addrs = append(out.addrs, s.Addrs[i])
			out.linkLocal = append(out.linkLocal, derivedLinkLocal(mac))
			for _, a := range b.LinkLocal {
				if a = a.WithZone(""); a.Is6() && a.IsLinkLocalUnicast() {
					out.linkLocal = append(out.linkLocal, a)
				}
			}
			out.isolated = out.isolated || s.Ingress != nil
			out.bridged = out.bridged || b.Interface != b.Veth
		}
	}
	slices.Sort(out.macs)
	out.macs = slices.Compact(out.macs)
	out.addrs = sortedOnce(out.addrs)
	out.linkLocal = sortedOnce(out.linkLocal)
	return out, len(out.macs) > 0
}

func sortedOnce(list []netip.Addr) []netip.Addr {
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}

// parseMAC reads a hardware address of Ethernet as Linux writes it.
func parseMAC(text string) (mac [6]byte, err error) {
	parts := strings.Split(text, ":")
	if len(parts) != len(mac) {
		return mac, fmt.Errorf("hardware address %q has %d parts, not %d", text, len(parts), len(mac))
	}
	for i, p := range parts {
		b, err := hex.DecodeString(p)
		if err != nil || len(b) != 1 {
			return mac, fmt.Errorf("hardware address %q: part %q is no byte", text, p)
		}
		mac[i] = b[0]
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

// otherwise is where what no rule lets out of a Pod ends.
const otherwise = "counter drop"

// outOfPod is all that a Pod may send: the chain's policy is drop.
func (s *guardSpec) outOfPod() []string {
	macs := set(s.macs)
	own4, own6 := texts(sameFamily(s.addrs, ipv4)), texts(sameFamily(s.addrs, ipv6))
	targets := set(targetsOf(append(sameFamily(s.addrs, ipv6), s.linkLocal...)))
	link := texts(s.linkLocal)
	both := append(slices.Clone(own6), link...)

	out := append(s.usualOutOfPod(),
		// Past a tag, no address below is looked at.
		"ether type { vlan, 8021ad } counter drop",
		"ether saddr != "+macs+" counter drop",
	)
	if len(own4) > 0 {
		out = append(out,
			// 0.0.0.0 is a probe for an address that is not used yet.
			"arp htype 1 arp plen 4 arp saddr ether "+macs+" arp saddr ip "+set(append([]string{"0.0.0.0"}, own4...))+" accept",
			"ip saddr "+set(own4)+" accept",
		)
	}
	if len(own6) == 0 {
		return append(out, otherwise)
	}
	return append(out,
		"icmpv6 type { nd-router-advert, nd-redirect } counter drop",
		// An advertisement may speak of own addresses alone: a target is at the
		// same place in all.
		"ip6 saddr "+set(both)+" ip6 hoplimit 255 icmpv6 type nd-neighbor-advert @th,64,128 "+targets+" accept",
		"icmpv6 type nd-neighbor-advert counter drop",
		"ip6 saddr "+set(both)+" ip6 hoplimit 255 icmpv6 type { nd-neighbor-solicit, nd-router-solicit } accept",
		// Detection of duplicate addresses: asking for another Pod's would be a
		// way to keep it from its address.
		"ip6 saddr :: ip6 hoplimit 255 icmpv6 type nd-neighbor-solicit @th,64,128 "+targets+" accept",
		"ip6 saddr :: ip6 hoplimit 255 icmpv6 type nd-router-solicit accept",
		"icmpv6 type { nd-neighbor-solicit, nd-router-solicit } counter drop",
		"ip6 daddr fe80::/10 counter drop",
		"ip6 saddr "+set(own6)+" accept",
		"ip6 saddr "+set(append([]string{"::"}, link...))+" ip6 hoplimit 1 icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } accept",
		otherwise,
	)
}

// The usual packet of each family has a rule of its own at the top: from or to the
// first address of the Pod, untagged, and nothing that the rules below look
// closer at. They would accept it, too, but at four times the cost, and on every
// packet. So these are written by offset: for a field with a name nft adds that the
// device must be an Ethernet or the packet of a protocol, which costs as much again
// as the comparison, and here it is known. Behind a bridge the source's hardware
// address and the type that follows it are one comparison, which no tagged frame
// stands. Without a bridge neither matters: nobody learns hardware addresses from
// packets, and a tagged frame is dropped by the node, or stripped of its tag before
// it is routed and judged.

// usualOutOfPod are the rules for the first address of each family, where they can
// be that simple.
func (s *guardSpec) usualOutOfPod() []string {
	var out []string
	if len(s.macs) != 1 {
		return nil
	}
	mac := strings.ReplaceAll(s.macs[0], ":", "")
	for _, f := range families {
		own := sameFamily(s.addrs, f)
		if len(own) == 0 {
			continue
		}
		from := f.header() + " saddr " + own[0].String()
		if s.bridged {
			from = fmt.Sprintf("@ll,48,64 0x%s%s %s", mac, f.etherType(), f.rawSource(own[0]))
		}
		if f == ipv6 {
			// The second is the destination's first ten bits.
			from += " meta l4proto != icmpv6 @nh,192,16 & 0xffc0 != 0xfe80"
		}
		out = append(out, from+" accept"+noted+"usual: "+f.header()+" from its own address")
	}
	return out
}

// usualIntoPod are the same for what reaches the Pod.
func (s *guardSpec) usualIntoPod() []string {
	var out []string
	for _, f := range families {
		if own := sameFamily(s.addrs, f); len(own) > 0 {
			out = append(out, fmt.Sprintf("@ll,96,16 0x%s %s accept%susual: %s to its own address", f.etherType(), f.rawDestination(own[0]), noted, f.header()))
		}
	}
	return out
}

// etherType is the type of a frame with such a packet.
func (f family) etherType() string { return [...]string{"0800", "86dd"}[f] }

// rawSource and rawDestination compare an address by where the header has it, in
// bits (RFC 791, 3.1, and RFC 8200, 3).
func (f family) rawSource(a netip.Addr) string {
	return fmt.Sprintf("@nh,%s 0x%x", [...]string{"96,32", "64,128"}[f], a.AsSlice())
}

func (f family) rawDestination(a netip.Addr) string {
	return fmt.Sprintf("@nh,%s 0x%x", [...]string{"128,32", "192,128"}[f], a.AsSlice())
}

// noted separates a rule of a guard from its comment.
const noted = " # "

// intoPod is what must not reach an isolated Pod, whoever sends it: the chain's
// policy is accept, for the forward hook judges the rest.
var intoPod = []string{
	"ether type { vlan, 8021ad } counter drop",
	"meta protocol != { arp, ip, ip6 } counter drop",
	"icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert, mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report } accept",
	"meta pkttype { broadcast, multicast } meta protocol { ip, ip6 } counter drop",
	"ip daddr { 224.0.0.0/4, 255.255.255.255 } counter drop",
	"ip6 daddr ff00::/8 counter drop",
}

func texts(list []netip.Addr) []string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.String()
	}
	return out
}

// targetsOf writes addresses as nft takes them for a field that it has no name
// for.
func targetsOf(list []netip.Addr) []string {
	out := make([]string, len(list))
	for i, a := range sortedOnce(list) {
		out[i] = fmt.Sprintf("0x%x", a.As16())
	}
	return out
}

// set is an anonymous set.
func set(list []string) string { return "{ " + strings.Join(list, ", ") + " }" }

// plan makes the guard what it is to be. Adding a chain that is there changes
// nothing, so what is to be empty or gone is added first.
func (g guard) plan(veth string) GuardPlan {
	out := GuardPlan{Veth: veth, Ops: []Op{{Add, &knftables.Table{}}}}
	for _, side := range []struct {
		hook   knftables.BaseChainHook
		policy knftables.BaseChainPolicy
		rules  string
	}{
		{knftables.IngressHook, knftables.DropPolicy, g.out},
		{knftables.EgressHook, knftables.AcceptPolicy, g.in},
	} {
		name := contentName(guardLetter, string(side.hook)+" "+veth, string(side.hook)+"-"+veth)
		c := Chain{Name: name}
		if side.rules == "" {
			out.Ops = append(out.Ops, Op{Add, c.object()}, Op{Delete, c.object()})
			continue
		}
		c.Hook = &Hook{Name: side.hook, Priority: guardPriority, Policy: side.policy, Device: veth}
		for text := range strings.SplitSeq(side.rules, "\n") {
			rule, comment, _ := strings.Cut(text, noted)
			c.Rules = append(c.Rules, Rule{Text: rule, Comment: comment})
		}
		out.Chains = append(out.Chains, name)
		out.Ops = append(out.Ops, Op{Add, c.object()}, Op{Flush, &knftables.Chain{Name: name}})
		out.Ops = append(out.Ops, c.addRules()...)
	}
	return out
}
