package compiler

import (
	"net/netip"
	"slices"
	"testing"
)

// Terms are compared as values: one that cannot be would end the agent.
func TestRulesAreComparedByContent(t *testing.T) {
	c, err := New(Config{Mark: MarkLayout{Mask: DefaultMask}, Reject: true, NodeDNS: addrs("169.254.20.10")})
	if err != nil {
		t.Fatal(err)
	}
	c.SetEpoch(1, false)
	chains := slices.Concat(c.Ruleset().Chains, c.PortGuards().Chains)
	n := 0
	for _, a := range chains {
		for _, b := range chains {
			for i := range a.Rules {
				for k := range b.Rules {
					same := a.Rules[i].String() == b.Rules[k].String() && a.Rules[i].Comment == b.Rules[k].Comment
					if a.Rules[i].Equal(b.Rules[k]) != same {
						t.Errorf("%s and %s: equal %t", a.Rules[i], b.Rules[k], !same)
					}
					n++
				}
			}
		}
	}
	if n < 1000 {
		t.Errorf("%d comparisons", n)
	}
}

func TestRuleSaysWhatItRefersTo(t *testing.T) {
	for _, tc := range []struct {
		rule Rule
		want []string
	}{
		{rule(Accept{}), nil},
		{rule(isNumber(L4Protocol, 6), in("peers", IPSource), CountNamed{"counter"}, Goto{"chain"}), []string{"peers", "counter", "chain"}},
		{rule(vmap("map", IPSource)), []string{"map"}},
		{rule(CountMapped{concat(IPSource), "denied"}, Remember{Key: concat(IPSource), Set: "seen"}, Jump{"chain"}), []string{"denied", "seen", "chain"}},
	} {
		var got []string
		tc.rule.Refers(func(name string) bool { got = append(got, name); return false })
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s refers to %q", tc.rule, got)
		}
		for _, name := range tc.want {
			if !tc.rule.Refers(func(n string) bool { return n == name }) {
				t.Errorf("%s does not refer to %s", tc.rule, name)
			}
		}
	}
}

// Values have their texts, whatever a kernel was found to hold.
func TestKeysHaveTexts(t *testing.T) {
	for _, tc := range []struct {
		set  Set
		key  Key
		want string
	}{
		{Set{Key: keyType(IPv4Addr)}, addrKey(netip.MustParseAddr("10.0.0.1")), "10.0.0.1"},
		{Set{Key: keyType(IfName, IPv6Addr)}, interfaceKey("veth1") + addrKey(netip.MustParseAddr("fd00::1")), `"veth1" . fd00::1`},
		{Set{Key: keyType(IfIndex, EtherAddr)}, indexKey(258) + "\x0a\x00\x00\x00\x00\xff", "258 . 0a:00:00:00:00:ff"},
		{Set{Key: keyType(IfIndex, Integer)}, indexKey(7) + addrKey(netip.MustParseAddr("fe80::1")), "7 . 0xfe800000000000000000000000000001"},
		{Set{Key: keyType(IPv4Addr), Interval: true}, addrRange{netip.MustParseAddr("10.0.0.0"), netip.MustParseAddr("10.255.255.255")}.key(), "10.0.0.0/8"},
		{Set{Key: keyType(InetService, InetProto), Interval: true}, portSpan{protocol: 6, first: 80, last: 90}.key(true), "80-90 . tcp"},
		{Set{Key: keyType(InetService, InetProto), Interval: true}, portSpan{protocol: 17, first: 53, last: 53}.key(true), "53 . udp"},
		{Set{Key: keyType(IPv4Addr)}, "\x0a", ""},
		{Set{Key: keyType(IPv4Addr), Interval: true}, "\x0a\x00\x00\x01", ""},
	} {
		if got := tc.set.KeyText(tc.key); got != tc.want {
			t.Errorf("%s %q: %q, want %q", tc.set.Key, tc.key, got, tc.want)
		}
	}
	for _, key := range []Key{"", "\x00\x00\x00\x07", "\x00\x00\x00\x07\x0a\x00\x00\x00\x00\x01\x0a"} {
		if h, ok := ReadHeld(key); ok {
			t.Errorf("%q is read as %+v", key, h)
		}
	}
	key := indexKey(7) + "\x0a\x00\x00\x00\x00\x01" + addrKey(netip.MustParseAddr("10.0.0.9"))
	if h, ok := ReadHeld(key); !ok || h != (Held{7, "0a:00:00:00:00:01", netip.MustParseAddr("10.0.0.9")}) {
		t.Errorf("%q is read as %+v, %t", key, h, ok)
	}
}
