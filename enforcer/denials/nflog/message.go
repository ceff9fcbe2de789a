//go:build linux

package nflog

import (
	"encoding/binary"
	"iter"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/denials"
)

// Names and numbers of linux/netfilter/nfnetlink_log.h and nfnetlink_conntrack.h
// (https://github.com/torvalds/linux/tree/v6.1/include/uapi/linux/netfilter).
const (
	msgPacket = 0
	msgConfig = 1

	attrTimestamp = 3
	attrPayload   = 9
	attrPrefix    = 10
	attrSeq       = 12
	attrCt        = 18

	ctTupleOrig    = 1
	ctTupleIP      = 1
	ctTupleProto   = 2
	ctIPv4Dst      = 2
	ctIPv6Dst      = 4
	ctProtoDstPort = 3
)

const (
	sizeofGenmsg = 4
	packetKind   = unix.NFNL_SUBSYS_ULOG<<8 | msgPacket
	configKind   = unix.NFNL_SUBSYS_ULOG<<8 | msgConfig
)

// message is one netlink message.
type message struct {
	kind, flags uint16
	seq         uint32
	payload     []byte
}

// messages yields those of a datagram. A malformed rest is left out.
func messages(b []byte) iter.Seq[message] {
	return func(yield func(message) bool) {
		for len(b) >= unix.SizeofNlMsghdr {
			size := int(binary.NativeEndian.Uint32(b))
			if size < unix.SizeofNlMsghdr || size > len(b) {
				return
			}
			m := message{
				kind: binary.NativeEndian.Uint16(b[4:]), flags: binary.NativeEndian.Uint16(b[6:]),
				seq: binary.NativeEndian.Uint32(b[8:]), payload: b[unix.SizeofNlMsghdr:size],
			}
			if !yield(m) {
				return
			}
			b = b[min((size+3)&^3, len(b)):]
		}
	}
}

// attributes yields the netlink attributes in b, without the flags of their types. A
// malformed rest is left out.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofNlAttr {
			size := int(binary.NativeEndian.Uint16(b))
			if size < unix.SizeofNlAttr || size > len(b) {
				return
			}
			kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if !yield(kind, b[unix.SizeofNlAttr:size]) {
				return
			}
			b = b[min((size+3)&^3, len(b)):]
		}
	}
}

// nested is the attribute of a kind among those in b, nil if there is none.
func nested(b []byte, kind uint16) []byte {
	for k, v := range attributes(b) {
		if k == kind {
			return v
		}
	}
	return nil
}

// logged is a packet as the kernel tells of it.
type logged struct {
	denials.Log
	// seq numbers the packets of the group, where numbered.
	seq      uint32
	numbered bool
}

// parsePacket reads the payload of a message about a packet. What it returns points
// into it. It is false for a message without a packet.
func parsePacket(payload []byte) (logged, bool) {
	if len(payload) < sizeofGenmsg {
		return logged{}, false
	}
	var out logged
	for kind, v := range attributes(payload[sizeofGenmsg:]) {
		switch {
		case kind == attrTimestamp && len(v) >= 16:
			sec, usec := int64(binary.BigEndian.Uint64(v)), int64(binary.BigEndian.Uint64(v[8:]))
			if sec > 0 && usec >= 0 && usec < 1_000_000 {
				out.Time = time.Unix(sec, usec*1000)
			}
		case kind == attrPayload:
			out.Payload = v
		case kind == attrPrefix:
			out.Prefix = untilZero(v)
		case kind == attrSeq && len(v) >= 4:
			out.seq, out.numbered = binary.BigEndian.Uint32(v), true
		case kind == attrCt:
			out.Original = original(v)
		}
	}
	return out, len(out.Payload) > 0
}

// original is where a connection was opened to: the destination of its original tuple.
func original(ct []byte) netip.AddrPort {
	tuple := nested(ct, ctTupleOrig)
	var a netip.Addr
	for kind, v := range attributes(nested(tuple, ctTupleIP)) {
		switch {
		case kind == ctIPv4Dst && len(v) == 4:
			a = netip.AddrFrom4([4]byte(v))
		case kind == ctIPv6Dst && len(v) == 16:
			a = netip.AddrFrom16([16]byte(v))
		}
	}
	if !a.IsValid() {
		return netip.AddrPort{}
	}
	port := uint16(0)
	if v := nested(nested(tuple, ctTupleProto), ctProtoDstPort); len(v) == 2 {
		port = binary.BigEndian.Uint16(v)
	}
	return netip.AddrPortFrom(a, port)
}

func untilZero(b []byte) []byte {
	for i, c := range b {
		if c == 0 {
			return b[:i]
		}
	}
	return b
}

// request is a netlink message that is being written.
type request struct{ b []byte }

// newRequest begins a message to netfilter.
func newRequest(kind, flags uint16, seq uint32, family uint8, resource uint16) *request {
	r := &request{b: make([]byte, unix.SizeofNlMsghdr, 64)}
	binary.NativeEndian.PutUint16(r.b[4:], kind)
	binary.NativeEndian.PutUint16(r.b[6:], unix.NLM_F_REQUEST|flags)
	binary.NativeEndian.PutUint32(r.b[8:], seq)
	r.b = append(r.b, family, unix.NFNETLINK_V0)
	r.b = binary.BigEndian.AppendUint16(r.b, resource)
	return r
}

// attr appends an attribute.
func (r *request) attr(kind uint16, value []byte) {
	r.b = binary.NativeEndian.AppendUint16(r.b, uint16(unix.SizeofNlAttr+len(value)))
	r.b = binary.NativeEndian.AppendUint16(r.b, kind)
	r.b = append(r.b, value...)
	for len(r.b)%4 != 0 {
		r.b = append(r.b, 0)
	}
}

// bytes is the whole message.
func (r *request) bytes() []byte {
	binary.NativeEndian.PutUint32(r.b, uint32(len(r.b)))
	return r.b
}
