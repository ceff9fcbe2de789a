package denials

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/policy"
)

// simple is a recorder with two Pods, of which policies isolate db.
func simple(t testing.TB, cfg Config) (*Recorder, *testingclock.FakePassiveClock) {
	t.Helper()
	clock := testingclock.NewFakePassiveClock(start)
	cfg.Clock = clock
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	x := policy.NewIndex(policy.Options{Node: "n1"})
	for i, name := range []string{"web-7d9-abcde", "db-0"} {
		p := &policy.Pod{Node: "n1", Addrs: []netip.Addr{addr4(byte(1 + i)), addr6(byte(1 + i))}, NodeAddrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
		p.Namespace, p.Name, p.UID = "shop", name, "uid"
		p.Labels = map[string]string{"app": name}
		if i == 0 {
			p.Labels["pod-template-hash"] = "7d9"
		}
		x.SetPod(p)
	}
	x.SetNamespace("shop", nil)
	if err := x.SetPolicy(networkPolicy(t, "shop/db", `
podSelector: {matchLabels: {app: db-0}}
ingress:
- from: [{podSelector: {matchLabels: {app: api}}}]
  ports: [{port: 5432}]
`)); err != nil {
		t.Fatal(err)
	}
	r.Watch(x)
	return r, clock
}

// denied is a log of a TCP packet from web to db.
func denied(port uint16) Log {
	return Log{Prefix: []byte("sluice:ingress"), Payload: packet4("10.0.0.1", "10.0.0.2", policy.TCP, 0, 0, ports(40000, port)...)}
}

func TestOncePerFlowAndInterval(t *testing.T) {
	r, clock := simple(t, Config{})
	for range 5 {
		r.Log(denied(80))
	}
	if r.Explain(0); len(r.Store().Find(nil, 0)) != 1 {
		t.Fatalf("five logs of a flow are %d denials", len(r.Store().Find(nil, 0)))
	}
	clock.SetTime(start.Add(Interval - time.Millisecond))
	r.Log(denied(80))
	if r.Explain(0); len(r.Store().Find(nil, 0)) != 1 {
		t.Fatal("a flow is told of twice in an interval")
	}
	clock.SetTime(start.Add(Interval))
	r.Log(denied(80))
	r.Explain(0)
	list := r.Store().Find(nil, 0)
	if len(list) != 2 || list[0].Packets != 1 || list[0].Since != nil || list[1].Packets != 6 || !list[1].Since.Equal(start) {
		t.Fatalf("%d denials, the last %+v: want a second one of 6 packets since the first", len(list), list[len(list)-1])
	}
}

func TestKernelCounts(t *testing.T) {
	r, clock := simple(t, Config{})
	r.Log(denied(80))
	r.Explain(0)
	if list := r.Uncounted(); len(list) != 0 {
		t.Fatalf("%v is to be counted at once", list)
	}
	clock.SetTime(start.Add(Interval - countedBefore))
	list := r.Uncounted()
	if len(list) != 1 {
		t.Fatalf("%d flows are to be counted", len(list))
	}
	src, dst, protocol, port, ok := list[0].Element()
	if src != addr4(1) || dst != addr4(2) || protocol != policy.TCP || port != 80 || !ok {
		t.Errorf("element %v %v %v %d %v", src, dst, protocol, port, ok)
	}
	if again := r.Uncounted(); len(again) != 0 {
		t.Errorf("%v is to be counted twice", again)
	}
	r.Counted(list[0], 41)
	clock.SetTime(start.Add(2 * Interval))
	r.Log(denied(80))
	r.Explain(0)
	if all := r.Store().Find(nil, 0); len(all) != 2 || all[1].Packets != 41 {
		t.Errorf("the flow goes on as %+v: want 41 packets, of which the first was told of", all[len(all)-1])
	}
	clock.SetTime(start.Add(20 * Interval))
	r.Log(denied(81))
	if list := r.Uncounted(); len(list) != 0 {
		t.Errorf("%v is to be counted long after the kernel has forgotten it", list)
	}
}

func TestReplyIsTurnedAround(t *testing.T) {
	r, _ := simple(t, Config{})
	r.Log(Log{Prefix: []byte("sluice:ingress-reply"), Payload: packet4("10.0.0.2", "10.0.0.1", policy.TCP, 0, 0, ports(80, 40000)...)})
	r.Explain(7)
	list := r.Store().Find(nil, 0)
	if len(list) != 1 {
		t.Fatalf("%d denials", len(list))
	}
	d := list[0]
	if d.Reason != Reply || d.Src.Pod != "web-7d9-abcde" || d.Dst.Pod != "db-0" || d.Port != 80 || d.Epoch != 7 || !slices.Equal(d.Policies, []string{"shop/db"}) {
		t.Errorf("%+v", d)
	}
	if src, dst, _, port, ok := r.intake.order[0].flow.Element(); src != addr4(2) || dst != addr4(1) || port != 80 || !ok {
		t.Errorf("element %v %v %d %v: want it as the packet has it", src, dst, port, ok)
	}
}

func TestService(t *testing.T) {
	r, _ := simple(t, Config{ServiceAt: func(a netip.Addr, _ policy.Protocol, port uint16) (string, bool) {
		return fmt.Sprintf("shop/at-%s-%d", a, port), true
	}})
	through := denied(80)
	through.Original = netip.MustParseAddrPort("10.96.0.1:8080")
	direct := denied(81)
	direct.Original = netip.MustParseAddrPort("10.0.0.2:81")
	for _, l := range []Log{through, direct, denied(82)} {
		r.Log(l)
	}
	r.Explain(0)
	list := r.Store().Find(nil, 0)
	if len(list) != 3 || list[0].Service == nil || *list[0].Service != (Service{"10.96.0.1", 8080, "shop/at-10.96.0.1-8080"}) {
		t.Fatalf("%d denials, service %+v", len(list), list[0].Service)
	}
	if list[1].Service != nil || list[2].Service != nil {
		t.Errorf("services %v and %v of flows that came through none", list[1].Service, list[2].Service)
	}
}

// What the kernel denied and no policy does is told of as such.
func TestUnexplained(t *testing.T) {
	r, _ := simple(t, Config{})
	r.Log(Log{Prefix: []byte("sluice:egress"), Payload: packet4("10.0.0.1", "10.0.0.2", policy.TCP, 0, 0, ports(40000, 80)...)})
	r.Explain(0)
	if list := r.Store().Find(nil, 0); len(list) != 1 || list[0].Reason != Unexplained || list[0].Src.Pod != "web-7d9-abcde" {
		t.Errorf("%+v", list)
	}
}

// The prefixes that the rules have are understood.
func TestPrefixes(t *testing.T) {
	for _, d := range []policy.Direction{policy.Ingress, policy.Egress} {
		for _, reply := range []bool{false, true} {
			c, ok := causeOf([]byte(compiler.LogPrefix(d, reply)))
			want := Policy
			if reply {
				want = Reply
			}
			if !ok || c.direction != d || c.reply != reply || c.reason != want {
				t.Errorf("%s is read as %+v", compiler.LogPrefix(d, reply), c)
			}
		}
	}
	for _, foreign := range []string{"", "sluice", "sluice:", "sluice:other", "IN=eth0", "Sluice:ingress"} {
		if c, ok := causeOf([]byte(foreign)); ok {
			t.Errorf("%q is read as %+v", foreign, c)
		}
	}
	for _, p := range Prefixes() {
		c, ok := causeOf([]byte(p))
		if !ok || !slices.ContainsFunc(Reasons, func(k ReasonKind) bool { return k.Reason == c.reason }) {
			t.Errorf("%s has the reason %q, which is none", p, c.reason)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	for _, c := range []Config{{Rate: -1}, {Rate: MaxRate + 1}, {Keep: -1}, {KeepBytes: -1}} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}
