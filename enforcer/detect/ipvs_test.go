package detect

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ipvsList is as a kernel wrote it, with a service of each kind.
const ipvsList = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A600001:01BB rr persistent 10800 FFFFFFFF
  -> C0A80105:192B      Masq    1      0          0         
  -> C0A80106:192B      Masq    1      0          0         
UDP  0A60000A:0035 rr ops 
  -> 0AF40003:0035      Masq    1      0          0         
TCP  [fd00:0096:0000:0000:0000:0000:0000:000a]:0050 rr 
  -> [fd01:0000:0000:0000:0000:0000:0000:0002]:0050      Local   1      0          0         
SCTP 0A60000B:1388 rr 
  -> 0AF40004:1388      Route   1      0          0         
FWM  00000001 rr 
  -> 0AF40005:0050      Tunnel  1      0          0         
`

func TestIPVSServicesAreRead(t *testing.T) {
	got, err := readIPVS(strings.NewReader(ipvsList), 100)
	if err != nil {
		t.Fatal(err)
	}
	masq := map[string]bool{"Masq": true}
	want := []ipvsService{
		{protocol: "TCP", address: netip.MustParseAddrPort("10.96.0.1:443"), number: "0A600001:01BB", methods: masq},
		{protocol: "UDP", address: netip.MustParseAddrPort("10.96.0.10:53"), number: "0A60000A:0035", oneByOne: true, methods: masq},
		{protocol: "TCP", address: netip.MustParseAddrPort("[fd00:96::a]:80"), number: "[fd00:0096:0000:0000:0000:0000:0000:000a]:0050", methods: map[string]bool{"Local": true}},
		{protocol: "SCTP", address: netip.MustParseAddrPort("10.96.0.11:5000"), number: "0A60000B:1388", methods: map[string]bool{"Route": true}},
		{protocol: "FWM", number: "00000001", methods: map[string]bool{"Tunnel": true}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(ipvsService{}), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if few, err := readIPVS(strings.NewReader(ipvsList), 1); err != nil || len(few) != 1 || len(few[0].methods) != 1 {
		t.Errorf("up to one: %+v, %v", few, err)
	}
	var grave []string
	for _, s := range got {
		if c, ok := s.finding(); ok {
			grave = append(grave, c.Object)
			if c.Message == "" || c.Mend == "" {
				t.Errorf("%+v", c)
			}
		}
	}
	wantGrave := []string{"IPVS service udp 10.96.0.10:53", "IPVS service sctp 10.96.0.11:5000", "IPVS service of packet mark 0x00000001"}
	if diff := cmp.Diff(wantGrave, grave); diff != "" {
		t.Errorf("cannot be judged (-want +got):\n%s", diff)
	}
}

func TestIPVSListThatIsBrokenIsAnError(t *testing.T) {
	for _, text := range []string{
		"TCP  0A6001:01BB rr \n", "TCP  0A600001 rr \n", "UDP  0A600001:XYZ rr \n", "TCP  [fd00::zz]:0050 rr \n",
		"TCP  0A60000101:01BB rr \n", strings.Repeat("x", maxIPVSLine+1),
	} {
		if got, err := readIPVS(strings.NewReader(text), 10); err == nil {
			t.Errorf("%.40q: %+v", text, got)
		}
	}
}

// Whatever stands there: it is read or refused, and never more than asked for.
func FuzzReadIPVS(f *testing.F) {
	f.Add([]byte(ipvsList), 3)
	f.Add([]byte("TCP  [::]:0 rr\n->  x y\n"), 1)
	f.Fuzz(func(t *testing.T, data []byte, limit int) {
		limit = max(0, limit%100)
		services, err := readIPVS(bytes.NewReader(data), limit)
		if err == nil && len(services) > limit {
			t.Errorf("%d services", len(services))
		}
		for _, s := range services {
			_, _ = s.finding()
		}
	})
}
