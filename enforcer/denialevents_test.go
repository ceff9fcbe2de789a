package enforcer

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-net/sluice/enforcer/denials"
)

// There is one Event of a Pod about the same other end and port in a while, on the Pod that
// runs, and a flood makes few.
func TestEventsOfDenials(t *testing.T) {
	client := fake.NewClientset()
	made := make(chan *corev1.Event, 100)
	client.PrependReactor("create", "events", func(a k8stesting.Action) (bool, runtime.Object, error) {
		e := a.(k8stesting.CreateAction).GetObject().(*corev1.Event)
		made <- e
		return true, e, nil
	})
	clock := clocktesting.NewFakePassiveClock(time.Now())
	events := newDenialEvents(client.CoreV1(), "worker-1", clock)
	d := denialTo("db").WithUIDs("", "uid-db")
	d.Message = "policy shop/db isolates it"
	want := func(d *denials.Denial, want bool, what string) {
		t.Helper()
		if got := events.wanted(d); got != want {
			t.Errorf("%s: %t", what, got)
		}
	}
	want(d, true, "the first")
	want(d, false, "the same again")
	want(denialTo("db"), false, "of a Pod that nobody knows")
	clock.SetTime(clock.Now().Add(eventEvery))
	want(d, true, "the same later")
	n := 0
	for i := range 1000 {
		if events.wanted(denialTo("db").WithUIDs("", types.UID(fmt.Sprint("uid-", i)))) {
			n++
		}
	}
	if n < 1 || n > eventsAtOnce {
		t.Errorf("a flood makes %d events", n)
	}
	store := denials.NewStore(0, 0)
	following, _, err := store.Follow(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	fresh := newDenialEvents(client.CoreV1(), "worker-1", clock)
	go fresh.Run(t.Context(), following)
	store.Add(d)
	select {
	case e := <-made:
		if e.InvolvedObject.UID != "uid-db" || e.Namespace != "shop" || e.Type != corev1.EventTypeWarning || e.Reason != EventReason ||
			!strings.Contains(e.Message, "192.0.2.1 to shop/db, 80/TCP: policy shop/db isolates it") {
			t.Errorf("%+v", e)
		}
	case <-time.After(10 * time.Second):
		t.Error("there is no event")
	}
}
