package denials

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/spectest"
)

// deliver hands an event to an index.
func deliver(t testing.TB, x *policy.Index, e spectest.Event) {
	t.Helper()
	switch {
	case e.Pod != nil && e.Delete:
		x.DeletePod(e.Name())
	case e.Pod != nil:
		pod, err := policy.PodFromAPI(e.Pod)
		if err != nil {
			t.Fatal(err)
		}
		x.SetPod(pod)
	case e.Policy != nil && e.Delete:
		x.DeletePolicy(e.Name())
	case e.Policy != nil:
		if err := x.SetPolicy(e.Policy); err != nil {
			t.Fatal(err)
		}
	case e.Delete:
		x.DeleteNamespace(e.Namespace.Name)
	default:
		x.SetNamespace(e.Namespace.Name, e.Namespace.Labels)
	}
}

// packetOf is the first packet of a flow.
func packetOf(f spectest.Flow) []byte {
	rest := []byte{8, 0}
	if p := policy.Protocol(f.Protocol); p.HasPorts() {
		rest = ports(40000, f.Port)
	}
	if f.Src.Is4() {
		return packet4(f.Src.String(), f.Dst.String(), policy.Protocol(f.Protocol), 0, 0, rest...)
	}
	return packet6(f.Src.String(), f.Dst.String(), f.Protocol, rest...)
}

// A play is a history of a cluster, with a kernel that is told of each generation a
// little later than the index, and judges packets by what it knows.
type play struct {
	t     *testing.T
	r     *rand.Rand
	now   time.Time
	clock *testingclock.FakePassiveClock
	rec   *Recorder
	live  *policy.Index
	told  []spectest.Event
	// states are what the kernel knew, each since a time.
	states []kernelState
	// sent are denied packets, by what a record of them shows.
	sent map[string]sentPacket
	// sure counts those of which it is sure what judged them.
	sure int
}

type kernelState struct {
	index *policy.Index
	// began, since and ended are when its commit began, held, and had ended.
	began, since, ended time.Time
}

type sentPacket struct {
	flow      policy.Flow
	direction policy.Direction
	at        time.Time
}

