package rounds

import (
	"testing"
	"time"
)

// Changes are repaired at once, as long as nobody insists.
func TestRepairsPauseOnlyInAFight(t *testing.T) {
	var r contest
	now := time.Unix(1e9, 0)
	for i := range RepairsAtOnce {
		if d := r.wait(now); d > 0 {
			t.Fatalf("repair %d waits %v", i+1, d)
		}
		r.begin(now)
		r.end(now)
		now = now.Add(10 * time.Millisecond)
	}
	if r.contested {
		t.Error("a few repairs count as a fight")
	}
	for range 20 {
		if d := r.wait(now); d <= 0 || d > RepairPause {
			t.Fatalf("in a fight the next repair waits %v", d)
		}
		now = now.Add(r.wait(now))
		r.begin(now)
		r.end(now)
	}
	if !r.contested {
		t.Error("a fight counts as none")
	}
	if len(r.calms) >= RepairsAtOnce {
		t.Errorf("%d repairs are remembered", len(r.calms)+1)
	}
	// Somebody who comes rarely is met at once, each time, but it is a contest until
	// there was calm.
	for range 10 {
		now = now.Add(RepairPause)
		if d := r.wait(now); d > 0 {
			t.Errorf("one change in %v is left to wait for %v", RepairPause, d)
		}
		r.begin(now)
		r.end(now)
	}
	s := &State{contest: r}
	for after, want := range map[time.Duration]bool{ContestCalm - 1: true, ContestCalm: false} {
		again := *s
		if got, tell := again.Repairs(false, now.Add(after)); !tell || got.Contested != want {
			t.Errorf("after %v of calm it is a contest: %t", after, got.Contested)
		}
	}
}

// On a slow node a repair takes longer than a pause. Somebody who comes again at once is no
// less insistent for it, and the node has its pause.
func TestAFightIsOneHoweverLongARepairTakes(t *testing.T) {
	for _, took := range []time.Duration{time.Millisecond, RepairPause, time.Minute} {
		var c contest
		now := time.Unix(1e9, 0)
		for i := range 2 * RepairsAtOnce {
			want := time.Duration(0)
			if i >= RepairsAtOnce {
				want = RepairPause
			}
			if got := c.wait(now); got != want {
				t.Errorf("repair %d, each of which takes %v, waits for %v, want %v", i+1, took, got, want)
			}
			now = now.Add(c.wait(now))
			c.begin(now)
			// Another change comes before the repair has ended.
			if d := c.wait(now); i > RepairsAtOnce && d == 0 {
				t.Errorf("repair %d begins while another runs", i+2)
			}
			now = now.Add(took)
			c.end(now)
		}
		if !c.contested {
			t.Errorf("where a repair takes %v a fight counts as none", took)
		}
	}
}
