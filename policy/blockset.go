package policy

import (
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
)

// NewIPBlock reads an ipBlock as the [Index] does.
func NewIPBlock(b *networkingv1.IPBlock) (IPBlock, error) { return parseIPBlock(b) }

// Empty reports whether the exceptions leave no address.
func (b IPBlock) Empty() bool { return covered(b.CIDR, b.Except) }

// Covers reports whether every address of o is in b.
func (b IPBlock) Covers(o IPBlock) bool {
	// left is what b leaves out of o's range.
	left := outside(o.CIDR, b.CIDR)
	for _, e := range b.Except {
		if e.Overlaps(o.CIDR) {
			left = append(left, smaller(e, o.CIDR))
		}
	}
	return !slices.ContainsFunc(left, func(p netip.Prefix) bool { return !covered(p, o.Except) })
}

// smaller is what two prefixes have in common, if they have anything.
func smaller(p, q netip.Prefix) netip.Prefix {
	if p.Bits() < q.Bits() {
		return q
	}
	return p
}

// outside is what of p is not in q.
func outside(p, q netip.Prefix) []netip.Prefix {
	if !p.Overlaps(q) {
		return []netip.Prefix{p}
	}
	var out []netip.Prefix
	for p.Bits() < q.Bits() {
		low, high := halves(p)
		if low.Contains(q.Addr()) {
			p, out = low, append(out, high)
		} else {
			p, out = high, append(out, low)
		}
	}
	return out
}

// covered reports whether the prefixes of list together have every address of p.
func covered(p netip.Prefix, list []netip.Prefix) bool {
	var inside []netip.Prefix
	for _, q := range list {
		if !q.Overlaps(p) {
			continue
		}
		if q.Bits() <= p.Bits() {
			return true
		}
		inside = append(inside, q)
	}
	// Each step down goes on only with what lies inside, so the work is bounded by
	// the length of the list times the bits of an address.
	if len(inside) == 0 {
		return false
	}
	low, high := halves(p)
	return covered(low, inside) && covered(high, inside)
}

// halves cuts a prefix in two. It must not be a single address.
func halves(p netip.Prefix) (low, high netip.Prefix) {
	bits := p.Bits() + 1
	low = netip.PrefixFrom(p.Addr(), bits)
	bytes := p.Addr().AsSlice()
	bytes[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	addr, _ := netip.AddrFromSlice(bytes)
	return low, netip.PrefixFrom(addr, bits)
}
