package denials

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/sluice-net/sluice/policy"
)

// packet4 is an IPv4 packet with options of so many words.
func packet4(src, dst string, protocol policy.Protocol, options int, fragmentField uint16, rest ...byte) []byte {
	b := make([]byte, 20+4*options)
	b[0] = 0x45 + byte(options)
	binary.BigEndian.PutUint16(b[6:], fragmentField)
	b[9] = byte(protocol)
	copy(b[12:], netip.MustParseAddr(src).AsSlice())
	copy(b[16:], netip.MustParseAddr(dst).AsSlice())
	return slices.Concat(b, rest)
}

// packet6 is an IPv6 packet whose first header after its own is next.
func packet6(src, dst string, next byte, rest ...byte) []byte {
	b := make([]byte, 40)
	b[0], b[6] = 0x60, next
	copy(b[8:], netip.MustParseAddr(src).AsSlice())
	copy(b[24:], netip.MustParseAddr(dst).AsSlice())
	return slices.Concat(b, rest)
}

// ports are the first bytes of TCP, UDP and SCTP.
func ports(src, dst uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, src), dst)
}

var packets = []struct {
	name string
	in   []byte
	want Packet
	err  string
}{
	{name: "TCP", in: packet4("10.0.0.1", "10.0.0.2", policy.TCP, 0, 0, ports(40000, 5432)...),
		want: Packet{Src: addr4(1), Dst: addr4(2), Protocol: policy.TCP, SrcPort: 40000, DstPort: 5432, HasPorts: true}},
	{name: "UDP behind options", in: packet4("10.0.0.1", "10.0.0.2", policy.UDP, 10, 0, ports(1, 65535)...),
		want: Packet{Src: addr4(1), Dst: addr4(2), Protocol: policy.UDP, SrcPort: 1, DstPort: 65535, HasPorts: true}},
	{name: "first fragment", in: packet4("10.0.0.1", "10.0.0.2", policy.UDP, 0, 0x2000, ports(7, 8)...),
		want: Packet{Src: addr4(1), Dst: addr4(2), Protocol: policy.UDP, SrcPort: 7, DstPort: 8, HasPorts: true}},
	{name: "later fragment", in: packet4("10.0.0.1", "10.0.0.2", policy.UDP, 0, 0x2001, ports(7, 8)...),
		want: Packet{Src: addr4(1), Dst: addr4(2), Protocol: policy.UDP, Fragment: true}},
	{name: "ping", in: packet4("10.0.0.1", "10.0.0.2", policy.ICMP, 0, 0, 8, 0, 1, 2),
		want: Packet{Src: addr4(1), Dst: addr4(2), Protocol: policy.ICMP, Type: 8, HasType: true}},
	{name: "GRE", in: packet4("10.0.0.1", "10.0.0.2", 47, 0, 0, 1, 2, 3, 4),
		want: Packet{Src: addr4(1), Dst: addr4(2), Protocol: 47}},
	{name: "cut before the ports", in: packet4("10.0.0.1", "10.0.0.2", policy.TCP, 0, 0, 1, 2, 3),
		want: Packet{Src: addr4(1), Dst: addr4(2), Protocol: policy.TCP, Cut: true}},
	{name: "options beyond the end", in: packet4("10.0.0.1", "10.0.0.2", policy.TCP, 10, 0)[:30],
		want: Packet{Src: addr4(1), Dst: addr4(2), Protocol: policy.TCP, Cut: true}},
	{name: "SCTP over IPv6", in: packet6("fd00::1", "fd00::2", 132, ports(9, 10)...),
		want: Packet{Src: addr6(1), Dst: addr6(2), Protocol: policy.SCTP, SrcPort: 9, DstPort: 10, HasPorts: true}},
	{name: "hop-by-hop, routing, options, authentication", want: Packet{Src: addr6(1), Dst: addr6(2), Protocol: policy.TCP, SrcPort: 9, DstPort: 10, HasPorts: true},
		in: packet6("fd00::1", "fd00::2", hopByHop, join(
			header(routing, 0), header(destOptions, 1), header(authHeader, 0), []byte{6, 4, 0, 0, 0, 0, 0, 0}, make([]byte, 16), ports(9, 10))...)},
	{name: "first fragment of IPv6", in: packet6("fd00::1", "fd00::2", fragment, join([]byte{17, 0, 0, 1, 0, 0, 0, 9}, ports(3, 4))...),
		want: Packet{Src: addr6(1), Dst: addr6(2), Protocol: policy.UDP, SrcPort: 3, DstPort: 4, HasPorts: true}},
	{name: "later fragment of IPv6", in: packet6("fd00::1", "fd00::2", fragment, join([]byte{17, 0, 0, 9, 0, 0, 0, 9}, ports(3, 4))...),
		want: Packet{Src: addr6(1), Dst: addr6(2), Protocol: policy.UDP, Fragment: true}},
	{name: "extension beyond the end", in: packet6("fd00::1", "fd00::2", destOptions, header(6, 200)...),
		want: Packet{Src: addr6(1), Dst: addr6(2), Protocol: policy.TCP, Cut: true}},
	{name: "cut in an extension", in: packet6("fd00::1", "fd00::2", destOptions, 6, 0),
		want: Packet{Src: addr6(1), Dst: addr6(2), Protocol: destOptions, Cut: true}},
	{name: "too many extensions", in: packet6("fd00::1", "fd00::2", destOptions, bytes.Repeat(header(destOptions, 0), 9)...),
		want: Packet{Src: addr6(1), Dst: addr6(2), Protocol: destOptions, Cut: true}},
	{name: "no next header", in: packet6("fd00::1", "fd00::2", 59), want: Packet{Src: addr6(1), Dst: addr6(2), Protocol: 59}},
	{name: "neighbour solicitation", in: packet6("fd00::1", "fd00::2", 58, 135, 0),
		want: Packet{Src: addr6(1), Dst: addr6(2), Protocol: policy.ICMPv6, Type: 135, HasType: true}},
	{name: "empty", err: "it is empty"},
	{name: "ARP", in: []byte{0, 1, 8, 0, 6, 4, 0, 1}, err: "no IP packet"},
	{name: "short IPv4", in: packet4("10.0.0.1", "10.0.0.2", policy.TCP, 0, 0)[:19], err: "19 bytes are no IPv4 header"},
	{name: "header of four bytes", in: append([]byte{0x41}, make([]byte, 30)...), err: "an IPv4 header of 4 bytes is too short"},
	{name: "short IPv6", in: packet6("fd00::1", "fd00::2", 6)[:39], err: "39 bytes are no IPv6 header"},
}

