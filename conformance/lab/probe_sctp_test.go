package lab

import (
	"bytes"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

func TestSCTPPacketsAreWellFormed(t *testing.T) {
	cookie := append(sctpInitBody(7), 0, sctpStateCookie, 0, 8, 1, 2, 3, 4)
	tests := map[string]struct {
		kind byte
		body []byte
		want gopacket.LayerType
	}{
		"INIT":        {sctpInit, sctpInitBody(9), layers.LayerTypeSCTPInit},
		"INIT ACK":    {sctpInitAck, cookie, layers.LayerTypeSCTPInitAck},
		"COOKIE ECHO": {sctpCookieEcho, []byte{1, 2, 3, 4}, layers.LayerTypeSCTPCookieEcho},
		"COOKIE ACK":  {sctpCookieAck, nil, layers.LayerTypeSCTPCookieAck},
		"padded":      {sctpCookieEcho, []byte{1, 2, 3}, layers.LayerTypeSCTPCookieEcho},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := sctpPacket(1000, 3868, 0xdeadbeef, test.kind, test.body)
			p := gopacket.NewPacket(b, layers.LayerTypeSCTP, gopacket.Default)
			if e := p.ErrorLayer(); e != nil {
				t.Fatal(e.Error())
			}
			if p.Layer(test.want) == nil {
				t.Errorf("layers %v", p.Layers())
			}
			if err, mismatches := p.VerifyChecksums(); err != nil || len(mismatches) > 0 {
				t.Errorf("checksums: %v, %v", err, mismatches)
			}
			seg, ok := parseSCTP(b)
			if !ok || seg.src != 1000 || seg.dst != 3868 || seg.tag != 0xdeadbeef || seg.kind != test.kind || !bytes.Equal(seg.body, test.body) {
				t.Errorf("parsed %+v, %t", seg, ok)
			}
		})
	}
}

func FuzzParseSCTP(f *testing.F) {
	f.Add(sctpPacket(1, 2, 3, sctpInit, sctpInitBody(4)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if seg, ok := parseSCTP(b); ok && len(seg.body) > len(b) {
			t.Errorf("body of %d bytes out of %d", len(seg.body), len(b))
		}
		sctpRequestTag(b)
	})
}
