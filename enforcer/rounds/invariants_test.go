package rounds

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// TestInvariantsOverRandomRounds holds whatever happens to what must hold.
func TestInvariantsOverRandomRounds(t *testing.T) {
	for seed := range uint64(500) {
		if !holdsOver(t, rand.New(rand.NewPCG(seed, 1))) {
			t.Fatalf("seed %d", seed)
		}
	}
}

func holdsOver(t *testing.T, r *rand.Rand) bool {
	var out bytes.Buffer
	l := &loop{now: time.Unix(1_000_000, 0), out: &out}
	some := func(p float64, words ...string) (said []string) {
		for _, w := range words {
			if r.Float64() < p {
				said = append(said, w)
			}
		}
		return said
	}
	run := func(fields ...string) string {
		out.Reset()
		if err := l.command(fields); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	fail := func(what, said string) bool {
		t.Errorf("%s:\n%s", what, said)
		return false
	}
	run(append([]string{"start"}, some(0.5, "table", "epoch", "grace", "bits", "wants-grace")...)...)
	// owed is since when a change by others waits for its repair.
	var owed time.Time
	mustReplace := true
	for range 40 {
		words := some(0.2, "synced", "settle", "events", "touched", "curious", "drifted", "moved", "narrows", "distrusted", "empty", "noticed", "idle")
		fails := []string{"", "", "", "look", "resolve", "replace", "commit"}[r.IntN(7)]
		if fails != "" {
			words = append(words, "fails="+fails)
		}
		wasSynced := l.Synced()
		said := run(append([]string{"round"}, words...)...)
		replaced, committed := strings.Contains(said, "replace all"), strings.Contains(said, "commit under")
		switch {
		case !l.Synced() && (replaced || committed || strings.Contains(said, "look at")):
			return fail("something is enforced before everything was delivered", said)
		case l.Synced() && mustReplace && committed && !replaced:
			return fail("what may not be there is changed instead of replaced", said)
		case strings.Contains(said, "failed;") && !l.Doubtful():
			return fail("a failure is forgotten", said)
		case strings.Contains(said, "look at everything: it fails") && !l.unseen:
			return fail("a look that failed is forgotten", said)
		}
		if l.Synced() && (wasSynced || l.has("drifted")) && l.drifted && owed.IsZero() {
			owed = l.now
		}
		if !l.drifted {
			owed = time.Time{}
		}
		if !owed.IsZero() && l.now.Sub(owed) > RepairPause+30*time.Second {
			return fail("a change by others is not answered", said)
		}
		mustReplace = l.Doubtful()
		said = run(append([]string{"sleep"}, some(0.3, "curious", "woken", "guards=1s", "peek=20ms")...)...)
		if pause, deaf := l.Pause(Dues{-1, -1, -1, -1, -1}, false, l.now); pause < 0 || !deaf && pause > l.config.InspectInterval || pause > l.config.RetryMax {
			return fail("it sleeps for "+pause.String(), said)
		}
	}
	return true
}
