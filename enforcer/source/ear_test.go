package source

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// A watch that stands again has missed something, unless it broke off for a moment.
func TestWatchThatBrokeOffIsNotCurrentForAMinute(t *testing.T) {
	for name, tt := range map[string]struct {
		failed time.Duration
		want   bool
	}{"for a moment": {100 * time.Millisecond, true}, "for long": {2 * time.Second, false}} {
		e := &ear{heard: time.Now(), failing: time.Now().Add(-tt.failed)}
		e.hears()
		if err := e.current(time.Now()); (err == nil) != tt.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A request that is given up without an answer is no sign of life: what is told of the
// silence is told until something is heard.
func TestSilenceIsToldWithoutAGap(t *testing.T) {
	p, now := defaultPatience(), time.Now()
	e := &ear{heard: now.Add(-p.giveUp), waiting: now.Add(-p.giveUp)}
	if e.trouble(now, p) == nil {
		t.Fatal("a request without an answer is not told")
	}
	e.fails(errors.New("no answer"))
	e.answered()
	for _, later := range []time.Duration{0, p.tick, p.hiccup, p.giveUp} {
		if e.trouble(now.Add(later), p) == nil {
			t.Errorf("%v after it was given up nothing is told", later)
		}
	}
	e.hears()
	if err := e.trouble(time.Now(), p); err != nil {
		t.Errorf("told of a watch that stands: %v", err)
	}
}

func TestWatchIsCurrentOnlyWhileItIsHeard(t *testing.T) {
	now := time.Now()
	for name, tt := range map[string]struct {
		ear  *ear
		want string
	}{
		"heard":     {&ear{heard: now.Add(-19 * time.Second)}, ""},
		"silent":    {&ear{heard: now.Add(-20 * time.Second)}, "nothing was heard"},
		"never":     {&ear{}, "nothing was heard"},
		"failing":   {&ear{heard: now, failing: now}, "does not stand"},
		"asked":     {&ear{heard: now, waiting: now.Add(-900 * time.Millisecond)}, ""},
		"again":     {&ear{heard: now, interrupted: now.Add(-59 * time.Second)}, "stands only since"},
		"steady":    {&ear{heard: now, interrupted: now.Add(-time.Minute)}, ""},
		"no answer": {&ear{heard: now, waiting: now.Add(-time.Second)}, "no answer"},
	} {
		if got := errorText(tt.ear.current(now)); !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
