package nlsocket

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Attr is one netlink attribute, of the type without its flags.
type Attr struct {
	Kind  uint16
	Value []byte
	// Raw is the attribute with header and padding, as it came.
	Raw []byte
}

// Attrs splits a run of attributes. A malformed rest is left out.
func Attrs(b []byte) func(yield func(Attr) bool) {
	return func(yield func(Attr) bool) {
		for len(b) >= unix.SizeofRtAttr {
			size := int(binary.NativeEndian.Uint16(b))
			if size < unix.SizeofRtAttr || size > len(b) {
				return
			}
			end := min((size+3)&^3, len(b))
			kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if !yield(Attr{kind, b[unix.SizeofRtAttr:size], b[:end]}) {
				return
			}
			b = b[end:]
		}
	}
}

// AttrMap is a run of attributes by type; of several of one type the last counts.
func AttrMap(b []byte) map[uint16][]byte {
	out := make(map[uint16][]byte, 8)
	for a := range Attrs(b) {
		out[a.Kind] = a.Value
	}
	return out
}

// Nested is the value of the first attribute of a type in a run of them, nil if there
// is none.
func Nested(b []byte, kind uint16) []byte {
	for a := range Attrs(b) {
		if a.Kind == kind {
			return a.Value
		}
	}
	return nil
}

// ZeroEnded is the text of an attribute, without the zero at its end.
func ZeroEnded(b []byte) string { return string(bytes.TrimRight(b, "\x00")) }

// Number is in network byte order, as nftables and conntrack have theirs; 0 if it is
// missing.
func Number(b []byte) uint32 {
	if len(b) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// Int is in the machine's byte order, as rtnetlink has it; 0 if it is missing.
func Int(b []byte) int {
	if len(b) != 4 {
		return 0
	}
	return int(int32(binary.NativeEndian.Uint32(b)))
}
