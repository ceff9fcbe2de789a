package source

import (
	"errors"
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
