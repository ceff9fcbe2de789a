package sctp

import (
	"testing"
	"time"
)

// FuzzAssociation feeds an association with chunks made of the input: it must
// not panic, and not keep or send more than it may.
func FuzzAssociation(f *testing.F) {
	f.Add([]byte{byte(chunkData), 3, 14, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 'x', byte(chunkShutdown), 0, 4, 0, 0, 0, 0}, false)
	f.Add(append([]byte{byte(chunkInitAck), 0, 20}, initiation{tag: 1, cookie: []byte{1, 2, 3, 4}}.marshal()...), true)
	f.Fuzz(func(t *testing.T, input []byte, client bool) {
		now := time.Unix(1, 0)
		a := accept(1, 2, cookie{localTag: 0xa, remoteTag: 0xb, localTSN: 1, remoteTSN: 1})
		if client {
			a = connect(1, 2, 0xa, 1, now)
		}
		for len(input) >= 3 {
			c := chunk{kind: chunkKind(input[0]), flags: input[1]}
			n := min(int(input[2]), len(input)-3)
			c.value, input = input[3:3+n], input[3+n:]
			a.outbox = nil
			a.receive(packet{src: 2, dst: 1, tag: 0xa, chunks: []chunk{c}}, now)
			a.write([]byte("y"), now)
			now = now.Add(time.Second)
			a.tick(now)
			if len(a.outbox) > maxOutstanding+4 || len(a.unread) > maxUnread || len(a.outstanding) > maxOutstanding {
				t.Fatalf("%d to send, %d unread, %d outstanding", len(a.outbox), len(a.unread), len(a.outstanding))
			}
			for _, b := range a.outbox {
				mustParse(t, b)
			}
		}
	})
}

func mustParse(t *testing.T, b []byte) packet {
	t.Helper()
	p, err := parsePacket(b)
	if err != nil {
		t.Fatalf("%v: %x", err, b)
	}
	return p
}
