package sctp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"reflect"
	"testing"
)

// TestChecksumIsCRC32c takes RFC 3720's examples for the sum itself; in a packet,
// its own place counts as zero and its lowest byte comes first.
func TestChecksumIsCRC32c(t *testing.T) {
	ascending := make([]byte, 32)
	for i := range ascending {
		ascending[i] = byte(i)
	}
	for want, input := range map[uint32][]byte{
		0x8a9136aa: make([]byte, 32),
		0x62a8ab43: bytes.Repeat([]byte{0xff}, 32),
		0x46dd794e: ascending,
	} {
		if got := crc32.Checksum(input, castagnoli); got != want {
			t.Errorf("%x: %#x, want %#x", input, got, want)
		}
	}
	p := packet{chunks: []chunk{{value: make([]byte, 16)}}}
	b := p.marshal()
	sum := hex.EncodeToString(b[8:12])
	zeroed := bytes.Clone(b)
	copy(zeroed[8:], []byte{0, 0, 0, 0})
	var want [4]byte
	binary.LittleEndian.PutUint32(want[:], crc32.Checksum(zeroed, castagnoli))
	if sum != hex.EncodeToString(want[:]) {
		t.Errorf("checksum %s, want %x", sum, want)
	}
}

func TestPacketsAreReadAsWritten(t *testing.T) {
	tests := map[string]packet{
		"one chunk":   {1, 2, 3, []chunk{{chunkCookieAck, 0, []byte{}}}},
		"padded":      {65535, 80, 1<<32 - 1, []chunk{{chunkData, flagWhole, dataValue(7, 1, []byte("hello"))}}},
		"many chunks": {1, 2, 3, []chunk{{chunkCookieEcho, 0, []byte{1}}, {chunkData, flagWhole, dataValue(7, 1, []byte("x"))}, {chunkSack, 0, sackValue(1, 2)}}},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			b := want.marshal()
			if len(b)%4 != 0 {
				t.Errorf("%d bytes are not padded", len(b))
			}
			got, err := parsePacket(b)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestWrongPacketsAreRefused(t *testing.T) {
	whole := (&packet{1, 2, 3, []chunk{{chunkData, flagWhole, dataValue(7, 1, []byte("x"))}, {chunkCookieAck, 0, nil}}}).marshal()
	seal := func(b []byte) []byte {
		binary.LittleEndian.PutUint32(b[8:], checksum(b))
		return b
	}
	length := func(n uint16) []byte {
		b := bytes.Clone(whole)
		binary.BigEndian.PutUint16(b[commonHeader+2:], n)
		return seal(b)
	}
	tests := map[string]struct {
		b    []byte
		want error
	}{
		"nothing":             {nil, errShort},
		"no chunk":            {seal(bytes.Clone(whole[:commonHeader])), errShort},
		"one bit":             {append(bytes.Clone(whole[:len(whole)-1]), whole[len(whole)-1]^1), errChecksum},
		"chunk of no length":  {length(0), errChunk},
		"chunk beyond":        {length(1000), errChunk},
		"half a chunk header": {seal(bytes.Clone(whole[:len(whole)-2])), errShort},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if p, err := parsePacket(test.b); !errors.Is(err, test.want) {
				t.Errorf("%+v, %v; want %v", p, err, test.want)
			}
		})
	}
}

func TestInitiations(t *testing.T) {
	full := initiation{1, 2, []byte("cookie")}
	for name, want := range map[string]initiation{"INIT": {1, 2, nil}, "INIT ACK": full} {
		if got, err := parseInitiation(want.marshal()); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	with := func(change func(b []byte)) []byte {
		b := full.marshal()
		change(b)
		return b
	}
	// What a kernel offers besides, after a parameter with padding.
	offers := append([]byte{0x80, 8, 0, 5, 0xc1, 0, 0, 0, 0, 12, 0, 6, 0, 5, 0, 0}, full.marshal()[initHeader:]...)
	if got, err := parseInitiation(append(full.marshal()[:initHeader], offers...)); err != nil || !reflect.DeepEqual(got, full) {
		t.Errorf("with offers: %+v, %v", got, err)
	}
	for name, b := range map[string][]byte{
		"short":          full.marshal()[:initHeader-1],
		"no tag":         with(func(b []byte) { copy(b, []byte{0, 0, 0, 0}) }),
		"no stream out":  with(func(b []byte) { b[9] = 0 }),
		"no stream in":   with(func(b []byte) { b[11] = 0 }),
		"half parameter": full.marshal()[:initHeader+2],
		"long parameter": with(func(b []byte) { b[initHeader+3] = 200 }),
		"no length":      with(func(b []byte) { b[initHeader+3] = 0 }),
	} {
		if got, err := parseInitiation(b); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestTSNsStartAgain(t *testing.T) {
	for _, test := range []struct {
		a, b uint32
		want bool
	}{{1, 0, true}, {0, 1, false}, {0, 0, false}, {0, 1<<32 - 1, true}, {1<<32 - 1, 0, false}} {
		if got := after(test.a, test.b); got != test.want {
			t.Errorf("after(%d, %d) = %v", test.a, test.b, got)
		}
	}
}

// TestRefusals has the answers to what belongs to nobody.
func TestRefusals(t *testing.T) {
	tests := map[string]struct {
		chunks []chunk
		want   *chunk
		tag    uint32
	}{
		"INIT":              {[]chunk{{chunkInit, 0, initiation{tag: 77}.marshal()}}, &chunk{chunkAbort, 0, []byte{}}, 77},
		"INIT cut short":    {[]chunk{{chunkInit, 0, []byte{1}}}, nil, 0},
		"DATA":              {[]chunk{{chunkData, flagWhole, nil}}, &chunk{chunkAbort, flagReflected, []byte{}}, 5},
		"SHUTDOWN ACK":      {[]chunk{{chunkShutdownAck, 0, nil}}, &chunk{chunkShutdownComplete, flagReflected, []byte{}}, 5},
		"SHUTDOWN COMPLETE": {[]chunk{{chunkShutdownComplete, 0, nil}}, nil, 0},
		"ABORT":             {[]chunk{{chunkAbort, 0, nil}}, nil, 0},
		"ABORT behind":      {[]chunk{{chunkData, 0, nil}, {chunkAbort, 0, nil}}, nil, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p, ok := refusal(packet{1, 2, 5, test.chunks})
			if test.want == nil {
				if ok {
					t.Errorf("answered with %+v", p)
				}
				return
			}
			want := packet{2, 1, test.tag, []chunk{*test.want}}
			if got := mustParse(t, p.marshal()); !reflect.DeepEqual(got, want) {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}

// FuzzParsePacket: what is read is inside of the packet, and written again reads
// the same.
func FuzzParsePacket(f *testing.F) {
	f.Add((&packet{1, 2, 3, []chunk{{chunkInit, 0, initiation{1, 2, []byte("c")}.marshal()}}}).marshal())
	f.Add((&packet{1, 2, 3, []chunk{{chunkData, 3, dataValue(1, 2, []byte("abc"))}, {chunkSack, 0, sackValue(1, 2)}}}).marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= commonHeader { // or nothing would get past the checksum
			binary.LittleEndian.PutUint32(b[8:], checksum(b))
		}
		p, err := parsePacket(b)
		if err != nil {
			return
		}
		if len(p.chunks) == 0 {
			t.Fatal("no chunks, and no error")
		}
		for _, c := range p.chunks {
			_, _ = parseInitiation(c.value)
		}
		if again := mustParse(t, p.marshal()); !reflect.DeepEqual(again, p) {
			t.Fatalf("%+v is written as %+v", p, again)
		}
	})
}
