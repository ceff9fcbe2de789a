package connectivity

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/policy"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// The whole space is there, each address once.
func TestCut(t *testing.T) {
	var got []string
	for _, r := range cut(prefixes("10.0.0.0/8", "10.1.0.0/16", "255.255.255.255/32", "::/128", "ffff::/16", "0.0.0.0/0")) {
		got = append(got, r.String())
	}
	want := []string{
		"0.0.0.0-9.255.255.255", "10.0.0.0/16", "10.1.0.0/16", "10.2.0.0-10.255.255.255", "11.0.0.0-255.255.255.254", "255.255.255.255/32",
		"::/128", "::1-::ffff:255.255.255.255", "::1:0:0:0-fffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff::/16",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Addresses that no block tells apart are one class, wherever they lie.
func TestClasses(t *testing.T) {
	blocks := []policy.IPBlock{
		{CIDR: netip.MustParsePrefix("10.0.0.0/8"), Except: prefixes("10.1.0.0/16")},
		{CIDR: netip.MustParsePrefix("192.168.0.0/16")},
	}
	all := prefixes("10.0.0.0/8", "10.1.0.0/16", "192.168.0.0/16", "172.16.0.0/12")
	s := newSpace(cut(all), blocks, prefixes("172.16.0.0/12"), nil)
	var got [][]string
	for _, c := range s.classes {
		var ranges []string
		for _, r := range join(c.ranges) {
			ranges = append(ranges, r.String())
		}
		got = append(got, ranges)
	}
	want := [][]string{
		{"0.0.0.0-9.255.255.255", "10.1.0.0/16", "11.0.0.0-172.15.255.255", "172.32.0.0-192.167.255.255", "192.169.0.0-255.255.255.255"},
		{"10.0.0.0/16", "10.2.0.0-10.255.255.255"},
		{"172.16.0.0/12"},
		{"192.168.0.0/16"},
		{"::/0"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for addr, class := range map[string]int{"10.0.0.1": 1, "10.1.2.3": 0, "172.20.0.1": 2, "192.168.255.255": 3, "2001:db8::1": 4} {
		if got := s.at(netip.MustParseAddr(addr)); got != class {
			t.Errorf("%s is in class %d, not %d", addr, got, class)
		}
	}
	if !s.blocks[0].has(1) || s.blocks[0].has(0) || s.blocks[0].has(2) || !s.blocks[1].has(3) {
		t.Errorf("blocks hold %v", s.blocks)
	}
}

// What both ends say is taken together for each family; a family that differs
// is something that it depends on.
func TestAnswersTogether(t *testing.T) {
	a := netip.MustParseAddr("10.0.0.1")
	for _, c := range []struct {
		egress, ingress state
		want            families
		together        Answer
	}{
		{state{by: families{Allowed, Allowed}}, state{by: families{Allowed, Allowed}}, families{Allowed, Allowed}, Allowed},
		{state{by: families{Allowed, Denied}}, state{by: families{Denied, Allowed}}, families{Denied, Denied}, Denied},
		{state{by: families{Allowed, Denied}}, state{by: families{Allowed, Allowed}}, families{Allowed, Denied}, Depends},
		{state{by: families{Allowed, Absent}}, state{by: families{Allowed, Denied}}, families{Allowed, Absent}, Allowed},
		{state{by: families{Allowed, Absent}}, state{by: families{Absent, Allowed}}, families{Absent, Absent}, Denied},
		{state{by: families{Depends, Denied}}, state{by: families{Allowed, Allowed}}, families{Depends, Denied}, Depends},
		{state{by: families{Depends, Depends}}, state{by: families{Denied, Depends}}, families{Denied, Depends}, Depends},
		{
			state{by: families{Depends, Denied}, only: [2]netip.Addr{a}}, state{by: families{Depends, Denied}, only: [2]netip.Addr{a}},
			families{Denied, Denied}, Denied, // no two Pods have one address
		},
		{
			state{by: families{Depends, Denied}, only: [2]netip.Addr{a}}, state{by: families{Depends, Denied}, only: [2]netip.Addr{a.Next()}},
			families{Depends, Denied}, Depends,
		},
	} {
		got := c.egress.and(&c.ingress)
		if got != c.want || got.together() != c.together {
			t.Errorf("%v and %v are %v, %s; want %v, %s", c.egress, c.ingress, got, got.together(), c.want, c.together)
		}
	}
}
