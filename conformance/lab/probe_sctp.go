package lab

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
)

// A kernel without SCTP sockets still carries and tracks SCTP, so the lab
// speaks as much of it as makes an association: INIT, INIT ACK, COOKIE ECHO,
// COOKIE ACK (RFC 9260, section 5.1), with checksums that conntrack verifies.
const (
	sctpInit       = 1
	sctpInitAck    = 2
	sctpAbort      = 6
	sctpCookieEcho = 10
	sctpCookieAck  = 11

	sctpHeader = 12
	// sctpStateCookie is the parameter that the client sends back.
	sctpStateCookie = 7
)

var errAborted = errors.New("association aborted")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sctpPacket makes a packet of one chunk.
func sctpPacket(src, dst uint16, tag uint32, kind byte, body []byte) []byte {
	b := make([]byte, sctpHeader+4, sctpHeader+4+len(body))
	binary.BigEndian.PutUint16(b[0:], src)
	binary.BigEndian.PutUint16(b[2:], dst)
	binary.BigEndian.PutUint32(b[4:], tag)
	b[12] = kind
	binary.BigEndian.PutUint16(b[14:], uint16(4+len(body)))
	b = append(b, body...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, castagnoli))
	return b
}

// sctpInitBody is what INIT and INIT ACK say of the sender.
func sctpInitBody(tag uint32) []byte {
	b := make([]byte, 16)
	binary.BigEndian.PutUint32(b[0:], tag)
	binary.BigEndian.PutUint32(b[4:], 65536)
	binary.BigEndian.PutUint16(b[8:], 1)
	binary.BigEndian.PutUint16(b[10:], 1)
	binary.BigEndian.PutUint32(b[12:], 1)
	return b
}

// sctpSegment is a packet whose first chunk was understood.
type sctpSegment struct {
	src, dst uint16
	tag      uint32
	kind     byte
	body     []byte
}

func parseSCTP(b []byte) (sctpSegment, bool) {
	if len(b) < sctpHeader+4 {
		return sctpSegment{}, false
	}
	length := int(binary.BigEndian.Uint16(b[14:]))
	if length < 4 || sctpHeader+length > len(b) {
		return sctpSegment{}, false
	}
	return sctpSegment{
		src: binary.BigEndian.Uint16(b[0:]), dst: binary.BigEndian.Uint16(b[2:]),
		tag: binary.BigEndian.Uint32(b[4:]), kind: b[12], body: b[sctpHeader+4 : sctpHeader+length],
	}, true
}

// sctpRequestTag is the number of the flow whose INIT this is, also if only
// the beginning came back.
func sctpRequestTag(b []byte) (uint64, bool) {
	if len(b) < sctpHeader+8 || b[12] != sctpInit {
		return 0, false
	}
	return uint64(binary.BigEndian.Uint32(b[16:])), true
}

// sctp plays both sides. The client's tag is the flow's number; the server
// needs no memory, because it puts what it must know into the cookie.
func (h *hub) sctp(pkt packet, p *poller) {
	seg, ok := parseSCTP(pkt.payload)
	if !ok {
		return
	}
	// Whether answers arrive is what the client finds out.
	answer := func(tag uint32, kind byte, body []byte) {
		_ = h.send(pkt.dst, pkt.src, sctpPacket(seg.dst, seg.src, tag, kind, body))
	}
	switch seg.kind {
	case sctpInit:
		if len(seg.body) < 16 {
			return
		}
		tag := binary.BigEndian.Uint32(seg.body)
		if !h.serves(netip.AddrPortFrom(pkt.dst, seg.dst)) {
			answer(tag, sctpAbort, nil)
			return
		}
		cookie := binary.BigEndian.AppendUint32([]byte{0, sctpStateCookie, 0, 8}, tag)
		answer(tag, sctpInitAck, append(sctpInitBody(^tag), cookie...))
	case sctpInitAck:
		if h.expects(uint64(seg.tag)) && len(seg.body) >= 24 {
			answer(binary.BigEndian.Uint32(seg.body), sctpCookieEcho, seg.body[20:24])
			p.moved()
		}
	case sctpCookieEcho:
		if len(seg.body) >= 4 {
			answer(binary.BigEndian.Uint32(seg.body), sctpCookieAck, nil)
		}
	case sctpCookieAck:
		h.settle(uint64(seg.tag), Result{Outcome: Reached}, p)
	case sctpAbort:
		h.settle(uint64(seg.tag), Result{Outcome: Refused, Err: errAborted}, p)
	}
}
