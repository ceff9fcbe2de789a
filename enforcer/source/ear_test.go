package source

import (
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
