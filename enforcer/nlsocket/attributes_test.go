package nlsocket

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

func TestAttributesAreRead(t *testing.T) {
	inner := nl.NewRtAttr(7, nl.BEUint32Attr(5))
	b := append(nl.NewRtAttr(1, nl.ZeroTerminated("cni0")).Serialize(), nl.NewRtAttr(2|unix.NLA_F_NESTED, inner.Serialize()).Serialize()...)
	b = append(b, nl.NewRtAttr(3|unix.NLA_F_NET_BYTEORDER, nl.Uint32Attr(6)).Serialize()...)
	m := AttrMap(b)
	got := []any{len(m), ZeroEnded(m[1]), Number(Nested(m[2], 7)), Int(m[3]), Nested(m[2], 8) == nil, Number(m[1][:2]), Int(nil)}
	if diff := cmp.Diff([]any{3, "cni0", uint32(5), 6, true, uint32(0), 0}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for a := range Attrs(b) {
		if a.Kind != 1 || len(a.Raw)%4 != 0 || len(a.Raw) < len(a.Value)+4 {
			t.Errorf("first attribute %+v", a)
		}
		break
	}
	// What is malformed is left out, with all behind it.
	b[0] = 200
	if m := AttrMap(b); len(m) != 0 {
		t.Errorf("of a malformed message %d attributes were read", len(m))
	}
}

// FuzzAttrs: whatever a message has in it, it is read to its end, and no attribute
// reaches beyond it.
func FuzzAttrs(f *testing.F) {
	f.Add(nl.NewRtAttr(1, []byte("cni0\x00")).Serialize())
	f.Add([]byte{4, 0, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		read := 0
		for a := range Attrs(b) {
			read += len(a.Raw)
			if read > len(b) || len(a.Value) > len(a.Raw) {
				t.Fatalf("attribute %d reaches beyond the message", a.Kind)
			}
			Number(a.Value)
			Int(a.Value)
			AttrMap(a.Value)
		}
	})
}

// A dump is whole, or an error: one that was interrupted begins anew.
func TestDumpsAreRepeatedUntilTheyAreWhole(t *testing.T) {
	boom := errors.New("boom")
	for _, tt := range []struct {
		name  string
		fails int
		with  error
		tries int
		want  error
	}{
		{"whole", 0, nil, 1, nil},
		{"interrupted", 2, netlink.ErrDumpInterrupted, 3, nil},
		{"overrun", 1, unix.ENOBUFS, 2, nil},
		{"interrupted for ever", 100, netlink.ErrDumpInterrupted, DumpTries, netlink.ErrDumpInterrupted},
		{"failed", 100, boom, 1, boom},
	} {
		tries := 0
		err := DumpWhole(func() error {
			if tries++; tries <= tt.fails {
				return tt.with
			}
			return nil
		})
		if tries != tt.tries || !errors.Is(err, tt.want) {
			t.Errorf("%s: %d tries, %v", tt.name, tries, err)
		}
	}
}
