package sctp

import (
	"encoding/binary"
	"syscall"
	"time"
)

// state is where an association is, from the client's first packet to the end.
type state int

const (
	cookieWait state = iota
	cookieEchoed
	established
	shutdownPending  // closed here, with messages that the peer has not acknowledged
	shutdownSent     // closed here
	shutdownReceived // closed there, with messages that the peer has not acknowledged
	shutdownAckSent  // closed there, and ready to end
	closed
)

const (
	// maxMessage fits into a packet on any path.
	maxMessage = 1200
	// maxOutstanding messages may be under way.
	maxOutstanding = 16
	// maxUnread messages are kept for the reader; later ones are not acknowledged.
	maxUnread     = 64
	receiveWindow = maxUnread * maxMessage

	// answerTimeout is how long an answer may take before something is sent again.
	// It does not double each time, as RFC 9260 wants it for busy networks:
	// connection tracking forgets a handshake that is silent for 3 seconds.
	answerTimeout = time.Second
	// maxRepeats without an answer end an association.
	maxRepeats = 10
)

// association is one end of a connection, as a state machine: packets and the
// time go in, packets for the peer come out in the outbox. It opens no sockets
// and reads no clock.
type association struct {
	state               state
	local, remote       uint16 // ports
	localTag, remoteTag uint32

	cookie      []byte // the client's, until it is acknowledged
	initialTSN  uint32
	nextTSN     uint32
	sequence    uint16
	outstanding []outgoing // without acknowledgment, in order

	received uint32 // the TSN up to which everything is here
	unread   [][]byte
	deaf     bool // nobody will read
	heard    bool // there was a message

	repeats int
	timeout time.Time // zero: nothing is awaited

	outbox [][]byte
	// err is why a closed association did not end as both sides wanted.
	err error
}

type outgoing struct {
	tsn   uint32
	value []byte // of the DATA chunk
}

// connect begins an association from the client's end.
func connect(local, remote uint16, tag, tsn uint32, now time.Time) *association {
	a := &association{state: cookieWait, local: local, remote: remote, localTag: tag, initialTSN: tsn, nextTSN: tsn}
	a.repeat()
	a.await(now)
	return a
}

// accept begins an association from the server's end, once the client has
// returned the cookie.
func accept(local, remote uint16, c cookie) *association {
	a := &association{
		state: established, local: local, remote: remote, localTag: c.localTag, remoteTag: c.remoteTag,
		nextTSN: c.localTSN, received: c.remoteTSN - 1,
	}
	a.send(chunkCookieAck, 0, nil)
	return a
}

// write sends a message, if the association is open and has room for it.
func (a *association) write(message []byte, now time.Time) bool {
	if a.state != established || len(a.outstanding) >= maxOutstanding {
		return false
	}
	out := outgoing{a.nextTSN, dataValue(a.nextTSN, a.sequence, message)}
	a.nextTSN++
	a.sequence++
	a.outstanding = append(a.outstanding, out)
	a.send(chunkData, flagWhole, out.value)
	if len(a.outstanding) == 1 {
		a.await(now)
	}
	return true
}

// ignore throws away what arrives from now on.
func (a *association) ignore() { a.deaf, a.unread = true, nil }

// shutdown ends the association in good order: what was written still arrives.
func (a *association) shutdown(now time.Time) {
	switch a.state {
	case cookieWait, cookieEchoed:
		a.abort(nil)
	case established:
		a.state = shutdownPending
		a.proceed(now)
	}
}

// abort ends the association at once, and tells the peer.
func (a *association) abort(err error) {
	if a.state == closed {
		return
	}
	if a.remoteTag != 0 {
		a.send(chunkAbort, 0, nil)
	}
	a.end(err)
}

// unreachable takes notice of what the network says instead of the peer. Once
// there was an answer it is ignored: anybody can send an ICMP error, and the timer
// notices a peer that is gone.
func (a *association) unreachable(err syscall.Errno) {
	if a.state != cookieWait {
		return
	}
	switch err {
	case syscall.ENOPROTOOPT, syscall.EPROTO, syscall.ECONNREFUSED:
		// No SCTP there: protocol unreachable, unknown next header, port unreachable.
		a.end(syscall.ECONNREFUSED)
	case syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EACCES:
		a.end(err)
	}
}

// tick sends again what was not answered in time.
func (a *association) tick(now time.Time) {
	if a.timeout.IsZero() || now.Before(a.timeout) {
		return
	}
	if a.repeats == maxRepeats {
		a.abort(syscall.ETIMEDOUT)
		return
	}
	a.repeats++
	a.repeat()
	a.timeout = now.Add(answerTimeout)
}

// repeat sends what the peer has to answer in this state.
func (a *association) repeat() {
	switch a.state {
	case cookieWait:
		a.send(chunkInit, 0, initiation{tag: a.localTag, tsn: a.initialTSN}.marshal())
	case cookieEchoed:
		a.send(chunkCookieEcho, 0, a.cookie)
	case established, shutdownPending, shutdownReceived:
		for _, out := range a.outstanding {
			a.send(chunkData, flagWhole, out.value)
		}
	case shutdownSent:
		a.send(chunkShutdown, 0, binary.BigEndian.AppendUint32(nil, a.received))
	case shutdownAckSent:
		a.send(chunkShutdownAck, 0, nil)
	}
}

// await starts the timer anew.
func (a *association) await(now time.Time) {
	a.repeats, a.timeout = 0, now.Add(answerTimeout)
}

// proceed takes the steps of the shutdown that wait for acknowledgments.
func (a *association) proceed(now time.Time) {
	if len(a.outstanding) > 0 {
		return
	}
	switch a.state {
	case shutdownPending:
		a.state = shutdownSent
	case shutdownReceived:
		a.state = shutdownAckSent
	default:
		return
	}
	a.repeat()
	a.await(now)
}

func (a *association) end(err error) {
	a.state, a.err, a.timeout, a.outstanding = closed, err, time.Time{}, nil
}

func (a *association) send(kind chunkKind, flags byte, value []byte) {
	p := packet{src: a.local, dst: a.remote, tag: a.remoteTag, chunks: []chunk{{kind, flags, value}}}
	a.outbox = append(a.outbox, p.marshal())
}
