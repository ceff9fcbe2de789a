package enforcer

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/sluice-net/sluice/enforcer/denials"
)

// EventReason is that of the Events that agents make of denials.
const EventReason = "TrafficDenied"

const (
	// eventEvery is how often there is an Event of one Pod about the same other end and
	// port: kubectl describe shows those of the last hour.
	eventEvery = 10 * time.Minute
	// eventsAtOnce and eventsPerSecond bound what one node asks of the API server,
	// whatever is denied there.
	eventsAtOnce    = 10
	eventsPerSecond = 0.2
	// eventSubjects bounds what is remembered of the Events of eventEvery.
	eventSubjects = 4096
	// eventTimeout bounds one request.
	eventTimeout = 10 * time.Second
)

// denialEvents makes Events of denials, on the Pod whose policies denied. They are a hint
// for people who look at the Pod, and no record: most are left out.
type denialEvents struct {
	events  corev1client.EventsGetter
	node    string
	clock   clock.PassiveClock
	limiter flowcontrol.RateLimiter
	// made is when there was an Event about a subject.
	made map[eventSubject]time.Time
	// complained is when a failure was last logged.
	complained time.Time
}

// eventSubject is what Events are about.
type eventSubject struct {
	pod                      types.UID
	direction, other, target string
	reason                   denials.Reason
}

func newDenialEvents(events corev1client.EventsGetter, node string, c clock.PassiveClock) *denialEvents {
	return &denialEvents{
		events: events, node: node, clock: c, made: map[eventSubject]time.Time{},
		limiter: flowcontrol.NewTokenBucketRateLimiter(eventsPerSecond, eventsAtOnce),
	}
}

// Run makes Events until the context ends. It never fails: the API server may be away.
func (e *denialEvents) Run(ctx context.Context, following *denials.Subscription) {
	defer following.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case d := <-following.C():
			if !e.wanted(d) {
				continue
			}
			if err := e.make(ctx, d); err != nil && ctx.Err() == nil && e.clock.Since(e.complained) > time.Minute {
				e.complained = e.clock.Now()
				klog.FromContext(ctx).Error(err, "Failed to make an Event of a denial; denials are told of elsewhere all the same")
			}
		}
	}
}

// wanted reports whether there is to be an Event, and notes that there is.
func (e *denialEvents) wanted(d *denials.Denial) bool {
	about, other := d.Subject(), &d.Src
	if other == about {
		other = &d.Dst
	}
	if about.Kind != denials.PodEnd || d.SubjectUID() == "" {
		return false
	}
	subject := eventSubject{d.SubjectUID(), d.Direction, other.Group(), d.Target(), d.Reason}
	now := e.clock.Now()
	if at, known := e.made[subject]; known && now.Sub(at) < eventEvery {
		return false
	}
	if len(e.made) >= eventSubjects {
		for s, at := range e.made {
			if now.Sub(at) >= eventEvery {
				delete(e.made, s)
			}
		}
	}
	if len(e.made) >= eventSubjects || !e.limiter.TryAccept() {
		return false
	}
	e.made[subject] = now
	return true
}

func (e *denialEvents) make(ctx context.Context, d *denials.Denial) error {
	ctx, cancel := context.WithTimeout(ctx, eventTimeout)
	defer cancel()
	about := d.Subject()
	at := metav1.NewTime(d.Time)
	_, err := e.events.Events(about.Namespace).Create(ctx, &corev1.Event{
		ObjectMeta:          metav1.ObjectMeta{Namespace: about.Namespace, GenerateName: about.Pod + "."},
		InvolvedObject:      corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: about.Namespace, Name: about.Pod, UID: d.SubjectUID()},
		Reason:              EventReason,
		Message:             fmt.Sprintf("denied: %s to %s, %s: %s", d.Src.Name(), d.Dst.Name(), d.Target(), d.Message),
		Type:                corev1.EventTypeWarning,
		Source:              corev1.EventSource{Component: "sluice", Host: e.node},
		ReportingController: "sluice-net.github.io/agent", ReportingInstance: e.node,
		FirstTimestamp: at, LastTimestamp: at, Count: 1,
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create event on Pod %s/%s: %w", about.Namespace, about.Pod, err)
	}
	return nil
}
