package app

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/question"
)

func podEnd(namespace, name string) question.End { return question.PodEnd(namespace, name) }

func addrEnd(s string) question.End { return question.AddrEnd(netip.MustParseAddr(s)) }

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("error: %v", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("error %v, want %q in it", err, want)
	}
}

func TestParseFlowLine(t *testing.T) {
	yes, no := true, false
	tests := map[string]struct {
		in       string
		want     question.Question
		expected *bool
		wantErr  string
	}{
		"whole":            {in: `{"src":"shop/a","dst":"b","proto":"UDP","port":53,"expected":true}`, want: question.Question{Src: podEnd("shop", "a"), Dst: podEnd("ns", "b"), Protocol: policy.UDP, Port: "53"}, expected: &yes},
		"defaults":         {in: `{"src":"10.0.0.1","dst":"b","port":"http","expected":false}`, want: question.Question{Src: addrEnd("10.0.0.1"), Dst: podEnd("ns", "b"), Protocol: policy.TCP, Port: "http", AnyProtocol: true}, expected: &no},
		"nulls are absent": {in: `{"src":"a","dst":"b","proto":null,"port":80,"expected":null}`, want: question.Question{Src: podEnd("ns", "a"), Dst: podEnd("ns", "b"), Protocol: policy.TCP, Port: "80", AnyProtocol: true}},
		"number protocol":  {in: `{"src":"a","dst":"b","proto":132,"port":80}`, want: question.Question{Src: podEnd("ns", "a"), Dst: podEnd("ns", "b"), Protocol: policy.SCTP, Port: "80"}},
		"extra fields":     {in: `{"name":"case 1","src":"a","dst":"b","port":80,"tags":["x"]}`, want: question.Question{Src: podEnd("ns", "a"), Dst: podEnd("ns", "b"), Protocol: policy.TCP, Port: "80", AnyProtocol: true}},
		"earlier answer":   {in: `{"src":"a","dst":"b","port":80,"allowed":true,"error":"x"}`, want: question.Question{Src: podEnd("ns", "a"), Dst: podEnd("ns", "b"), Protocol: policy.TCP, Port: "80", AnyProtocol: true}},

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
			if got.question != tt.want {
				t.Errorf("got %+v, want %+v", got.question, tt.want)
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
		if err == nil && (line.question.Src == question.End{} || line.question.Dst == question.End{}) {
			t.Errorf("accepted without ends: %q", data)
		}
	})
}
