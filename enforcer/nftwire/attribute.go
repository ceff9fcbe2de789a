package nftwire

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// attr is one netlink attribute, of the type without its flags.
type attr struct {
	kind  uint16
	value []byte
}

// attrs splits a run of attributes. A malformed rest is left out.
func attrs(b []byte) func(yield func(attr) bool) {
	return func(yield func(attr) bool) {
		for len(b) >= unix.SizeofRtAttr {
			size := int(binary.NativeEndian.Uint16(b))
			if size < unix.SizeofRtAttr || size > len(b) {
				return
			}
			kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if !yield(attr{kind, b[unix.SizeofRtAttr:size]}) {
				return
			}
			b = b[min((size+3)&^3, len(b)):]
		}
	}
}

func attrMap(b []byte) map[uint16][]byte {
	out := make(map[uint16][]byte, 8)
	for a := range attrs(b) {
		out[a.kind] = a.value
	}
	return out
}

// nested is the value of an attribute within others, nil without one.
func nested(b []byte, kind uint16) []byte {
	for a := range attrs(b) {
		if a.kind == kind {
			return a.value
		}
	}
	return nil
}

func zeroEnded(b []byte) string { return string(bytes.TrimRight(b, "\x00")) }

// number is in network byte order, 0 if it is missing.
func number(b []byte) uint32 {
	if len(b) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}
