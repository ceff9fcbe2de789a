package source

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestMailboxKeepsTheLatestOfEachObject(t *testing.T) {
	c := clocktesting.NewFakeClock(time.Unix(100, 0))
	woken := 0
	m := NewMailbox(c, func() { woken++ })
	name := types.NamespacedName{Name: "shop"}
	m.Deliver(Event{Kind: NamespaceEvent, Name: name, Labels: map[string]string{"a": "1"}})
	c.Step(time.Second)
	m.Deliver(Event{Kind: NamespaceEvent, Name: name, Deleted: true}, Event{Kind: NodeEvent, Name: name})
	m.Synced()
	b := m.Take(Everything)
	want := map[Key]Event{
		{NamespaceEvent, name}: {Kind: NamespaceEvent, Name: name, Deleted: true},
		{NodeEvent, name}:      {Kind: NodeEvent, Name: name},
	}
	if diff := cmp.Diff(want, b.Events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if !b.Synced || !b.Since.Equal(time.Unix(100, 0)) || b.Settle || woken != 3 {
		t.Errorf("synced %v, since %v, settle %v, woken %d", b.Synced, b.Since, b.Settle, woken)
	}
	if seq := m.Ask(); seq <= b.Seq {
		t.Errorf("Ask gave %d, but %d was taken already", seq, b.Seq)
	}
	if b := m.Take(Everything); !b.Settle || len(b.Events) != 0 || !b.Since.IsZero() {
		t.Errorf("after Ask: %+v", b)
	}
}

func TestMailboxForgetsTroubleThatIsOver(t *testing.T) {
	m := NewMailbox(clocktesting.NewFakeClock(time.Now()), func() {})
	m.Report("a.yaml", errors.New("broken"))
	m.Report("b.yaml", errors.New("broken"))
	m.Report("a.yaml", nil)
	if got := m.Reports(); len(got) != 1 || got["b.yaml"] == nil {
		t.Errorf("got %v", got)
	}
}

// Whoever asks whether a version is in force must be told so though a later one
// replaced it before anybody looked.
func TestMailboxNamesTheVersionsThatItJumpsOver(t *testing.T) {
	m := NewMailbox(clocktesting.NewFakeClock(time.Now()), func() {})
	name := types.NamespacedName{Name: "shop"}
	version := func(rv string) Version { return Version{"u", rv} }
	deliver := func(e Event) {
		e.Kind, e.Name = NamespaceEvent, name
		m.Deliver(e)
	}
	earlier := func() []Version { return m.Take(Everything).Events[Key{NamespaceEvent, name}].Earlier }
	deliver(Event{Version: version("1")})
	deliver(Event{Version: version("2")})
	deliver(Event{Version: version("2")}) // a new list
	deliver(Event{Deleted: true, Version: version("4")})
	if diff := cmp.Diff([]Version{version("1"), version("2")}, earlier()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	deliver(Event{Version: version("5")})
	if got := earlier(); got != nil {
		t.Errorf("what was taken is jumped over: %v", got)
	}
	for i := range 3 * mostEarlier {
		deliver(Event{Version: version(strconv.Itoa(i))})
	}
	if got := earlier(); len(got) != mostEarlier || got[mostEarlier-1] != version(strconv.Itoa(3*mostEarlier-2)) {
		t.Errorf("%v", got)
	}
}
