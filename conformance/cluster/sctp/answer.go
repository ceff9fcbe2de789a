package sctp

import (
	"encoding/binary"
	"time"
)

// initAck answers an INIT with a cookie that has all that the server need know.
// The same INIT has the same tags in its answers: connection tracking takes the
// last answer's, the client the first's.
func initAck(p packet, f flow, secret []byte, now time.Time) (packet, bool) {
	i, err := parseInitiation(p.chunks[0].value)
	if err != nil || p.tag != 0 || len(p.chunks) != 1 {
		return packet{}, false
	}
	own := signature(secret, f, p.chunks[0].value)
	k := cookie{
		made: now, remoteTag: i.tag, remoteTSN: i.tsn,
		localTag: max(1, binary.BigEndian.Uint32(own)), localTSN: binary.BigEndian.Uint32(own[4:]),
	}
	answer := initiation{k.localTag, k.localTSN, k.seal(secret, f)}
	return reply(p, i.tag, chunk{kind: chunkInitAck, value: answer.marshal()}), true
}

// refusal is the answer to a packet that belongs to no association, if it is to
// have one: never to an ABORT, or two ends could go on for ever.
func refusal(p packet) (packet, bool) {
	for _, c := range p.chunks {
		if c.kind == chunkAbort {
			return packet{}, false
		}
	}
	switch first := p.chunks[0]; first.kind {
	case chunkInit:
		if len(first.value) < initHeader {
			return packet{}, false
		}
		return reply(p, binary.BigEndian.Uint32(first.value), chunk{kind: chunkAbort}), true
	case chunkShutdownAck:
		// The peer missed the end.
		return reply(p, p.tag, chunk{kind: chunkShutdownComplete, flags: flagReflected}), true
	case chunkShutdownComplete, chunkCookieAck, chunkError:
		return packet{}, false
	}
	return reply(p, p.tag, chunk{kind: chunkAbort, flags: flagReflected}), true
}

func reply(p packet, tag uint32, c chunk) packet {
	return packet{src: p.dst, dst: p.src, tag: tag, chunks: []chunk{c}}
}
