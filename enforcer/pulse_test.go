package enforcer

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-net/sluice/enforcer/source"
)

func TestPulseKnowsWhenTheProcessDidNotRun(t *testing.T) {
	begin := time.Unix(1e9, 0)
	at := begin.Add
	var p pulse
	want := func(when, asleep time.Duration) {
		t.Helper()
		if got := p.asleep(at(when)); got != asleep {
			t.Errorf("at %v it has been asleep for %v, want %v", when, got, asleep)
		}
	}
	want(0, 0)
	for d := time.Duration(0); d <= 10*time.Second; d += longestNap {
		if p.beat(at(d)) {
			t.Errorf("at %v it wakes", d)
		}
		want(d+longestNap, 0)
	}
	// Whoever asks first, the answer is the same.
	want(17*time.Second, 7*time.Second)
	if !p.beat(at(17 * time.Second)) {
		t.Error("it does not wake")
	}
	want(17*time.Second+awakening-1, 7*time.Second)
	want(17*time.Second+awakening, 0)
	if p.beat(at(18 * time.Second)) {
		t.Error("it wakes twice")
	}
}

// An agent that was stopped for a while says at its first breath what it knew before, which
// may not hold any more.
func TestAnAgentThatWasAsleepIsNotReady(t *testing.T) {
	a, err := New(Config{}, &source.Memory{}, nil, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	a.status.setSynced()
	a.status.setEnforcing(1, time.Now())
	a.pulse.beat(time.Now())
	if err := a.Ready(); err != nil {
		t.Fatalf("at rest: %v", err)
	}
	a.pulse.last = time.Now().Add(-time.Minute)
	for _, when := range []string{"before its pulse", "after its pulse"} {
		if told := fmt.Sprint(a.Status().Kinds()); a.Ready() == nil || told != "[Asleep 1]" {
			t.Errorf("%s: conditions %s, ready: %v", when, told, a.Ready())
		}
		a.pulse.beat(time.Now())
	}
}
