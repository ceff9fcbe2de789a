package suggest

import (
	"net/netip"
	"slices"
)

// mostAlike is how many addresses, or networks, outside stand one by one in a rule.
const mostAlike = 4

// private are the ranges that are nobody's on the internet
// (https://www.iana.org/assignments/iana-ipv4-special-registry and its like for IPv6).
var private = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"),
}

var internet = [2]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}

// block is an ipBlock.
type block struct {
	cidr   netip.Prefix
	except []netip.Prefix
}

// fold makes few blocks of addresses outside; see the package comment.
func fold(addrs []netip.Addr) []block {
	var out []block
	for _, six := range []bool{false, true} {
		var local, public []netip.Addr
		for _, a := range addrs {
			switch {
			case a.Is6() != six:
			case slices.ContainsFunc(private, func(p netip.Prefix) bool { return p.Contains(a) }):
				local = append(local, a)
			default:
				public = append(public, a)
			}
		}
		out = append(out, foldAlike(local, six, false)...)
		out = append(out, foldAlike(public, six, true)...)
	}
	return out
}

func foldAlike(addrs []netip.Addr, six, public bool) []block {
	near, far, whole := 24, 16, 0
	if six {
		near, far, whole = 64, 48, 1
	}
	single := networks(addrs, addrBits(six))
	if len(single) <= mostAlike {
		return blocks(single)
	}
	if close := networks(addrs, near); len(close) <= mostAlike {
		return blocks(close)
	}
	if !public {
		return blocks(networks(addrs, far))
	}
	b := block{cidr: internet[whole]}
	for _, p := range private {
		if p.Addr().Is6() == six {
			b.except = append(b.except, p)
		}
	}
	return []block{b}
}

func addrBits(six bool) int {
	if six {
		return 128
	}
	return 32
}

// networks are those of a length that hold the addresses, each once, sorted.
func networks(addrs []netip.Addr, bits int) []netip.Prefix {
	var out []netip.Prefix
	for _, a := range addrs {
		out = append(out, netip.PrefixFrom(a, bits).Masked())
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	return slices.Compact(out)
}

func blocks(of []netip.Prefix) []block {
	out := make([]block, len(of))
	for i, p := range of {
		out[i].cidr = p
	}
	return out
}
