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
	}
	if !r.contested {
		t.Error("a fight counts as none")
	}
	if len(r.recent) > RepairsAtOnce {
		t.Errorf("%d repairs are remembered", len(r.recent))
	}
	// Somebody who comes rarely is met at once, each time, but it is a contest until
	// there was calm.
	for range 10 {
		now = now.Add(RepairPause)
		if d := r.wait(now); d > 0 {
			t.Errorf("one change in %v is left to wait for %v", RepairPause, d)
		}
		r.begin(now)
	}
	s := &State{contest: r}
	for after, want := range map[time.Duration]bool{ContestCalm - 1: true, ContestCalm: false} {
		again := *s
		if got, tell := again.Repairs(false, now.Add(after)); !tell || got.Contested != want {
			t.Errorf("after %v of calm it is a contest: %t", after, got.Contested)
		}
	}
}
