package policy_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/spectest"
)

// randomBlock is a block of 10.0.0.0/28, or in the same bits of an IPv6 range.
func randomBlock(r *rand.Rand, six bool) policy.IPBlock {
	prefix := func(at, bits int) netip.Prefix {
		if six {
			a := [16]byte{0: 0x20, 1: 0x01, 15: byte(at)}
			return netip.PrefixFrom(netip.AddrFrom16(a), 96+bits).Masked()
		}
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(at)}), bits).Masked()
	}
	b := policy.IPBlock{CIDR: prefix(r.IntN(16), 28+r.IntN(4))}
	for range r.IntN(5) {
		e := prefix(int(b.CIDR.Addr().AsSlice()[b.CIDR.Addr().BitLen()/8-1])+r.IntN(16), 29+r.IntN(4))
		if e.Bits() > b.CIDR.Bits() && b.CIDR.Overlaps(e) {
			b.Except = append(b.Except, e)
		}
	}
	return b
}

// Comparing blocks says the same as trying all addresses on both.
func TestBlocksCompareAsTheirAddressesDo(t *testing.T) {
	covers, empty := 0, 0
	for seed := range uint64(20_000) {
		r := spectest.Seeded(seed)
		six := seed%2 == 1
		b, o := randomBlock(r, six), randomBlock(r, six && seed%50 != 1)
		wantCovers, wantEmpty := true, true
		for _, of := range []policy.IPBlock{b, o} {
			for a := of.CIDR.Addr(); of.CIDR.Contains(a); a = a.Next() {
				wantCovers = wantCovers && (b.Contains(a) || !o.Contains(a))
				wantEmpty = wantEmpty && !b.Contains(a)
			}
		}
		if b.Covers(o) != wantCovers || b.Empty() != wantEmpty {
			t.Fatalf("seed %d: %s and %s: covers %v, empty %v; want %v, %v", seed, b, o, b.Covers(o), b.Empty(), wantCovers, wantEmpty)
		}
		if wantCovers {
			covers++
		}
		if wantEmpty {
			empty++
		}
	}
	if covers < 1000 || empty < 50 {
		t.Errorf("of 20000 cases %d cover and %d are empty: too few to prove anything", covers, empty)
	}
}

func TestBlocksOfEverywhere(t *testing.T) {
	block := func(cidr string, except ...string) policy.IPBlock {
		b, err := policy.NewIPBlock(&networkingv1.IPBlock{CIDR: cidr, Except: except})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if !block("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/2").Empty() || block("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/2").Empty() {
		t.Error("halves and quarters of all addresses")
	}
	if !block("::/0").Covers(block("2001:db8::/32")) || block("::/0").Covers(block("10.0.0.0/8")) || block("0.0.0.0/0").Covers(block("::/0")) {
		t.Error("the families are two worlds")
	}
	if block("0.0.0.0/0", "10.0.0.0/8").Covers(block("10.1.0.0/16")) || !block("0.0.0.0/0", "10.1.0.0/16").Covers(block("10.0.0.0/8", "10.1.0.0/16")) {
		t.Error("exceptions")
	}
	if _, err := policy.NewIPBlock(&networkingv1.IPBlock{CIDR: "10.0.0.0/8", Except: []string{"x"}}); err == nil {
		t.Error("an exception that is no CIDR is read")
	}
}
