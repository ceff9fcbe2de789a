package policy

import (
	"net/netip"
	"strings"
	"testing"

	netutils "k8s.io/utils/net"
)

var cidrCases = []struct {
	in   string
	want string // "" where it is refused
	hint string // part of the message of a refusal
}{
	{in: "10.0.0.0/8", want: "10.0.0.0/8"},
	{in: "0.0.0.0/0", want: "0.0.0.0/0"},
	{in: "1.2.3.4/32", want: "1.2.3.4/32"},
	{in: "2001:db8::/64", want: "2001:db8::/64"},
	{in: "::/0", want: "::/0"},
	{in: "::1/128", want: "::1/128"},
	{in: "2001:DB8:0:0::/64", want: "2001:db8::/64"},
	{in: "64:ff9b::10.0.0.0/120", want: "64:ff9b::a00:0/120"},

	// Host bits set.
	{in: "10.1.2.3/8", want: "10.0.0.0/8"},
	{in: "255.255.255.255/0", want: "0.0.0.0/0"},
	{in: "2001:db8::1/64", want: "2001:db8::/64"},
	// Leading zeros: decimal, never octal.
	{in: "010.000.00.0/8", want: "10.0.0.0/8"},
	{in: "192.168.010.0/24", want: "192.168.10.0/24"},
	{in: "000000000192.0.2.0/24", want: "192.0.2.0/24"},
	{in: "10.0.0.0/08", want: "10.0.0.0/8"},
	{in: "00001::/16", want: "1::/16"},
	{in: "::ffff:010.0.0.0/104", want: "10.0.0.0/8"},
	// IPv4-mapped.
	{in: "::ffff:10.0.0.0/104", want: "10.0.0.0/8"},
	{in: "::ffff:10.0.0.1/128", want: "10.0.0.1/32"},
	{in: "::ffff:0:0/96", want: "0.0.0.0/0"},
	{in: "::ffff:10.0.0.0/90", want: "::ffc0:0:0/90"},

	{in: "", hint: "no prefix length"},
	{in: "10.0.0.1", hint: "10.0.0.1/32"},
	{in: "010.0.0.1", hint: "10.0.0.1/32"},
	{in: "2001:db8::1", hint: "2001:db8::1/128"},
	{in: "example.com", hint: "e.g. 10.9.8.0/24"},
	{in: "10.0.0.0/33", hint: "from 0 to 32"},
	{in: "2001:db8::/129", hint: "from 0 to 128"},
	{in: "10.0.0.0/", hint: "from 0 to 32"},
	{in: "10.0.0.0/-1", hint: "from 0 to 32"},
	{in: "10.0.0.0/+8", hint: "from 0 to 32"},
	{in: "10.0.0.0/8/8", hint: "from 0 to 32"},
	{in: "10.0.0.0/99999999999999999999", hint: "from 0 to 32"},
	{in: "10.0.0.0/255.0.0.0", hint: "from 0 to 32"},
	{in: "10.0.0/8", hint: "not an IP address"},
	{in: "10.0.0.256/8", hint: "not an IP address"},
	{in: " 10.0.0.0/8", hint: "not an IP address"},
	{in: "10.0.0.0 /8", hint: "not an IP address"},
	{in: "/8", hint: "not an IP address"},
	{in: "fe80::1%eth0/64", hint: "zone"},
	{in: "fe80::1%eth0", hint: "e.g. 10.9.8.0/24"},
	{in: "12345::/16", hint: "not an IP address"},
}

func TestParseCIDR(t *testing.T) {
	for _, c := range cidrCases {
		t.Run(c.in, func(t *testing.T) {
			got, err := ParseCIDR(c.in)
			if c.want == "" {
				if err == nil {
					t.Fatalf("ParseCIDR(%q) = %s, want an error", c.in, got)
				}
				if !strings.Contains(err.Error(), c.hint) {
					t.Errorf("error %q does not say %q", err, c.hint)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got != netip.MustParsePrefix(c.want) {
				t.Errorf("ParseCIDR(%q) = %s, want %s", c.in, got, c.want)
			}
		})
	}
}

// The parser that the API server uses is the reference: the same strings are
// accepted, and the blocks contain the same addresses.
func FuzzParseCIDR(f *testing.F) {
	for _, c := range cidrCases {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseCIDR(s)
		_, reference, refErr := netutils.ParseCIDRSloppy(s)
		if (err == nil) != (refErr == nil) {
			t.Fatalf("ParseCIDR(%q): %v, the API server's parser: %v", s, err, refErr)
		}
		if err != nil {
			return
		}
		if got != got.Masked() || !got.IsValid() {
			t.Fatalf("ParseCIDR(%q) = %s, which is not masked", s, got)
		}
		again, err := ParseCIDR(got.String())
		if err != nil || again != got {
			t.Fatalf("ParseCIDR(%q) = %s, which reads back as %s, %v", s, got, again, err)
		}
		for _, a := range append(edges(got), netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")) {
			if got.Contains(a) != reference.Contains(a.AsSlice()) {
				t.Fatalf("ParseCIDR(%q) = %s and %s disagree on %s", s, got, reference, a)
			}
		}
	})
}

// edges are the first and last address of p and their neighbours outside,
// without the IPv4-mapped ones: no packet has those.
func edges(p netip.Prefix) []netip.Addr {
	last := p.Addr().AsSlice()
	for i := p.Bits(); i < len(last)*8; i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	end, _ := netip.AddrFromSlice(last)
	var out []netip.Addr
	for _, a := range []netip.Addr{p.Addr(), p.Addr().Prev(), end, end.Next()} {
		if a.IsValid() && !a.Is4In6() {
			out = append(out, a)
		}
	}
	return out
}
