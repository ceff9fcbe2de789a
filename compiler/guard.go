package compiler

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sigs.k8s.io/knftables"
)

// guard is the rules of a routed veth's chain in table netdev sluice, a rule a line:
// what may leave the Pod. Its hook sees all that address rules cannot: tagged
// frames, ARP, foreign link-local addresses. What reaches the Pod needs none, for
// nothing does but what the node itself sends or routes. Ports of bridges have
// guards of another kind, see portguard.go.
type guard string

// guardSpec is what a guard is made of. Everything is sorted, each once.
type guardSpec struct {
	macs      []string
	addrs     []netip.Addr
	linkLocal []netip.Addr
}

// guardPriority is before other programs' chains on the veth.
const guardPriority = "-10"

// guardAnew brings the guard of a veth up to date.
func (c *Compiler) guardAnew(veth string) (GuardPlan, bool) {
	was := c.guards[veth]
	now := guard("")
	if spec, guarded := c.guardSpec(veth); guarded {
		now = guard(strings.Join(spec.outOfPod(), "\n"))
	}
	if len(c.onVeth[veth]) == 0 {
		delete(c.onVeth, veth)
	}
	if now == "" {
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
			if b.Veth != veth || b.Port != 0 || err != nil {
				continue
			}
			out.macs = append(out.macs, strings.ToLower(b.MAC))
			out.addrs = append(out.addrs, s.Addrs[i])
			out.linkLocal = append(out.linkLocal, linkLocalOf(mac, b.LinkLocal)...)
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

// usualOutOfPod has a rule for the usual packet of each family at the top: from the
// first address of the Pod, and nothing that the rules below look closer at. They
// would accept it, too, but at four times the cost, and on every packet. Hardware
// address and tag do not matter: nobody learns hardware addresses from routed
// packets, and a tagged frame is dropped by the node, or stripped of its tag before
// it is routed and judged. The destination's first ten bits are compared by offset,
// for a field with a name costs as much again.
func (s *guardSpec) usualOutOfPod() []string {
	var out []string
	if len(s.macs) != 1 {
		return nil
	}
	for _, f := range families {
		own := sameFamily(s.addrs, f)
		if len(own) == 0 {
			continue
		}
		from := f.header() + " saddr " + own[0].String()
		if f == ipv6 {
			from += " meta l4proto != icmpv6 @nh,192,16 & 0xffc0 != 0xfe80"
		}
		out = append(out, from+" accept"+noted+"usual: "+f.header()+" from its own address")
	}
	return out
}

// noted separates a rule of a guard from its comment.
const noted = " # "

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
		out[i] = targetText(a)
	}
	return out
}

// set is an anonymous set.
func set(list []string) string { return "{ " + strings.Join(list, ", ") + " }" }

// plan makes the guard what it is to be. Adding a chain that is there changes
// nothing, so what is to be gone is added first.
func (g guard) plan(veth string) GuardPlan {
	name := contentName(guardLetter, string(knftables.IngressHook)+" "+veth, string(knftables.IngressHook)+"-"+veth)
	c := Chain{Name: name}
	out := GuardPlan{Veth: veth, Ops: []Op{{Add, &knftables.Table{}}}}
	if g == "" {
		out.Ops = append(out.Ops, Op{Add, c.object()}, Op{Delete, c.object()})
		return out
	}
	c.Hook = &Hook{Name: knftables.IngressHook, Priority: guardPriority, Policy: knftables.DropPolicy, Device: veth}
	for text := range strings.SplitSeq(string(g), "\n") {
		rule, comment, _ := strings.Cut(text, noted)
		c.Rules = append(c.Rules, Rule{Text: rule, Comment: comment})
	}
	out.Chains = []string{name}
	out.Ops = append(out.Ops, Op{Add, c.object()}, Op{Flush, &knftables.Chain{Name: name}})
	out.Ops = append(out.Ops, c.addRules()...)
	return out
}
