package denials

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/policy"
)

var start = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// after is a time so many milliseconds after the start.
func after(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }

func only(list ...policy.Generation) func(policy.Generation) bool {
	return func(g policy.Generation) bool {
		for _, one := range list {
			if g == one {
				return true
			}
		}
		return false
	}
}

// states says which of the first generations are missing in each state, in order.
func states(t *timeline, when time.Time) string {
	var out []string
	for _, s := range t.at(when) {
		missing := ""
		for g := policy.Generation(1); g <= 9; g++ {
			if s.without(g) {
				missing += fmt.Sprint(g)
			}
		}
		out = append(out, fmt.Sprintf("%d without %q", s.latest, missing))
	}
	return strings.Join(out, "; ")
}

func TestTimeline(t *testing.T) {
	var l timeline
	for g := policy.Generation(1); g <= 3; g++ {
		l.told(g)
	}
	l.committing(after(100), only(1))
	l.committed(after(110), only(1))
	l.committing(after(500), only(2))
	l.committed(after(600), only(2))
	for ms, want := range map[int]string{
		0:   `0 without "123"`,
		90:  `0 without "123"; 1 without "23"`,
		105: `0 without "123"; 1 without "23"`,
		120: `1 without "23"; 0 without "123"`,
		300: `1 without "23"`,
		490: `1 without "23"; 2 without "3"`,
		550: `1 without "23"; 2 without "3"`,
		610: `2 without "3"; 1 without "23"`,
		900: `2 without "3"`,
	} {
		if diff := cmp.Diff(want, states(&l, after(ms))); diff != "" {
			t.Errorf("at %d ms (-want +got):\n%s", ms, diff)
		}
	}
	if g := l.inForce(); g != 2 {
		t.Errorf("generation %d is in force, not 2", g)
	}
	if g := l.tidy(after(500)); g != 0 {
		t.Errorf("generation %d was forgotten too soon", g)
	}
	if g := l.tidy(after(110).Add(keep + time.Millisecond)); g != 1 || len(l.spans) != 2 {
		t.Errorf("forgotten up to %d, %d generations left: want 1 and 2", g, len(l.spans))
	}
	if g := l.tidy(after(600).Add(time.Hour)); g != 2 || len(l.spans) != 1 {
		t.Errorf("forgotten up to %d, %d generations left: want the one that is not in force", g, len(l.spans))
	}
	if g := l.inForce(); g != 2 {
		t.Errorf("generation %d is in force, not 2", g)
	}
}

// A small change overtakes a large one that is still being prepared.
func TestTimelineOvertaken(t *testing.T) {
	var l timeline
	l.told(1)
	l.told(2)
	l.committing(after(10), only(2))
	l.committed(after(11), only(2))
	if got, want := states(&l, after(200)), `2 without "1"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if g := l.tidy(after(11).Add(time.Hour)); g != 0 {
		t.Errorf("forgotten up to %d, though 1 is not in force", g)
	}
	l.committing(after(300), only(1))
	l.committed(after(310), only(1))
	if got, want := states(&l, after(400)), `2 without ""`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A kernel that takes nothing leaves no more behind than the limit.
func TestTimelineIsBounded(t *testing.T) {
	var l timeline
	for g := policy.Generation(1); g <= 3*mostSpans; g++ {
		l.told(g)
	}
	if len(l.spans) > mostSpans {
		t.Errorf("%d generations are kept", len(l.spans))
	}
	if n := len(l.at(after(0))); n != 1 {
		t.Errorf("%d states, want one", n)
	}
}
