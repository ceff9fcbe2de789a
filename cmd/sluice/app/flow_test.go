package app

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

func podEnd(namespace, name string) endRef {
	return endRef{pod: types.NamespacedName{Namespace: namespace, Name: name}}
}

func addrEnd(s string) endRef { return endRef{addr: netip.MustParseAddr(s)} }

func sameEnd(a, b endRef) bool { return a == b }

func TestParseEnd(t *testing.T) {
	tests := map[string]struct {
		want    endRef
		wantErr string
	}{
		"shop/api":         {want: podEnd("shop", "api")},
		"api":              {want: podEnd("ns", "api")},
		"web-0.x":          {want: podEnd("ns", "web-0.x")},
		"10.0.0.1":         {want: addrEnd("10.0.0.1")},
		"fd00::1":          {want: addrEnd("fd00::1")},
		"::ffff:10.0.0.1":  {want: addrEnd("10.0.0.1")},
		"":                 {wantErr: "empty"},
		"/api":             {wantErr: "neither an address"},
		"shop/":            {wantErr: "neither an address"},
		"a/b/c":            {wantErr: "neither an address"},
		"10.0.0.256":       {wantErr: "neither an address"},
		"10.0.0":           {wantErr: "neither an address"},
		"10.0.0.0/8":       {wantErr: "neither an address"},
		"fd00:::1":         {wantErr: "neither an address"},
		"fe80::1%eth0":     {wantErr: "zone"},
		"010.0.0.1":        {wantErr: "neither an address"},
		"shop/api:80":      {wantErr: "neither an address"},
		"[2001:db8::1]:80": {wantErr: "neither an address"},
	}
	for in, tt := range tests {
		t.Run(in, func(t *testing.T) {
			got, err := parseEnd(in, "ns")
			checkError(t, err, tt.wantErr)
			if tt.wantErr == "" && !sameEnd(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("error: %v", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("error %v, want %q in it", err, want)
	}
}

func TestParseTarget(t *testing.T) {
	tests := map[string]struct {
		dst     endRef
		port    string
		proto   policy.Protocol
		wantErr string
	}{
		"shop/api:8080":        {dst: podEnd("shop", "api"), port: "8080", proto: policy.TCP},
		"api:http":             {dst: podEnd("ns", "api"), port: "http", proto: policy.TCP},
		"api:53/udp":           {dst: podEnd("ns", "api"), port: "53", proto: policy.UDP},
		"api:9/SCTP":           {dst: podEnd("ns", "api"), port: "9", proto: policy.SCTP},
		"api":                  {dst: podEnd("ns", "api"), proto: policy.TCP},
		"api:/ICMP":            {dst: podEnd("ns", "api"), proto: policy.ICMP},
		"api:/47":              {dst: podEnd("ns", "api"), proto: 47},
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
			if !sameEnd(dst, tt.dst) || port != tt.port || proto != tt.proto {
				t.Errorf("got %+v %q %v", dst, port, proto)
			}
		})
	}
}

func TestParseFlowLine(t *testing.T) {
	yes, no := true, false
	tests := map[string]struct {
		in       string
		want     flowRef
		expected *bool
		wantErr  string
	}{
		"whole":            {in: `{"src":"shop/a","dst":"b","proto":"UDP","port":53,"expected":true}`, want: flowRef{src: podEnd("shop", "a"), dst: podEnd("ns", "b"), proto: policy.UDP, port: "53"}, expected: &yes},
		"defaults":         {in: `{"src":"10.0.0.1","dst":"b","port":"http","expected":false}`, want: flowRef{src: addrEnd("10.0.0.1"), dst: podEnd("ns", "b"), proto: policy.TCP, port: "http", anyProto: true}, expected: &no},
		"nulls are absent": {in: `{"src":"a","dst":"b","proto":null,"port":80,"expected":null}`, want: flowRef{src: podEnd("ns", "a"), dst: podEnd("ns", "b"), proto: policy.TCP, port: "80", anyProto: true}},
		"number protocol":  {in: `{"src":"a","dst":"b","proto":132,"port":80}`, want: flowRef{src: podEnd("ns", "a"), dst: podEnd("ns", "b"), proto: policy.SCTP, port: "80"}},
		"extra fields":     {in: `{"name":"case 1","src":"a","dst":"b","port":80,"tags":["x"]}`, want: flowRef{src: podEnd("ns", "a"), dst: podEnd("ns", "b"), proto: policy.TCP, port: "80", anyProto: true}},
		"earlier answer":   {in: `{"src":"a","dst":"b","port":80,"allowed":true,"error":"x"}`, want: flowRef{src: podEnd("ns", "a"), dst: podEnd("ns", "b"), proto: policy.TCP, port: "80", anyProto: true}},

		"no JSON":           {in: `src=a dst=b`, wantErr: "JSON"},
		"not an object":     {in: `["a","b"]`, wantErr: "not a JSON object"},
		"cut off":           {in: `{"src":"a","dst":`, wantErr: "ends in the middle"},
		"two on a line":     {in: `{"src":"a","dst":"b"} {"src":"a","dst":"b"}`, wantErr: "more than one JSON value"},
		"no src":            {in: `{"dst":"b","port":80}`, wantErr: "src: missing"},
		"no dst":            {in: `{"src":"b","port":80}`, wantErr: "dst: missing"},
		"src no string":     {in: `{"src":5,"dst":"b","port":80}`, wantErr: "src: 5 is not a string"},
		"unknown protocol":  {in: `{"src":"a","dst":"b","proto":"QUIC","port":80}`, wantErr: `proto: unknown protocol "QUIC"`},
		"fractional port":   {in: `{"src":"a","dst":"b","port":80.5}`, wantErr: "port: 80.5 is neither"},
		"port is an object": {in: `{"src":"a","dst":"b","port":{}}`, wantErr: "port: {} is neither"},
		"expected a string": {in: `{"src":"a","dst":"b","port":80,"expected":"yes"}`, wantErr: `expected: "yes" is not true or false`},
		"twice":             {in: `{"src":"a","src":"c","dst":"b","port":80}`, wantErr: "src: given twice"},
		"misnamed proto":    {in: `{"src":"a","dst":"b","protocol":"UDP","port":80}`, wantErr: `unknown field "protocol": did you mean "proto"?`},
		"misnamed expected": {in: `{"src":"a","dst":"b","port":80,"Expected":true}`, wantErr: `did you mean "expected"?`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseFlowLine(1, []byte(tt.in), "ns")
			checkError(t, err, tt.wantErr)
			if tt.wantErr != "" {
				return
			}
			if got.flow != tt.want {
				t.Errorf("got %+v, want %+v", got.flow, tt.want)
			}
			if diff := cmp.Diff(tt.expected, got.expected); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzParseFlowLine(f *testing.F) {
	f.Add([]byte(`{"src":"shop/a","dst":"b","proto":"UDP","port":53,"expected":true}`))
	f.Add([]byte(`{"src":"10.0.0.1","dst":"fd00::1","proto":47,"x":{"y":[1,2]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		line, err := parseFlowLine(1, data, "ns")
		if err == nil && (line.flow.src == endRef{} || line.flow.dst == endRef{}) {
			t.Errorf("accepted without ends: %q", data)
		}
	})
}

func FuzzParseTarget(f *testing.F) {
	f.Add("[fd00::1]:53/UDP")
	f.Add("shop/api:http")
	f.Fuzz(func(t *testing.T, s string) {
		dst, _, _, err := parseTarget(s, "ns")
		if err == nil && dst == (endRef{}) {
			t.Errorf("accepted without an end: %q", s)
		}
	})
}
