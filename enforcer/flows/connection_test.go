package flows

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/policy"
)

// attr is an attribute with its header and padding.
func attr(kind uint16, value ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, (4-len(b)%4)%4)...)
}

func nested(kind uint16, parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return attr(kind|unix.NLA_F_NESTED, all...)
}

func tupleOf(kind uint16, src, dst string, proto policy.Protocol, from, to uint16) []byte {
	a, b := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	s, d := uint16(nl.CTA_IP_V4_SRC), uint16(nl.CTA_IP_V4_DST)
	if a.Is6() {
		s, d = nl.CTA_IP_V6_SRC, nl.CTA_IP_V6_DST
	}
	return nested(kind,
		nested(nl.CTA_TUPLE_IP, attr(s, a.AsSlice()...), attr(d, b.AsSlice()...)),
		nested(nl.CTA_TUPLE_PROTO, attr(nl.CTA_PROTO_NUM, byte(proto)),
			attr(nl.CTA_PROTO_SRC_PORT, binary.BigEndian.AppendUint16(nil, from)...),
			attr(nl.CTA_PROTO_DST_PORT, binary.BigEndian.AppendUint16(nil, to)...)))
}

func message(parts ...[]byte) []byte {
	out := []byte{unix.AF_INET, 0, 0, 0}
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func TestParse(t *testing.T) {
	plain := Connection{
		Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"), Protocol: policy.TCP, Port: 80,
		Original: netip.MustParseAddrPort("10.0.0.2:80"),
	}
	translated := plain
	translated.Original, translated.Mark = netip.MustParseAddrPort("10.96.0.1:443"), 0x12
	translated.Port = 8443
	for name, c := range map[string]struct {
		msg  []byte
		want *Connection
	}{
		"a connection": {
			message(tupleOf(nl.CTA_TUPLE_ORIG, "10.0.0.1", "10.0.0.2", policy.TCP, 4000, 80), tupleOf(nl.CTA_TUPLE_REPLY, "10.0.0.2", "10.0.0.1", policy.TCP, 80, 4000)), &plain,
		},
		"to a Service, and masqueraded": {
			message(tupleOf(nl.CTA_TUPLE_ORIG, "10.0.0.1", "10.96.0.1", policy.TCP, 4000, 443), tupleOf(nl.CTA_TUPLE_REPLY, "10.0.0.2", "192.168.0.1", policy.TCP, 8443, 61000), attr(nl.CTA_MARK, 0, 0, 0, 0x12)), &translated,
		},
		"one direction alone":  {message(tupleOf(nl.CTA_TUPLE_ORIG, "10.0.0.1", "10.0.0.2", policy.TCP, 1, 2)), nil},
		"nothing":              {nil, nil},
		"the header alone":     {message(), nil},
		"families that differ": {message(tupleOf(nl.CTA_TUPLE_ORIG, "10.0.0.1", "10.0.0.2", policy.TCP, 1, 2), tupleOf(nl.CTA_TUPLE_REPLY, "fd00::1", "fd00::2", policy.TCP, 2, 1)), nil},
		"protocols that do":    {message(tupleOf(nl.CTA_TUPLE_ORIG, "10.0.0.1", "10.0.0.2", policy.TCP, 1, 2), tupleOf(nl.CTA_TUPLE_REPLY, "10.0.0.2", "10.0.0.1", policy.UDP, 2, 1)), nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := Parse(c.msg)
			if ok != (c.want != nil) {
				t.Fatalf("%v %+v", ok, got)
			}
			if c.want != nil {
				if diff := cmp.Diff(*c.want, got, cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(message(tupleOf(nl.CTA_TUPLE_ORIG, "10.0.0.1", "10.0.0.2", policy.TCP, 4000, 80), tupleOf(nl.CTA_TUPLE_REPLY, "10.0.0.2", "10.0.0.1", policy.TCP, 80, 4000)))
	f.Add(message(tupleOf(nl.CTA_TUPLE_ORIG, "fd00::1", "fd00::2", policy.ICMPv6, 0, 0), tupleOf(nl.CTA_TUPLE_REPLY, "fd00::2", "fd00::1", policy.ICMPv6, 0, 0)))
	f.Fuzz(func(t *testing.T, msg []byte) {
		c, ok := Parse(msg)
		if !ok {
			return
		}
		if !c.Src.IsValid() || !c.Dst.IsValid() || c.Src.Is4() != c.Dst.Is4() || c.Protocol == 0 || !c.Protocol.HasPorts() && c.Port != 0 {
			t.Errorf("%+v", c)
		}
	})
}
