package compiler

import (
	"math/bits"
	"net/netip"
	"slices"

	"github.com/sluice-net/sluice/policy"
)

// addrRange is an inclusive range of addresses of one family.
type addrRange struct {
	first, last netip.Addr
}

// rangesOf is the block without its exceptions: sorted, disjoint, with a gap
// between any two.
func rangesOf(b policy.IPBlock) []addrRange {
	first, end := span(b.CIDR)
	if len(b.Except) == 0 {
		return []addrRange{{first, end}}
	}
	except := slices.Clone(b.Except)
	slices.SortFunc(except, func(a, b netip.Prefix) int { return a.Masked().Addr().Compare(b.Masked().Addr()) })
	var out []addrRange
	for _, e := range except {
		if e.Addr().BitLen() != first.BitLen() {
			continue
		}
		from, to := span(e)
		if to.Less(first) || end.Less(from) {
			continue // inside an exception that was wider, or outside the block
		}
		if first.Less(from) {
			out = append(out, addrRange{first, from.Prev()})
		}
		if !to.Less(end) {
			return out
		}
		first = to.Next()
	}
	return append(out, addrRange{first, end})
}

// span is the first and the last address of a prefix.
func span(p netip.Prefix) (first, last netip.Addr) {
	p = p.Masked()
	raw := p.Addr().AsSlice()
	for i := p.Bits(); i < len(raw)*8; i++ {
		raw[i/8] |= 0x80 >> (i % 8)
	}
	last, _ = netip.AddrFromSlice(raw)
	return p.Addr(), last
}

// unite merges ranges of one family into the fewest: sorted, disjoint, never
// adjacent. Interval sets in the kernel take neither overlaps nor duplicates.
func unite(ranges []addrRange) []addrRange {
	if len(ranges) < 2 {
		return ranges
	}
	sorted := slices.SortedFunc(slices.Values(ranges), func(a, b addrRange) int { return a.first.Compare(b.first) })
	var out []addrRange
	for _, r := range sorted {
		if n := len(out) - 1; n >= 0 && touches(out[n].last, r.first) {
			if out[n].last.Less(r.last) {
				out[n].last = r.last
			}
			continue
		}
		out = append(out, r)
	}
	return out
}

// touches reports whether a range that ends at last leaves no gap to one that
// begins at first, not before the other.
func touches(last, first netip.Addr) bool {
	next := last.Next() // the zero Addr past the last of a family
	return !next.IsValid() || !next.Less(first)
}

// everything reports whether the united ranges are the whole family.
func everything(ranges []addrRange) bool {
	return len(ranges) == 1 && ranges[0].first.IsUnspecified() && !ranges[0].last.Next().IsValid()
}

// String is the range as nft writes it: an address, a prefix, or both ends.
func (r addrRange) String() string {
	if r.first == r.last {
		return r.first.String()
	}
	if p, ok := r.prefix(); ok {
		return p.String()
	}
	return r.first.String() + "-" + r.last.String()
}

// match compares a field with the range as nft's text says it: with an address, a
// prefix, or both ends.
func (r addrRange) match(at Field) Term {
	if r.first == r.last {
		return is(at, AddrValue(r.first))
	}
	if p, ok := r.prefix(); ok {
		return within(at, p)
	}
	return Between{Field: at, First: AddrValue(r.first), Last: AddrValue(r.last)}
}

// prefix is the one that is the range.
func (r addrRange) prefix() (netip.Prefix, bool) {
	n := commonBits(r.first, r.last)
	p := netip.PrefixFrom(r.first, n)
	first, last := span(p)
	return p, first == r.first && last == r.last
}

func commonBits(a, b netip.Addr) int {
	x, y := a.AsSlice(), b.AsSlice()
	for i := range x {
		if d := x[i] ^ y[i]; d != 0 {
			return i*8 + bits.LeadingZeros8(d)
		}
	}
	return len(x) * 8
}
