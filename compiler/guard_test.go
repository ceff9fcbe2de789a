package compiler

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// guardText shows a guard by the hooks of its chains and their rules.
func guardText(t *testing.T, p GuardPlan) string {
	t.Helper()
	if _, ok := p.Ops[0].Object.(*Table); !ok || p.Ops[0].Verb != Add {
		t.Fatalf("the first op is %+v, not the table", p.Ops[0])
	}
	var b strings.Builder
	for _, op := range p.Ops[1:] {
		switch o := op.Object.(type) {
		case *Chain:
			if op.Verb == Add && o.Hook != nil {
				b.WriteString(string(o.Hook.Name) + " " + o.Hook.Device + " " + string(o.Hook.Policy) + "\n")
			}
			if op.Verb == Delete {
				b.WriteString("no " + strings.Split(o.Name, "-")[1] + "\n")
			}
		case *ChainRule:
			b.WriteString("  " + o.String())
			if o.Comment != "" { // the usual packets' have one
				b.WriteString(" # " + o.Comment)
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

const guardOfDual = `ingress v-db drop
  ip saddr 10.0.0.1 accept # usual: ip from its own address
  ip6 saddr fd00::1 meta l4proto != icmpv6 @nh,192,16 & 0xffc0 != 0xfe80 accept # usual: ip6 from its own address
  ether type { vlan, 8021ad } counter drop
  ether saddr != { 0a:00:00:00:00:01 } ether type { ip, ip6 } ether daddr & 01:00:00:00:00:00 != 01:00:00:00:00:00 limit rate 5/second burst 5 packets log prefix "sluice:guard" group 100 snaplen 128
  ether saddr != { 0a:00:00:00:00:01 } counter drop
  arp htype 1 arp plen 4 arp saddr ether { 0a:00:00:00:00:01 } arp saddr ip { 0.0.0.0, 10.0.0.1 } accept
  ip saddr { 10.0.0.1 } accept
  icmpv6 type { nd-router-advert, nd-redirect } limit rate 5/second burst 5 packets log prefix "sluice:guard" group 100 snaplen 128
  icmpv6 type { nd-router-advert, nd-redirect } counter drop
  ip6 saddr { fd00::1, fe80::1234, fe80::800:ff:fe00:1 } ip6 hoplimit 255 icmpv6 type nd-neighbor-advert @th,64,128 { 0xfd000000000000000000000000000001, 0xfe800000000000000000000000001234, 0xfe80000000000000080000fffe000001 } accept
  icmpv6 type nd-neighbor-advert limit rate 5/second burst 5 packets log prefix "sluice:guard" group 100 snaplen 128
  icmpv6 type nd-neighbor-advert counter drop
  ip6 saddr { fd00::1, fe80::1234, fe80::800:ff:fe00:1 } ip6 hoplimit 255 icmpv6 type { nd-neighbor-solicit, nd-router-solicit } accept
  ip6 saddr :: ip6 hoplimit 255 icmpv6 type nd-neighbor-solicit @th,64,128 { 0xfd000000000000000000000000000001, 0xfe800000000000000000000000001234, 0xfe80000000000000080000fffe000001 } accept
  ip6 saddr :: ip6 hoplimit 255 icmpv6 type nd-router-solicit accept
  icmpv6 type { nd-neighbor-solicit, nd-router-solicit } counter drop
  ip6 daddr fe80::/10 counter drop
  ip6 saddr { fd00::1 } accept
  ip6 saddr { ::, fe80::1234, fe80::800:ff:fe00:1 } ip6 hoplimit 1 icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } accept
  ether type { ip, ip6 } ether daddr & 01:00:00:00:00:00 != 01:00:00:00:00:00 limit rate 5/second burst 5 packets log prefix "sluice:guard" group 100 snaplen 128
  counter drop
`

func TestGuards(t *testing.T) {
	b := newBench(t, testConfig())
	b.x.SetPod(b.pod("db", "here", "db", "10.0.0.1", "fd00::1"))
	v6 := netip.MustParseAddr("fd00::1")
	bind := b.links.Binds[v6]
	bind.LinkLocal = addrs("fe80::1234%eth0", "10.9.9.9")
	b.links.Binds[v6] = bind

	step := func(name, want string) {
		t.Helper()
		p := b.update()
		got := ""
		for _, g := range p.Guards {
			got += guardText(t, g)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s:\n%s", name, diff)
		}
	}
	step("a Pod comes", guardOfDual)
	step("nothing changes", "")
	b.x.SetPolicy(ingress("db", "db"))
	step("it is isolated", "")
	if all := b.c.Guards(); len(all) != 1 || len(all[0].Chains) != 1 || guardText(t, all[0]) != guardOfDual {
		t.Errorf("Guards returns %+v", all)
	}
	b.x.SetPod(b.pod("web", "there", "web", "10.0.9.1"))
	step("a Pod comes elsewhere", "")
	unknown := b.links.Binds[v6]
	for a, bind := range b.links.Binds {
		bind.MAC = ""
		b.links.Binds[a] = bind
	}
	step("its hardware address is not known", "no ingress\n")
	b.links.Binds[v6] = unknown
	step("that of one address is", strings.NewReplacer(
		"  ip saddr 10.0.0.1 accept # usual: ip from its own address\n", "",
		"  ip saddr { 10.0.0.1 } accept\n", "",
		"  arp htype 1 arp plen 4 arp saddr ether { 0a:00:00:00:00:01 } arp saddr ip { 0.0.0.0, 10.0.0.1 } accept\n", "",
	).Replace(guardOfDual))
	b.x.DeletePod(shopName("db"))
	step("it goes", "no ingress\n")
	if all := b.c.Guards(); len(all) != 0 {
		t.Errorf("Guards returns %+v", all)
	}
}

// TestGuardHasALimit: a Pod may give itself any number of link-local addresses.
func TestGuardHasALimit(t *testing.T) {
	b := newBench(t, testConfig())
	b.x.SetPod(b.pod("db", "here", "db", "fd00::1"))
	a := netip.MustParseAddr("fd00::1")
	bind := b.links.Binds[a]
	for i := range 3000 {
		bind.LinkLocal = append(bind.LinkLocal, netip.MustParseAddr(fmt.Sprintf("fe80::1:%x", i+1)))
	}
	for _, port := range []int{0, 7} {
		bind.Port = port
		b.links.Binds[a] = bind
		p := b.update()
		sources := 0
		for _, op := range slices.Concat(p.Ports, p.Opens) {
			if e, ok := op.Object.(*SetElement); ok && e.Set.Name == linkSourcesSet {
				sources++
			}
		}
		if port == 0 {
			_, rule, _ := strings.Cut(guardText(t, p.Guards[0]), "ip6 saddr { fd00::1")
			rule, _, _ = strings.Cut(rule, "}")
			sources = strings.Count(rule, "fe80::") + 1
		}
		if sources != maxLinkLocal+1 {
			t.Errorf("port %d: it may speak from %d addresses", port, sources)
		}
	}
}

// TestGuardOptOut: a Pod can only do without a guard where the operator lets
// it.
func TestGuardOptOut(t *testing.T) {
	for _, honoured := range []bool{false, true} {
		cfg := testConfig()
		cfg.GuardOptOut = honoured
		b := newBench(t, cfg)
		p := b.pod("router", "here", "router", "10.0.0.1")
		p.Unguarded = true
		b.x.SetPod(p)
		if got := len(b.update().Guards) == 0; got != honoured {
			t.Errorf("GuardOptOut %t: unguarded %t", honoured, got)
		}
	}
}

func TestParseMAC(t *testing.T) {
	for text, want := range map[string]bool{
		"0a:00:00:00:00:01": true, "FF:ff:0F:00:00:01": true,
		"": false, "0a:00:00:00:00": false, "0a:00:00:00:00:01:02": false, "0a:00:00:00:00:1": false,
		"0a:00:00:00:00:0g": false, "0a-00-00-00-00-01": false, "0a00:00:00:00::01": false, "} accept #:a:b:c:d:e": false,
	} {
		if _, err := parseMAC(text); (err == nil) != want {
			t.Errorf("parseMAC(%q): %v", text, err)
		}
	}
}
