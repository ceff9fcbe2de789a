package enforcer

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/enforcer/source"
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
		if c, ok := s.condition(); ok {
			grave = append(grave, c.Object)
			if !c.NotReady() || c.Message == "" || c.Mend == "" {
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
			_, _ = s.condition()
		}
	})
}

// The interface that kube-proxy makes has the hook output judged a moment later, with a
// new epoch, and the node stays ready; it stays so when the interface goes.
func TestAgentJudgesHookOutputWhereIPVSComes(t *testing.T) {
	c := newCluster(t, "bridge")
	a := startAgent(t, c.node, &source.Memory{}, func(cfg *Config) { cfg.AuditInterval = time.Hour })
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	judges := func() bool {
		table := c.node.cmd("nft", "list", "table", "inet", "sluice")
		return strings.Contains(table, "hook output") && strings.Contains(table, "chain judge-output")
	}
	if judges() {
		t.Fatal("without IPVS there is a hook too many")
	}
	c.front.expect(c.web, 80, true)
	before := a.Status().Epoch
	c.node.ip("link add kube-ipvs0 type bridge")
	eventually(t, "hook output is judged", judges)
	a.settle()
	if now := a.Status().Epoch; now == before {
		t.Error("what was judged without IPVS counts on")
	}
	if err := a.Ready(); err != nil {
		t.Error(err)
	}
	c.front.expect(c.web, 80, true)
	c.bad.expect(c.web, 80, false)
	if !c.node.reaches(c.web.addr(0), 81, true) {
		t.Error("the node does not reach its own Pod")
	}
	c.node.ip("link del kube-ipvs0")
	a.settle()
	if !judges() {
		t.Error("the hook went with the interface")
	}
	// An agent that finds no IPVS takes it away.
	a.stop()
	a = startAgent(t, c.node, a.source)
	a.settle()
	eventually(t, "the hook is gone", func() bool { return !strings.Contains(c.node.cmd("nft", "list", "table", "inet", "sluice"), "output") })
	c.front.expect(c.web, 80, true)
	c.bad.expect(c.web, 80, false)
}