// header is an extension header of so many eight bytes beyond the first.
func header(next byte, more int) []byte {
	b := make([]byte, 8+8*min(more, 8))
	b[0], b[1] = next, byte(more)
	return b
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// networkPolicy reads a policy's spec.
func networkPolicy(t testing.TB, name, spec string) *networkingv1.NetworkPolicy {
	t.Helper()
	np := &networkingv1.NetworkPolicy{}
	np.Namespace, np.Name, _ = strings.Cut(name, "/")
	if err := yaml.UnmarshalStrict([]byte(spec), &np.Spec); err != nil {
		t.Fatal(err)
	}
	return np
}

func addr4(n byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, n}) }
func addr6(n byte) netip.Addr { return netip.AddrFrom16([16]byte{0: 0xfd, 15: n}) }

func TestParsePacket(t *testing.T) {
	for _, c := range packets {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParsePacket(c.in)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Who sends a denied packet is a stranger: no bytes make it fail otherwise than by an
// error, and what it finds is in the bytes.
func FuzzParsePacket(f *testing.F) {
	for _, c := range packets {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePacket(b)
		if err != nil {
			return
		}
		if !p.Src.IsValid() || p.Src.Is4() != p.Dst.Is4() || p.Src.Is4() != (b[0]>>4 == 4) {
			t.Fatalf("ends %v and %v of a packet that begins with %#x", p.Src, p.Dst, b[0])
		}
		if p.HasPorts && (!p.Protocol.HasPorts() || p.Fragment || p.Cut || !bytes.Contains(b, ports(p.SrcPort, p.DstPort))) {
			t.Fatalf("ports that are not there: %+v", p)
		}
		if p.Src.Is4() && len(b) >= 1 && p.Src.AsSlice()[0] != b[12] {
			t.Fatalf("source %v", p.Src)
		}
	})
}
