package controlpath

import (
	"context"
	"sync"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/conformance/scale"
	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/policy"
)

// feed is a source that keeps nothing: what it holds would count as the
// agent's memory, and slow its collector.
type feed struct {
	mu   sync.Mutex
	sink source.Sink
	// first is what is there at the start.
	first []source.Event
}

func (f *feed) Run(ctx context.Context, sink source.Sink) error {
	f.mu.Lock()
	f.sink = sink
	sink.Deliver(f.first...)
	sink.Synced()
	f.first = nil
	f.mu.Unlock()
	<-ctx.Done()
	return nil
}

func (f *feed) Deliver(events ...source.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sink.Deliver(events...)
}

// everything is the cluster as its first events.
func everything(c scale.Cluster) []source.Event {
	out := make([]source.Event, 0, c.Namespaces+c.Policies+c.Pods)
	for i := range c.Namespaces {
		out = append(out, namespace(c.Namespace(i)))
	}
	for i := range c.Policies {
		out = append(out, policyEvent(c.Policy(i)))
	}
	for i := range c.Pods {
		out = append(out, podEvent(c.Pod(i)))
	}
	return out
}

func podEvent(p *policy.Pod) source.Event {
	return source.Event{Kind: source.PodEvent, Name: p.NamespacedName, Pod: p}
}

func namespace(name string, labels map[string]string) source.Event {
	return source.Event{Kind: source.NamespaceEvent, Name: types.NamespacedName{Name: name}, Labels: labels}
}

func policyEvent(np *networkingv1.NetworkPolicy) source.Event {
	return source.Event{Kind: source.PolicyEvent, Name: types.NamespacedName{Namespace: np.Namespace, Name: np.Name}, Policy: np}
}

// gone is the end of an event's object.
func gone(e source.Event) source.Event {
	return source.Event{Kind: e.Kind, Name: e.Name, Deleted: true}
}
