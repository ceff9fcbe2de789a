package sctp

import (
	"encoding/binary"
	"slices"
	"syscall"
	"time"
)

// receive takes a packet between the association's ports. One with another tag
// than the association's own is not meant for it, or forged.
func (a *association) receive(p packet, now time.Time) {
	for _, c := range p.chunks {
		if a.state == closed {
			return
		}
		if !a.mine(p.tag, c) || !a.take(c, now) {
			return
		}
	}
}

// mine compares the packet's tag with what it has to be for the chunk.
func (a *association) mine(tag uint32, c chunk) bool {
	reflected := c.flags&flagReflected != 0 && (c.kind == chunkAbort || c.kind == chunkShutdownComplete)
	if reflected {
		return a.remoteTag != 0 && tag == a.remoteTag
	}
	return tag == a.localTag
}

// take acts on one chunk, and says if the rest of the packet is to be read.
func (a *association) take(c chunk, now time.Time) bool {
	switch c.kind {
	case chunkInitAck:
		a.takeInitAck(c.value, now)
		return false
	case chunkCookieAck:
		if a.state == cookieEchoed {
			a.state, a.cookie, a.repeats, a.timeout = established, nil, 0, time.Time{}
		}
	case chunkCookieEcho:
		// Our answer to it got lost. Its tags are those of this association, or
		// the listener would have begun another.
		if a.state != cookieWait && a.state != cookieEchoed {
			a.send(chunkCookieAck, 0, nil)
		}
	case chunkData:
		return a.takeData(c)
	case chunkSack:
		if len(c.value) >= sackHeader {
			a.acknowledge(binary.BigEndian.Uint32(c.value), now)
		}
	case chunkHeartbeat:
		a.send(chunkHeartbeatAck, 0, c.value)
	case chunkAbort:
		a.takeAbort()
	case chunkShutdown, chunkShutdownAck, chunkShutdownComplete:
		a.takeShutdown(c, now)
	case chunkInit, chunkHeartbeatAck, chunkError:
		// INIT is the listener's, and we ask for no heartbeats.
	default:
		return c.kind&chunkSkip != 0
	}
	return true
}

func (a *association) takeAbort() {
	switch a.state {
	case cookieWait, cookieEchoed:
		a.end(syscall.ECONNREFUSED)
	case shutdownSent, shutdownAckSent:
		// The peer has forgotten the association, and has all that was written.
		a.end(nil)
	default:
		a.end(syscall.ECONNRESET)
	}
}

func (a *association) takeInitAck(value []byte, now time.Time) {
	if a.state != cookieWait {
		return
	}
	i, err := parseInitiation(value)
	if err != nil || i.cookie == nil {
		return
	}
	a.state, a.remoteTag, a.received, a.cookie = cookieEchoed, i.tag, i.tsn-1, slices.Clone(i.cookie)
	a.repeat()
	a.await(now)
}

// takeData keeps the next message. One that comes too early or twice only has
// the peer told what is here, so that it sends again what is not.
func (a *association) takeData(c chunk) bool {
	switch a.state {
	case established, shutdownPending, shutdownSent:
	default:
		return true
	}
	if len(c.value) <= dataHeader || c.flags&flagWhole != flagWhole {
		// A message in pieces is none of maxMessage bytes.
		a.abort(syscall.EPROTO)
		return false
	}
	next := binary.BigEndian.Uint32(c.value) == a.received+1
	switch {
	case next && a.deaf:
		a.received++
		a.heard = true
	case next && len(a.unread) < maxUnread:
		a.received++
		a.heard = true
		a.unread = append(a.unread, slices.Clone(c.value[dataHeader:]))
	}
	a.send(chunkSack, 0, sackValue(a.received, uint32(maxUnread-len(a.unread))*maxMessage))
	if a.state == shutdownSent {
		a.repeat()
	}
	return true
}

// acknowledge forgets the messages up to a TSN. The timer goes on for those that
// are left.
func (a *association) acknowledge(tsn uint32, now time.Time) {
	if after(tsn, a.nextTSN-1) {
		return // of what was never sent
	}
	before := len(a.outstanding)
	for len(a.outstanding) > 0 && !after(a.outstanding[0].tsn, tsn) {
		a.outstanding = a.outstanding[1:]
	}
	if len(a.outstanding) == before {
		return
	}
	a.await(now)
	if len(a.outstanding) == 0 {
		a.timeout = time.Time{}
	}
	a.proceed(now)
}

func (a *association) takeShutdown(c chunk, now time.Time) {
	switch c.kind {
	case chunkShutdown:
		if len(c.value) < 4 {
			return
		}
		switch a.state {
		case established, shutdownPending:
			a.state = shutdownReceived
			a.acknowledge(binary.BigEndian.Uint32(c.value), now)
			a.proceed(now)
		case shutdownReceived:
			a.acknowledge(binary.BigEndian.Uint32(c.value), now)
		case shutdownSent:
			// Both ends closed at the same time.
			a.state = shutdownAckSent
			a.repeat()
			a.await(now)
		case shutdownAckSent:
			a.repeat()
		}
	case chunkShutdownAck:
		if a.state == shutdownSent || a.state == shutdownAckSent {
			a.send(chunkShutdownComplete, 0, nil)
			a.end(nil)
		}
	case chunkShutdownComplete:
		if a.state == shutdownAckSent {
			a.end(nil)
		}
	}
}