func newPlay(t *testing.T, seed uint64) *play {
	t.Helper()
	p := &play{t: t, r: spectest.Seeded(seed), now: start, clock: testingclock.NewFakePassiveClock(start), sent: map[string]sentPacket{}}
	rec, err := New(Config{Node: "node-0", Rate: MaxRate, Clock: p.clock, Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	p.rec, p.live = rec, policy.NewIndex(policy.Options{})
	return p
}

func (p *play) pass(most time.Duration) {
	p.now = p.now.Add(time.Duration(p.r.Int64N(int64(most))))
	p.clock.SetTime(p.now)
}

func (p *play) tell(events []spectest.Event) {
	for _, e := range events {
		deliver(p.t, p.live, e)
		p.told = append(p.told, e)
	}
}

// commit has the kernel know what the index does.
func (p *play) commit() {
	began := p.now
	p.rec.Committing()
	p.pass(30 * time.Millisecond)
	since := began.Add(time.Duration(p.r.Int64N(int64(p.now.Sub(began)) + 1)))
	p.rec.Committed()
	now := policy.NewIndex(policy.Options{})
	for _, e := range spectest.Replay(p.told).Final() {
		deliver(p.t, now, e)
	}
	p.states = append(p.states, kernelState{now, began, since, p.now})
}

// state is what the kernel knew at a time.
func (p *play) state(at time.Time) int {
	for i := len(p.states) - 1; i > 0; i-- {
		if !p.states[i].since.After(at) {
			return i
		}
	}
	return 0
}

// send sends a packet that is judged between a time and now, and logs it if it is
// denied.
func (p *play) send(from time.Time) {
	cluster := spectest.Replay(p.told)
	if len(cluster.Pods) == 0 {
		return
	}
	f := cluster.RandomFlow(p.r)
	at := from.Add(time.Duration(p.r.Int64N(int64(p.now.Sub(from)) + 1)))
	flow := policy.Flow{Src: policy.End{Addr: f.Src}, Dst: policy.End{Addr: f.Dst}, Protocol: policy.Protocol(f.Protocol), Port: f.Port}
	v := p.states[p.state(at)].index.Evaluate(flow)
	direction := policy.Egress
	switch {
	case v.Allowed:
		return
	case v.Egress.Allowed:
		direction = policy.Ingress
	}
	id := fmt.Sprint(f.Src, " ", f.Dst, " ", policy.Protocol(f.Protocol), " ", f.Port, " ", direction)
	if _, known := p.sent[id]; known {
		return // it is told of once
	}
	p.sent[id] = sentPacket{flow, direction, at}
	// The clock of the log is another one's, and a little behind.
	stamp := at.Add(-time.Duration(p.r.Int64N(int64(slack)))).Round(0)
	p.rec.Log(Log{Prefix: []byte(compiler.LogPrefix(direction, false)), Time: stamp, Payload: packetOf(f)})
}

func idOf(d *Denial) string {
	return fmt.Sprint(d.Src.Address, " ", d.Dst.Address, " ", d.Protocol, " ", d.Port, " ", d.Direction)
}

// check says what is wrong with a denial.
func (p *play) check(d *Denial) string {
	s, known := p.sent[idOf(d)]
	if !known {
		return "no packet was denied"
	}
	if d.Reason != Policy && d.Reason != TooManyClaims {
		return "its reason is " + string(d.Reason)
	}
	// The log's time is up to slack early, and so is the recorder's doubt: near a commit
	// another state that denies may be taken for the one that judged.
	var wants []int
	for i := range p.states {
		from, to := p.states[i].began, p.now.Add(time.Hour)
		if i+1 < len(p.states) {
			to = p.states[i+1].ended
		}
		if !from.After(s.at.Add(slack)) && !to.Before(s.at.Add(-2*slack)) {
			wants = append(wants, i)
		}
	}
	if len(wants) == 1 {
		p.sure++
	}
	var said []string
	for _, i := range wants {
		v := p.states[i].index.Explain(s.flow)
		one := v.Ingress
		if s.direction == policy.Egress {
			one = v.Egress
		}
		want := wanted(one)
		if !one.Allowed && slices.Equal(want, slices.Concat(d.Policies, make([]string, d.MorePolicies))) && sameEnds(d, v.Flow) {
			return ""
		}
		said = append(said, fmt.Sprintf("state %d: allowed %v, policies %v, ends %v and %v", i, one.Allowed, want, v.Flow.Src.Pod, v.Flow.Dst.Pod))
	}
	return fmt.Sprintf("policies %v, ends %s and %s, generation %d; but %s", d.Policies, d.Src.Name(), d.Dst.Name(), d.Generation, strings.Join(said, "; "))
}

// wanted are the policies as a denial has them.
func wanted(v policy.DirectionVerdict) []string {
	if v.Reason == policy.ReasonTooManyClaims {
		return nil
	}
	out := make([]string, len(v.Policies))
	for i, t := range v.Policies {
		if i < mostPolicies {
			out[i] = t.Policy.String()
		}
	}
	return out
}

func sameEnds(d *Denial, f policy.Flow) bool {
	same := func(e End, p *policy.Pod) bool {
		return p == nil && e.Kind != PodEnd || p != nil && e.Kind == PodEnd && e.Namespace == p.Namespace && e.Pod == p.Name && e.Node == p.Node
	}
	return same(d.Src, f.Src.Pod) && same(d.Dst, f.Dst.Pod)
}

// Every denied packet is told of once, with the policies and Pods of the state of the
// policies by which the kernel judged it, however the index ran ahead meanwhile.
func TestDeniedByTheJudgingGeneration(t *testing.T) {
	told, moved, sure := 0, 0, 0
	for seed := range uint64(150) {
		p := newPlay(t, seed)
		cluster := spectest.Random(p.r, spectest.Options{Contested: seed%7 == 0})
		events := cluster.Events(p.r)
		half := len(events) / 2
		p.tell(events[:half])
		p.rec.Watch(p.live)
		p.commit()
		last := p.now
		for rest := events[half:]; len(rest) > 0; {
			n := min(len(rest), 1+p.r.IntN(6))
			p.pass(100 * time.Millisecond)
			if p.r.IntN(2) == 0 {
				p.rec.Explain(1)
			}
			p.rec.Begin()
			p.tell(rest[:n])
			rest = rest[n:]
			p.pass(20 * time.Millisecond)
			for range 12 {
				p.send(last)
			}
			last = p.now
			if p.r.IntN(5) == 0 {
				continue // the commit fails: the next one brings it
			}
			if p.r.IntN(3) == 0 {
				p.rec.Explain(1)
			}
			p.commit()
		}
		p.pass(time.Second)
		for p.rec.Explain(1) {
		}
		for _, d := range p.rec.Store().Find(nil, 0) {
			if diff := p.check(d); diff != "" {
				t.Fatalf("seed %d: %s: %s", seed, idOf(d), diff)
			}
			if s := p.sent[idOf(d)]; p.live.Evaluate(s.flow).Allowed {
				moved++ // today's policies would allow it
			}
			told++
		}
		sure += p.sure
		if n, _, _ := p.rec.Store().Held(); n != len(p.sent) {
			t.Fatalf("seed %d: %d packets were denied, %d told of; left out: %v", seed, len(p.sent), n, p.rec.LeftOut())
		}
	}
	if told < 2000 || moved < 100 || sure < 1000 {
		t.Errorf("%d denials, %d of them by policies of another generation than today's, %d by one that is sure: too few to prove anything", told, moved, sure)
	}
}

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
