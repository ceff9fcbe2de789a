//go:build linux

package nflog

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func be64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
func be32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
func be16(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }

func concat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// told is a message about a packet as the kernel writes it, without the netlink header.
func told(attrs ...[]byte) []byte {
	return append([]byte{unix.AF_INET, 0, 0, 77}, concat(attrs...)...)
}

var (
	prefixAttr  = wrap(attrPrefix, []byte("sluice:ingress\x00"))
	payloadAttr = wrap(attrPayload, []byte{0x45, 1, 2, 3, 4})
	ctAttr      = wrap(unix.NLA_F_NESTED|attrCt, concat(
		wrap(7, be32(1)),
		wrap(unix.NLA_F_NESTED|ctTupleOrig, concat(
			wrap(unix.NLA_F_NESTED|ctTupleIP, concat(wrap(1, []byte{10, 0, 0, 1}), wrap(ctIPv4Dst, []byte{10, 96, 0, 1}))),
			wrap(unix.NLA_F_NESTED|ctTupleProto, concat(wrap(1, []byte{6}), wrap(2, be16(40000)), wrap(ctProtoDstPort, be16(80)))),
		))))
)

func TestParsePacket(t *testing.T) {
	when := time.Date(2026, 11, 29, 12, 0, 0, 123_456_000, time.UTC)
	l, ok := parsePacket(told(prefixAttr, payloadAttr, ctAttr,
		wrap(attrTimestamp, concat(be64(uint64(when.Unix())), be64(123_456))), wrap(attrSeq, be32(9)), wrap(99, []byte("later kernels"))))
	if !ok || string(l.Prefix) != "sluice:ingress" || !bytes.Equal(l.Payload, []byte{0x45, 1, 2, 3, 4}) || !l.Time.Equal(when) || l.seq != 9 || !l.numbered {
		t.Errorf("%v %+v", ok, l)
	}
	if l.Original != netip.MustParseAddrPort("10.96.0.1:80") {
		t.Errorf("opened to %v", l.Original)
	}
	v6 := netip.MustParseAddr("fd00::96")
	l, ok = parsePacket(told(payloadAttr, wrap(attrCt, wrap(ctTupleOrig, wrap(ctTupleIP, wrap(ctIPv6Dst, v6.AsSlice()))))))
	if !ok || l.Original != netip.AddrPortFrom(v6, 0) || !l.Time.IsZero() || l.numbered {
		t.Errorf("%v %+v", ok, l)
	}
	for name, b := range map[string][]byte{"nothing": nil, "a header": told(), "no packet": told(prefixAttr), "a length beyond the end": told([]byte{200, 0, attrPayload, 0, 1})} {
		if l, ok := parsePacket(b); ok {
			t.Errorf("%s is read as %+v", name, l)
		}
	}
	if l, _ := parsePacket(told(payloadAttr, wrap(attrTimestamp, concat(be64(1), be64(1_000_000))), wrap(attrSeq, []byte{1}))); !l.Time.IsZero() || l.numbered {
		t.Errorf("a time that is none: %+v", l)
	}
}

func FuzzParsePacket(f *testing.F) {
	f.Add(told(prefixAttr, payloadAttr, ctAttr, wrap(attrSeq, be32(9))))
	f.Add(told())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		l, ok := parsePacket(b)
		if ok && (len(l.Payload) > len(b) || len(l.Prefix) > len(b)) {
			t.Fatalf("%+v of %d bytes", l, len(b))
		}
		counted(b)
		for m := range messages(b) {
			if len(m.payload) > len(b) {
				t.Fatal("a message is longer than what it is in")
			}
		}
	})
}

func TestMessages(t *testing.T) {
	one := newRequest(packetKind, 0, 5, unix.AF_INET, 77)
	one.attr(attrPrefix, []byte("abc"))
	b := append(bytes.Clone(one.bytes()), newRequest(configKind, unix.NLM_F_ACK, 6, 0, 1).bytes()...)
	var kinds []uint16
	for m := range messages(append(b, 1, 2, 3)) {
		kinds = append(kinds, m.kind)
		if m.seq != 4+uint32(len(kinds)) {
			t.Errorf("message %d has the number %d", len(kinds), m.seq)
		}
	}
	if len(kinds) != 2 || kinds[0] != packetKind || kinds[1] != configKind {
		t.Errorf("messages %v", kinds)
	}
}

// What is missing between two numbers was lost, and nothing else.
func TestLost(t *testing.T) {
	var lost uint64
	c := counter{lost: func(n uint64) { lost += n }}
	for _, seq := range []uint32{100, 101, 105, 106, 1<<32 - 1, 0, 1} {
		c.packet(&logged{seq: seq, numbered: true})
		if seq == 106 {
			if lost != 3 {
				t.Errorf("%d lost between 101 and 105", lost)
			}
			c.next = 1<<32 - 1 // as if the numbers had gone on until they wrap around
		}
	}
	if lost != 3 {
		t.Errorf("%d lost where the numbers wrap around", lost)
	}
	c.packet(&logged{seq: 0, numbered: true})
	if lost != 3 {
		t.Errorf("%d lost after a step back", lost)
	}
	c = counter{lost: func(n uint64) { lost += n }}
	c.overrun()
	c.packet(&logged{})
	c.packet(&logged{})
	if lost != 4 {
		t.Errorf("%d lost, without numbers an overrun counts as one", lost)
	}
}

func TestCounted(t *testing.T) {
	expr := concat(wrap(unix.NFTA_EXPR_NAME, []byte("counter\x00")),
		wrap(unix.NLA_F_NESTED|unix.NFTA_EXPR_DATA, concat(wrap(1, be64(60)), wrap(unix.NFTA_COUNTER_PACKETS, be64(41)))))
	limit := wrap(unix.NFTA_EXPR_NAME, []byte("limit\x00"))
	list := func(elem []byte) []byte {
		return wrap(unix.NLA_F_NESTED|unix.NFTA_SET_ELEM_LIST_ELEMENTS, wrap(unix.NLA_F_NESTED|unix.NFTA_LIST_ELEM, elem))
	}
	for name, c := range map[string]struct {
		in   []byte
		want uint64
	}{
		"one":     {list(wrap(unix.NLA_F_NESTED|unix.NFTA_SET_ELEM_EXPR, expr)), 41},
		"several": {list(wrap(unix.NLA_F_NESTED|setElemExpressions, concat(wrap(unix.NFTA_LIST_ELEM, limit), wrap(unix.NFTA_LIST_ELEM, expr)))), 41},
		"another": {list(wrap(unix.NLA_F_NESTED|unix.NFTA_SET_ELEM_EXPR, limit)), 0},
		"none":    {list(nil), 0},
		"nothing": {nil, 0},
	} {
		if got := counted(c.in); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
