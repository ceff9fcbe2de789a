package sctp

import "encoding/binary"

// initAck answers an INIT with a cookie that has all that the server need know;
// the fresh one has what is the server's own.
func initAck(p packet, f flow, secret []byte, fresh cookie) (packet, bool) {
	i, err := parseInitiation(p.chunks[0].value)
	if err != nil || p.tag != 0 || len(p.chunks) != 1 {
		return packet{}, false
	}
	fresh.remoteTag, fresh.remoteTSN = i.tag, i.tsn
	answer := initiation{fresh.localTag, fresh.localTSN, fresh.seal(secret, f)}
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
