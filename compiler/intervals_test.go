package compiler

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/policy"
)

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func block(cidr string, except ...string) policy.IPBlock {
	b := policy.IPBlock{CIDR: netip.MustParsePrefix(cidr)}
	for _, e := range except {
		b.Except = append(b.Except, netip.MustParsePrefix(e))
	}
	return b
}

func show(ranges []addrRange) string {
	var out []string
	for _, r := range ranges {
		out = append(out, r.String())
	}
	return strings.Join(out, " ")
}

func TestIntervals(t *testing.T) {
	for _, c := range []struct {
		name   string
		blocks []policy.IPBlock
		want   string
	}{
		{"one prefix", []policy.IPBlock{block("10.0.0.0/8")}, "10.0.0.0/8"},
		{"one address", []policy.IPBlock{block("10.0.0.1/32")}, "10.0.0.1"},
		{"halves", []policy.IPBlock{block("10.0.0.0/9"), block("10.128.0.0/9")}, "10.0.0.0/8"},
		{"adjacent", []policy.IPBlock{block("10.0.0.0/24"), block("10.0.1.0/24"), block("10.0.2.0/24")}, "10.0.0.0-10.0.2.255"},
		{"inside", []policy.IPBlock{block("10.0.0.0/8"), block("10.1.0.0/16")}, "10.0.0.0/8"},
		{"twice", []policy.IPBlock{block("10.0.0.0/8"), block("10.0.0.0/8")}, "10.0.0.0/8"},
		{"apart", []policy.IPBlock{block("11.0.0.0/8"), block("9.0.0.0/8")}, "9.0.0.0/8 11.0.0.0/8"},
		{"except in the middle", []policy.IPBlock{block("10.0.0.0/8", "10.1.0.0/16")}, "10.0.0.0/16 10.2.0.0-10.255.255.255"},
		{"except at the start", []policy.IPBlock{block("10.0.0.0/24", "10.0.0.0/25")}, "10.0.0.128/25"},
		{"except at the end", []policy.IPBlock{block("10.0.0.0/24", "10.0.0.128/25")}, "10.0.0.0/25"},
		{"all excepted", []policy.IPBlock{block("10.0.0.0/24", "10.0.0.0/25", "10.0.0.128/25")}, ""},
		{"except inside except", []policy.IPBlock{block("10.0.0.0/24", "10.0.0.0/26", "10.0.0.0/25")}, "10.0.0.128/25"},
		{"except twice", []policy.IPBlock{block("10.0.0.0/24", "10.0.0.0/25", "10.0.0.0/25")}, "10.0.0.128/25"},
		{"except is of its own block only", []policy.IPBlock{block("10.0.0.0/8", "10.1.0.0/16"), block("10.1.2.0/24")}, "10.0.0.0/16 10.1.2.0/24 10.2.0.0-10.255.255.255"},
		{"everything", []policy.IPBlock{block("0.0.0.0/0")}, "0.0.0.0/0"},
		{"everything but one", []policy.IPBlock{block("0.0.0.0/0", "255.255.255.255/32")}, "0.0.0.0-255.255.255.254"},
		{"everything but the first", []policy.IPBlock{block("0.0.0.0/0", "0.0.0.0/32")}, "0.0.0.1-255.255.255.255"},
		{"IPv6", []policy.IPBlock{block("fd00::/8", "fd01::/16")}, "fd00::/16 fd02::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"IPv6 everything", []policy.IPBlock{block("::/1"), block("8000::/1")}, "::/0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var all []addrRange
			for _, b := range c.blocks {
				all = append(all, rangesOf(b)...)
			}
			got := unite(all)
			if show(got) != c.want {
				t.Errorf("got %q, want %q", show(got), c.want)
			}
			if want := strings.HasSuffix(c.want, "/0"); everything(got) != want {
				t.Errorf("everything: %t, want %t", !want, want)
			}
		})
	}
}

// TestIntervalsContainWhatBlocksDo compares with the definition, and with what
// the kernel demands of an interval set.
func TestIntervalsContainWhatBlocksDo(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for round := range 2000 {
		base := netip.MustParseAddr([]string{"10.0.0.0", "255.255.255.0", "0.0.0.0", "fd00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff00"}[r.IntN(5)])
		random := func(from int) netip.Prefix {
			raw := base.AsSlice()
			raw[len(raw)-1] = byte(r.IntN(256))
			a, _ := netip.AddrFromSlice(raw)
			return netip.PrefixFrom(a, base.BitLen()-r.IntN(9-from)).Masked()
		}
		var blocks []policy.IPBlock
		var all []addrRange
		for range 1 + r.IntN(5) {
			b := policy.IPBlock{CIDR: random(0)}
			for range r.IntN(4) {
				if e := random(1); b.CIDR.Contains(e.Addr()) && e.Bits() > b.CIDR.Bits() {
					b.Except = append(b.Except, e)
				}
			}
			blocks = append(blocks, b)
			all = append(all, rangesOf(b)...)
		}
		got := unite(all)
		for i := 1; i < len(got); i++ {
			if !got[i-1].last.Next().Less(got[i].first) {
				t.Fatalf("round %d: %s is not canonical", round, show(got))
			}
		}
		a := base
		for range 256 {
			want, is := false, false
			for _, b := range blocks {
				want = want || b.Contains(a)
			}
			for _, g := range got {
				is = is || !a.Less(g.first) && !g.last.Less(a)
			}
			if is != want {
				t.Fatalf("round %d: %s of %v in %s: %t, want %t", round, a, blocks, show(got), is, want)
			}
			if a = a.Next(); !a.IsValid() {
				break
			}
		}
	}
}
