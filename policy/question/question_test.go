package question

import (
	"testing"

	"github.com/sluice-net/sluice/policy"
)

func TestParseTarget(t *testing.T) {
	tests := map[string]struct {
		dst     End
		port    string
		proto   policy.Protocol
		wantErr string
	}{
		"shop/api:8080":        {dst: PodEnd("shop", "api"), port: "8080", proto: policy.TCP},
		"api:http":             {dst: PodEnd("ns", "api"), port: "http", proto: policy.TCP},
		"api:53/udp":           {dst: PodEnd("ns", "api"), port: "53", proto: policy.UDP},
		"api:9/SCTP":           {dst: PodEnd("ns", "api"), port: "9", proto: policy.SCTP},
		"api":                  {dst: PodEnd("ns", "api"), proto: policy.TCP},
		"api:/ICMP":            {dst: PodEnd("ns", "api"), proto: policy.ICMP},
		"api:/47":              {dst: PodEnd("ns", "api"), proto: 47},
		"10.0.0.1:80":          {dst: addrEnd("10.0.0.1"), port: "80", proto: policy.TCP},
		"fd00::1":              {dst: addrEnd("fd00::1"), proto: policy.TCP},
		"[fd00::1]":            {dst: addrEnd("fd00::1"), proto: policy.TCP},
		"[fd00::1]:53/UDP":     {dst: addrEnd("fd00::1"), port: "53", proto: policy.UDP},
		"[fd00::1]:/ICMPv6":    {dst: addrEnd("fd00::1"), proto: policy.ICMPv6},
		"[fd00::1]80":          {wantErr: "want [ADDRESS]:PORT"},
		"[fd00::1":             {wantErr: "bracket is not closed"},
		"api:":                 {wantErr: "port is missing"},
		"api:80/":              {wantErr: "protocol is missing"},
		"api:80/QUIC":          {wantErr: `unknown protocol "QUIC"`},
		"api:80/300":           {wantErr: "unknown protocol"},
		":80":                  {wantErr: "empty"},
		"shop/api/http":        {wantErr: "neither an address"},
		"2001:db8::zz":         {wantErr: "neither an address"},
		"[2001:db8::zz]:53":    {wantErr: "neither an address"},
		"shop/api:80/TCP/more": {wantErr: "unknown protocol"},
	}
	for in, tt := range tests {
		t.Run(in, func(t *testing.T) {
			dst, port, proto, err := parseTarget(in, "ns")
			checkError(t, err, tt.wantErr)
			if tt.wantErr != "" {
				return
			}
			if dst != tt.dst || port != tt.port || proto != tt.proto {
				t.Errorf("got %+v %q %v", dst, port, proto)
			}
		})
	}
}

func FuzzParseTarget(f *testing.F) {
	f.Add("[fd00::1]:53/UDP")
	f.Add("shop/api:http")
	f.Fuzz(func(t *testing.T, s string) {
		dst, _, _, err := parseTarget(s, "ns")
		if err == nil && dst == (End{}) {
			t.Errorf("accepted without an end: %q", s)
		}
	})
}
