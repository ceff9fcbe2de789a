package enforcer

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
	m := newMailbox(c, func() { woken++ })
	name := types.NamespacedName{Name: "shop"}
	m.Deliver(Event{Kind: NamespaceEvent, Name: name, Labels: map[string]string{"a": "1"}})
	c.Step(time.Second)
	m.Deliver(Event{Kind: NamespaceEvent, Name: name, Deleted: true}, Event{Kind: NodeEvent, Name: name})
	m.Synced()
	b := m.take(everything)
	want := map[eventKey]Event{
		{NamespaceEvent, name}: {Kind: NamespaceEvent, Name: name, Deleted: true},
		{NodeEvent, name}:      {Kind: NodeEvent, Name: name},
	}
	if diff := cmp.Diff(want, b.events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if !b.synced || !b.since.Equal(time.Unix(100, 0)) || b.settle || woken != 3 {
		t.Errorf("synced %v, since %v, settle %v, woken %d", b.synced, b.since, b.settle, woken)
	}
	if seq := m.ask(); seq <= b.seq {
		t.Errorf("ask gave %d, but %d was taken already", seq, b.seq)
	}
	if b := m.take(everything); !b.settle || len(b.events) != 0 || !b.since.IsZero() {
		t.Errorf("after ask: %+v", b)
	}
}

func TestMailboxForgetsTroubleThatIsOver(t *testing.T) {
	m := newMailbox(clocktesting.NewFakeClock(time.Now()), func() {})
	m.Report("a.yaml", errors.New("broken"))
	m.Report("b.yaml", errors.New("broken"))
	m.Report("a.yaml", nil)
	if got := m.reports(); len(got) != 1 || got["b.yaml"] == nil {
		t.Errorf("got %v", got)
	}
}

func TestDriftTellsOursFromOthers(t *testing.T) {
	tests := []struct {
		name    string
		windows []window
		strange []uint32
		lost    bool
		want    bool
	}{
		{name: "nothing"},
		{name: "ours", windows: []window{{before: 4, after: 5}}, strange: []uint32{5}},
		{name: "two of ours", windows: []window{{before: 4, after: 5}, {before: 5, after: 6}}, strange: []uint32{5, 6}},
		{name: "others'", windows: []window{{before: 4, after: 5}}, strange: []uint32{6}, want: true},
		{name: "others' while ours ran", windows: []window{{before: 4, after: 6}}, strange: []uint32{5, 6}, want: true},
		{name: "others touched other tables while ours ran", windows: []window{{before: 4, after: 6}}, strange: []uint32{6}},
		{name: "wrapped around", windows: []window{{before: 1<<32 - 1, after: 0}}, strange: []uint32{0}},
		{name: "notices lost", lost: true, want: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := &drift{windows: tt.windows, strange: tt.strange, lost: tt.lost}
			if got := d.Check(); got != tt.want {
				t.Errorf("Check() = %v", got)
			}
			if d.Due() || d.Check() {
				t.Error("there is still something to check")
			}
		})
	}
}
