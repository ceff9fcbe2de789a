package source

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

// Memory is fed by its program: for tests, demonstrations and
// verification. The zero value is ready for use.
type Memory struct {
	mu      sync.Mutex
	objects map[Key]Event
	sink    Sink
}

// Set adds or replaces Pods, Namespaces, NetworkPolicies and the Node. Those of
// one call take effect together, and none of them if one has another type.
func (s *Memory) Set(objects ...any) error {
	return s.change(objects, false)
}

// Delete removes objects; of each only kind and name matter.
func (s *Memory) Delete(objects ...any) error {
	return s.change(objects, true)
}

func (s *Memory) change(objects []any, deleted bool) error {
	events := make([]Event, 0, len(objects))
	for _, o := range objects {
		e, err := eventOf(o, deleted)
		if err != nil {
			return err
		}
		events = append(events, e)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.objects == nil {
		s.objects = map[Key]Event{}
	}
	for _, e := range events {
		key := Key{e.Kind, e.Name}
		if e.Deleted {
			delete(s.objects, key)
		} else {
			s.objects[key] = e
		}
	}
	if s.sink != nil {
		s.sink.Deliver(events...)
	}
	return nil
}

// Current is nil: what its program knows, it has said.
func (s *Memory) Current(EventKind, time.Time) error { return nil }

// Run delivers what is there and then what changes. One agent at a time can
// run on a Memory.
func (s *Memory) Run(ctx context.Context, sink Sink) error {
	s.mu.Lock()
	if s.sink != nil {
		s.mu.Unlock()
		return fmt.Errorf("run memory source: it runs already")
	}
	s.sink = sink
	sink.Deliver(slices.Collect(maps.Values(s.objects))...)
	sink.Synced()
	s.mu.Unlock()

	<-ctx.Done()

	s.mu.Lock()
	s.sink = nil
	s.mu.Unlock()
	return nil
}

// eventOf makes the event of an object of the Kubernetes API.
func eventOf(object any, deleted bool) (Event, error) {
	switch o := object.(type) {
	case *corev1.Pod:
		e := Event{Kind: PodEvent, Name: types.NamespacedName{Namespace: o.Namespace, Name: o.Name}, Deleted: deleted, Version: versionOf(o)}
		if deleted {
			return e, nil
		}
		e.Pod, e.Invalid = policy.PodFromAPI(o)
		return e, nil
	case *corev1.Namespace:
		e := Event{Kind: NamespaceEvent, Name: types.NamespacedName{Name: o.Name}, Deleted: deleted, Labels: o.Labels, Version: versionOf(o)}
		if n := policy.LabelBytes(o.Labels); n > policy.MaxLabelBytes && !deleted {
			// They are taken all the same: a selector may ask for what is not there.
			e.Invalid = fmt.Errorf("Namespace %s: metadata.labels: %d bytes are more than %d, which costs every node memory; give it fewer labels", o.Name, n, policy.MaxLabelBytes)
		} else if errs := policy.ValidateNamespace(o.Labels); len(errs) > 0 && !deleted {
			e.Invalid = fmt.Errorf("Namespace %s: %w", o.Name, errs.ToAggregate())
		}
		return e, nil
	case *networkingv1.NetworkPolicy:
		e := Event{Kind: PolicyEvent, Name: types.NamespacedName{Namespace: o.Namespace, Name: o.Name}, Deleted: deleted, Version: versionOf(o)}
		if !deleted {
			e.Policy = o.DeepCopy() // the caller may go on changing it
			e.Policy.ManagedFields = nil
		}
		return e, nil
	case *corev1.Node:
		// That it is there is all that matters of it.
		return Event{Kind: NodeEvent, Name: types.NamespacedName{Name: o.Name}, Deleted: deleted}, nil
	}
	return Event{}, fmt.Errorf("use %T as an object: only Pods, Namespaces, NetworkPolicies and Nodes are known", object)
}

func versionOf(o metav1.Object) Version { return Version{o.GetUID(), o.GetResourceVersion()} }
