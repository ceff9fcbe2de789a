package source

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
)

// memorySink keeps the state that events lead to.
type memorySink struct {
	mu      sync.Mutex
	state   map[Key]Event
	synced  bool
	partly  bool
	trouble map[string]error
	changed chan struct{}
}

func newMemorySink() *memorySink {
	return &memorySink{state: map[Key]Event{}, trouble: map[string]error{}, changed: make(chan struct{}, 1)}
}

func (s *memorySink) touch() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *memorySink) Deliver(events ...Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		if e.Deleted {
			delete(s.state, Key{e.Kind, e.Name})
		} else {
			s.state[Key{e.Kind, e.Name}] = e
		}
	}
	s.touch()
}

func (s *memorySink) SyncedInPart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.partly = true
	s.touch()
}

func (s *memorySink) Synced() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.synced = true
	s.touch()
}

func (s *memorySink) Report(part string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble[part] = err; err == nil {
		delete(s.trouble, part)
	}
	s.touch()
}

// until waits for the sink to be in a state.
func (s *memorySink) until(t *testing.T, what string, ok func(*memorySink) bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		s.mu.Lock()
		done := ok(s)
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-s.changed:
		case <-deadline:
			t.Fatalf("never: %s; has %v, synced %v, trouble %v", what, s.names(), s.synced, s.trouble)
		}
	}
}

func (s *memorySink) holds(ok func(*memorySink) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ok(s)
}

func (s *memorySink) names() []string {
	var out []string
	for key := range s.state {
		out = append(out, key.Name.String())
	}
	slices.Sort(out)
	return out
}

func (s *memorySink) has(kind EventKind, namespace, name string) bool {
	_, ok := s.state[keyOf(kind, namespace, name)]
	return ok
}

func keyOf(kind EventKind, namespace, name string) Key {
	key := Key{Kind: kind}
	key.Name.Namespace, key.Name.Name = namespace, name
	return key
}

func runSource(t *testing.T, source Source, sink Sink) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := source.Run(ctx, sink); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

func TestKubeSourceFollowsObjects(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}, Status: corev1.PodStatus{PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}}}}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
	client := fake.NewClientset(pod, node,
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n2"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"a": "b"}}},
		&networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "deny"}})
	sink := newMemorySink()
	runSource(t, NewKube(client, "n1"), sink)
	sink.until(t, "synced", func(s *memorySink) bool { return s.synced })
	sink.until(t, "all listed at the time of Synced", func(s *memorySink) bool {
		return s.has(PodEvent, "shop", "web") && s.has(NamespaceEvent, "", "shop") && s.has(PolicyEvent, "shop", "deny") && s.has(NodeEvent, "", "n1")
	})

	ctx := context.Background()
	pod = pod.DeepCopy()
	pod.Labels = map[string]string{"new": "label"}
	if _, err := client.CoreV1().Pods("shop").Update(ctx, pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	sink.until(t, "update", func(s *memorySink) bool {
		e := s.state[keyOf(PodEvent, "shop", "web")]
		return e.Pod != nil && e.Pod.Labels["new"] == "label"
	})
	if err := client.CoreV1().Pods("shop").Delete(ctx, "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := client.NetworkingV1().NetworkPolicies("shop").Delete(ctx, "deny", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	sink.until(t, "deletions", func(s *memorySink) bool {
		return !s.has(PodEvent, "shop", "web") && !s.has(PolicyEvent, "shop", "deny")
	})
}

func TestKubeSourceOnlyReads(t *testing.T) {
	client := fake.NewClientset()
	sink := newMemorySink()
	runSource(t, NewKube(client, "n1"), sink)
	sink.until(t, "synced", func(s *memorySink) bool { return s.synced })
	allowed := map[string]bool{"pods": true, "namespaces": true, "networkpolicies": true, "nodes": true}
	for _, a := range client.Actions() {
		if v := a.GetVerb(); v != "list" && v != "watch" && v != "get" || !allowed[a.GetResource().Resource] {
			t.Errorf("%s %s", v, a.GetResource().Resource)
		}
	}
}

func TestEventStoreDeletesWhatANewListLacks(t *testing.T) {
	sink := newMemorySink()
	s := newEventStore(sink, NamespaceEvent, func() {})
	ns := func(name string) *corev1.Namespace {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	}
	list := func(list ...any) error {
		s.begin()
		return s.Replace(list, "1")
	}
	for _, step := range []error{
		list(ns("a"), ns("b")),
		s.Add(ns("c")),
		list(ns("c"), ns("d")),
		s.Delete(cache.DeletedFinalStateUnknown{Key: "d", Obj: ns("d")}),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	if diff := cmp.Diff([]string{"/c"}, sink.names()); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}
