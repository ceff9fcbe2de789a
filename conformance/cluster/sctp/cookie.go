package sctp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"
)

// cookieLife bounds how long a client may take to return the cookie.
const cookieLife = time.Minute

// flow names an association of a listener.
type flow struct {
	local, remote         netip.Addr
	localPort, remotePort uint16
}

// cookie is what a server has to know of an association that it has answered but
// not begun. It travels through the client, so that those who send INIT from
// addresses that are not theirs cost the server nothing.
type cookie struct {
	made                time.Time
	localTag, remoteTag uint32
	localTSN, remoteTSN uint32
}

const (
	cookieContents = 8 + 4*4
	cookieLength   = sha256.Size + cookieContents
)

// seal signs the cookie for this flow.
func (c cookie) seal(secret []byte, f flow) []byte {
	contents := binary.BigEndian.AppendUint64(make([]byte, 0, cookieContents), uint64(c.made.UnixNano()))
	for _, n := range []uint32{c.localTag, c.remoteTag, c.localTSN, c.remoteTSN} {
		contents = binary.BigEndian.AppendUint32(contents, n)
	}
	return append(signature(secret, f, contents), contents...)
}

// openCookie reads a cookie that was sealed with this secret for this flow, and
// not too long ago.
func openCookie(b, secret []byte, f flow, now time.Time) (cookie, bool) {
	if len(b) != cookieLength {
		return cookie{}, false
	}
	contents := b[sha256.Size:]
	if !hmac.Equal(b[:sha256.Size], signature(secret, f, contents)) {
		return cookie{}, false
	}
	c := cookie{
		made:     time.Unix(0, int64(binary.BigEndian.Uint64(contents))),
		localTag: binary.BigEndian.Uint32(contents[8:]), remoteTag: binary.BigEndian.Uint32(contents[12:]),
		localTSN: binary.BigEndian.Uint32(contents[16:]), remoteTSN: binary.BigEndian.Uint32(contents[20:]),
	}
	return c, now.Sub(c.made) <= cookieLife
}

func signature(secret []byte, f flow, contents []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	local, remote := f.local.As16(), f.remote.As16()
	mac.Write(local[:])
	mac.Write(remote[:])
	mac.Write(binary.BigEndian.AppendUint16(nil, f.localPort))
	mac.Write(binary.BigEndian.AppendUint16(nil, f.remotePort))
	mac.Write(contents)
	return mac.Sum(nil)
}
