package suggest

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluice-net/sluice/policy"
)

func TestParseRecord(t *testing.T) {
	for name, c := range map[string]struct {
		line string
		want Flow
		err  string
	}{
		"ours": {
			line: `{"apiVersion":"sluice-net.github.io/v1alpha1","kind":"Flow","src":{"kind":"Pod","address":"10.0.0.1","namespace":"shop","pod":"web"},"dst":{"kind":"Node","address":"1.2.3.4","node":"n"},"protocol":"TCP","port":443}`,
			want: Flow{Src: End{Addr: netip.MustParseAddr("10.0.0.1"), Namespace: "shop", Pod: "web"}, Dst: End{Addr: netip.MustParseAddr("1.2.3.4"), Node: "n"}, Protocol: policy.TCP, Port: 443},
		},
		"a denial": {line: `{"kind":"Denial","src":{"address":"10.0.0.1"}}`, err: ErrSkip.Error()},
		"Hubble's": {
			line: `{"flow":{"verdict":"FORWARDED","IP":{"source":"10.0.0.1","destination":"10.0.0.2"},"l4":{"UDP":{"source_port":40000,"destination_port":53}},"source":{"namespace":"shop","pod_name":"web","labels":["k8s:app=web","k8s:io.kubernetes.pod.namespace=shop","reserved:host"]},"destination":{"namespace":"kube-system","pod_name":"dns"},"is_reply":false}}`,
			want: Flow{
				Src: End{Addr: netip.MustParseAddr("10.0.0.1"), Namespace: "shop", Pod: "web", Labels: map[string]string{"app": "web"}},
				Dst: End{Addr: netip.MustParseAddr("10.0.0.2"), Namespace: "kube-system", Pod: "dns"}, Protocol: policy.UDP, Port: 53,
			},
		},
		"Hubble's reply":        {line: `{"flow":{"verdict":"FORWARDED","is_reply":true}}`, err: ErrSkip.Error()},
		"Hubble's drop":         {line: `{"flow":{"verdict":"DROPPED"}}`, err: ErrSkip.Error()},
		"Hubble's node event":   {line: `{"flow":{"verdict":"FORWARDED","IP":{"source":"10.0.0.1","destination":"10.0.0.2"}}}`, err: ErrSkip.Error()},
		"no JSON":               {line: `shop/web`, err: "JSON: invalid character 's' looking for beginning of value"},
		"something else":        {line: `{"a":1}`, err: "neither kind nor flow is given: write flows as `sluice observe --allowed -o json` or `hubble observe -o jsonpb` do"},
		"an address that is no": {line: `{"kind":"Flow","src":{"address":"web"},"protocol":"TCP"}`, err: `src.address: "web" is no address`},
		"a protocol that is no": {line: `{"kind":"Flow","src":{"address":"10.0.0.1"},"dst":{"address":"10.0.0.1"},"protocol":"tcp"}`, err: `protocol: "tcp" is none of TCP, UDP, SCTP, ICMP, ICMPv6 or a number`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseRecord([]byte(c.line))
			if c.err != "" {
				if err == nil || err.Error() != c.err {
					t.Errorf("error %v, want %s", err, c.err)
				}
				return
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateComparable(netip.Addr{})); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`{"kind":"Flow","src":{"address":"10.0.0.1"},"dst":{"address":"1.2.3.4"},"protocol":"TCP","port":443}`))
	f.Add([]byte(`{"flow":{"verdict":"FORWARDED","IP":{"source":"::1","destination":"10.0.0.2"},"l4":{"TCP":{"destination_port":1}}}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		flow, err := ParseRecord(line)
		if err != nil {
			if errors.Is(err, ErrSkip) && flow.Protocol != 0 && flow.Src.Addr.IsValid() {
				t.Errorf("%+v is skipped", flow)
			}
			return
		}
		if !flow.Src.Addr.IsValid() || !flow.Dst.Addr.IsValid() || flow.Protocol == 0 && flow.Port != 0 {
			t.Errorf("%+v", flow)
		}
		if _, err := Make(&Input{Namespaces: []string{flow.Src.Namespace}, Flows: []Flow{flow}}); err != nil {
			t.Error(err)
		}
	})
}
