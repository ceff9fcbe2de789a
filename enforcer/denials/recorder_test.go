package denials

import (
	"fmt"
	"math/rand/v2"
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
		cluster := spectest.Random(p.r, spectest.Options{Contested: seed%7 == 0, Modes: seed%3 == 0})
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
