package policy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ParseCIDR reads an ipBlock's CIDR as the API server and the components
// around it always did, and returns it masked.
//
// Forms that the API server no longer takes for new objects, but keeps in
// stored ones, are accepted with the meaning they have there: bits set beyond
// the prefix length are cleared (10.1.2.3/8 is 10.0.0.0/8), leading zeros do
// not make a number octal (010.0.0.0/08 is 10.0.0.0/8), and an IPv4-mapped
// IPv6 block of 96 bits or more is the IPv4 block inside it
// (::ffff:10.0.0.0/104 is 10.0.0.0/8).
func ParseCIDR(s string) (netip.Prefix, error) {
	address, length, found := strings.Cut(s, "/")
	if !found {
		return netip.Prefix{}, fmt.Errorf("parse CIDR %q: it has no prefix length, add one%s", s, suggestLength(s))
	}
	addr, err := netip.ParseAddr(withoutLeadingZeros(address))
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("parse CIDR %q: %q is not an IP address, write e.g. 10.9.8.0/24 or 2001:db8::/64", s, address)
	}
	if addr.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("parse CIDR %q: remove the zone %%%s", s, addr.Zone())
	}
	bits, err := strconv.ParseUint(length, 10, 32)
	if err != nil || int(bits) > addr.BitLen() {
		return netip.Prefix{}, fmt.Errorf("parse CIDR %q: the prefix length must be a number from 0 to %d, not %q", s, addr.BitLen(), length)
	}
	if addr.Is4In6() && bits >= 96 {
		addr, bits = addr.Unmap(), bits-96
	}
	return netip.PrefixFrom(addr, int(bits)).Masked(), nil
}

// suggestLength completes a message for a bare address.
func suggestLength(s string) string {
	addr, err := netip.ParseAddr(withoutLeadingZeros(s))
	if err != nil || addr.Zone() != "" {
		return ", e.g. 10.9.8.0/24 or 2001:db8::/64"
	}
	return fmt.Sprintf(" (for this one address: %s/%d)", addr, addr.BitLen())
}

// withoutLeadingZeros strips the zeros before each group of digits, which
// netip refuses and the API server ignores.
func withoutLeadingZeros(address string) string {
	var b strings.Builder
	inGroup := false
	for i := 0; i < len(address); i++ {
		c := address[i]
		if c == '0' && !inGroup && i+1 < len(address) && isHexDigit(address[i+1]) {
			continue
		}
		inGroup = isHexDigit(c)
		b.WriteByte(c)
	}
	return b.String()
}

func isHexDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
