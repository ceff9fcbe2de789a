package controlpath

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluice-net/sluice/conformance/scale"
	"github.com/sluice-net/sluice/enforcer"
	"github.com/sluice-net/sluice/policy"
)

// feed is a source that keeps nothing: what it holds would count as the
// agent's memory, and slow its collector.
type feed struct {
	mu   sync.Mutex
	sink enforcer.Sink
	// first is what is there at the start.
	first []enforcer.Event
}

func (f *feed) Run(ctx context.Context, sink enforcer.Sink) error {
	f.mu.Lock()
	f.sink = sink
	sink.Deliver(f.first...)
	sink.Synced()
	f.first = nil
	f.mu.Unlock()
	<-ctx.Done()
	return nil
}

func (f *feed) Deliver(events ...enforcer.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sink.Deliver(events...)
}

// everything is the cluster as its first events.
func everything(c scale.Cluster) []enforcer.Event {
	out := make([]enforcer.Event, 0, c.Namespaces+c.Policies+c.Pods)
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

func podEvent(p *policy.Pod) enforcer.Event {
	return enforcer.Event{Kind: enforcer.PodEvent, Name: p.NamespacedName, Pod: p}
}

func namespace(name string, labels map[string]string) enforcer.Event {
	return enforcer.Event{Kind: enforcer.NamespaceEvent, Name: types.NamespacedName{Name: name}, Labels: labels}
}

func policyEvent(np *networkingv1.NetworkPolicy) enforcer.Event {
	return enforcer.Event{Kind: enforcer.PolicyEvent, Name: types.NamespacedName{Namespace: np.Namespace, Name: np.Name}, Policy: np}
}

// gone is the end of an event's object.
func gone(e enforcer.Event) enforcer.Event {
	return enforcer.Event{Kind: e.Kind, Name: e.Name, Deleted: true}
}
