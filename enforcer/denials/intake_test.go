package denials

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/sluice-net/sluice/policy"
)

// flood is a log of the n-th flow of many.
func flood(n int) Log {
	return Log{
		Prefix:  []byte("sluice:ingress"),
		Payload: packet4(netip.AddrFrom4([4]byte{10, byte(n >> 24), byte(n >> 16), 9}).String(), "10.0.0.2", policy.UDP, 0, 0, ports(1, uint16(n))...),
	}
}

// A hundred thousand logs a second, of as many flows, leave behind what a second's rate
// lets pass, and a count of the rest.
func TestFloodIsBounded(t *testing.T) {
	q := newIntake(DefaultRate)
	now := start
	n, explained := 0, 0
	for range 100 {
		for range 1000 {
			q.add(flood(n), now)
			n++
		}
		now = now.Add(10 * time.Millisecond)
		list, _ := q.take(atOnce)
		explained += len(list)
	}
	left := q.left()
	if explained < DefaultRate || explained > 3*DefaultRate {
		t.Errorf("%d of %d were explained in a second at a rate of %d", explained, n, DefaultRate)
	}
	if total := uint64(explained) + left[LeftOutRate] + left[LeftOutQueue] + left[LeftOutFlows] + uint64(len(q.queue)); total != uint64(n) {
		t.Errorf("%d logs came, %d are accounted for: %v", n, total, left)
	}
}

// Nothing grows beyond its limit at the highest rate, while nobody takes what waits for ten
// minutes, nor while somebody does.
func TestIntakeIsBounded(t *testing.T) {
	q := newIntake(MaxRate)
	now := start
	n := 0
	for range 20 * 60 * 2 {
		for range MaxRate / 2 {
			q.add(flood(n), now)
			n++
		}
		now = now.Add(500 * time.Millisecond)
		if len(q.queue) > mostWaiting || len(q.known) > mostFlows || len(q.order) > 3*MaxRate*int(remembered/time.Second) {
			t.Fatalf("%d wait, %d flows are known, %d turns", len(q.queue), len(q.known), len(q.order))
		}
		if now.Sub(start) > 10*time.Minute {
			q.take(mostWaiting)
		}
	}
	if left := q.left(); left[LeftOutQueue] == 0 || left[LeftOutFlows] == 0 {
		t.Errorf("left out: %v: want some for want of room in the queue, and among the flows", left)
	}
	now = now.Add(time.Hour)
	q.add(flood(n), now)
	if len(q.known) != 1 || len(q.order)-q.head != 1 {
		t.Errorf("an hour later %d flows and %d turns are known", len(q.known), len(q.order)-q.head)
	}
}

// What cannot be read, or is not ours, is counted and no more.
func TestUnreadLogs(t *testing.T) {
	q := newIntake(DefaultRate)
	q.add(Log{Prefix: []byte("sluice:ingress")}, start)
	q.add(Log{Prefix: []byte("sluice:ingress"), Payload: []byte{1, 2, 3}}, start)
	q.add(Log{Prefix: []byte("another's"), Payload: packet4("10.0.0.1", "10.0.0.2", policy.UDP, 0, 0, ports(1, 2)...)}, start)
	if left := q.left(); left[LeftOutUnread] != 3 || len(q.queue) != 0 {
		t.Errorf("left out: %v, %d wait", left, len(q.queue))
	}
}

// Two protocols, directions or reasons are two flows, two ports of a client are one.
func TestFlows(t *testing.T) {
	q := newIntake(DefaultRate)
	log := func(prefix string, protocol policy.Protocol, rest ...byte) {
		q.add(Log{Prefix: []byte(prefix), Payload: packet4("10.0.0.1", "10.0.0.2", protocol, 0, 0, rest...)}, start)
	}
	log("sluice:ingress", policy.TCP, ports(1, 80)...)
	log("sluice:ingress", policy.TCP, ports(2, 80)...)
	log("sluice:ingress", policy.UDP, ports(1, 80)...)
	log("sluice:egress", policy.TCP, ports(1, 80)...)
	log("sluice:ingress-reply", policy.TCP, ports(80, 1)...)
	log("sluice:ingress", policy.ICMP, 8, 0)
	log("sluice:ingress", policy.ICMP, 8, 0)
	log("sluice:ingress", policy.ICMP, 3, 4)
	log("sluice:ingress", 47)
	if len(q.queue) != 7 {
		t.Errorf("%d flows, want 7: %v", len(q.queue), q.order)
	}
}

func TestJudgedAt(t *testing.T) {
	for ago, want := range map[time.Duration]time.Duration{
		0: 0, time.Millisecond: time.Millisecond, time.Second: time.Second,
		-time.Second: 0, time.Hour: 0, // another clock
	} {
		l := Log{Time: start.Add(-ago)}
		if got := start.Sub(judgedAt(&l, start)); got != want {
			t.Errorf("a log of %v ago counts as of %v ago", ago, got)
		}
	}
	if got := judgedAt(&Log{}, start); !got.Equal(start) {
		t.Errorf("a log without a time is of %v", got)
	}
}

func BenchmarkIntakeFlood(b *testing.B) {
	logs := make([]Log, 4096)
	for i := range logs {
		logs[i] = flood(i * 7)
	}
	q := newIntake(DefaultRate)
	now := start
	b.ReportAllocs()
	for i := range b.N {
		now = now.Add(10 * time.Microsecond)
		q.add(logs[i%len(logs)], now)
		if i%1000 == 0 {
			q.take(atOnce)
		}
	}
}

func BenchmarkExplain(b *testing.B) {
	r, clock := simple(b, Config{Rate: MaxRate})
	b.ReportAllocs()
	for i := range b.N {
		clock.SetTime(start.Add(time.Duration(i) * time.Second))
		r.Log(flood(i))
		if r.Explain(0) {
			b.Fatal("more waits")
		}
	}
	if n, _, all := r.Store().Held(); all != uint64(b.N) || n == 0 {
		b.Fatal(fmt.Sprint(n, all))
	}
}
