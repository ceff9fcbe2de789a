package source

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// Kube reads Pods, Namespaces, NetworkPolicies and its own Node from the
// Kubernetes API. It lists and watches, and does nothing else. It keeps no
// second copy of the objects: of each it remembers the name.
type Kube struct {
	client kubernetes.Interface
	node   string
	// patience is when silence is told of.
	patience patience

	mu   sync.Mutex
	ears []*ear
}

// NewKube reads with client; node is the name of the own Node, empty for
// none.
func NewKube(client kubernetes.Interface, node string) *Kube {
	return &Kube{client: client, node: node, patience: defaultPatience()}
}

// resource is a kind of objects to read.
type resource struct {
	name string
	kind EventKind
	// make returns an empty object.
	make func() object
	// kept are the fields that count, nil for all.
	kept kept
	// selector is a field selector, empty for all objects.
	selector string
	client   rest.Interface
	// list and watch are the typed client's.
	list  func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error)
	watch func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error)
}

// object is one that decodes itself from protobuf.
type object interface {
	runtime.Object
	Unmarshal(data []byte) error
	Reset()
}

func (s *Kube) resources() []resource {
	core, networking := s.client.CoreV1(), s.client.NetworkingV1()
	pods, namespaces, policies, nodes := core.Pods(metav1.NamespaceAll), core.Namespaces(), networking.NetworkPolicies(metav1.NamespaceAll), core.Nodes()
	out := []resource{{
		name: "pods", kind: PodEvent, make: func() object { return &corev1.Pod{} }, kept: keptOfPod,
		client: core.RESTClient(), list: anyList(pods.List), watch: pods.Watch,
	}, {
		name: "namespaces", kind: NamespaceEvent, make: func() object { return &corev1.Namespace{} },
		client: core.RESTClient(), list: anyList(namespaces.List), watch: namespaces.Watch,
	}, {
		name: "networkpolicies", kind: PolicyEvent, make: func() object { return &networkingv1.NetworkPolicy{} },
		client: networking.RESTClient(), list: anyList(policies.List), watch: policies.Watch,
	}}
	if s.node != "" {
		out = append(out, resource{
			name: "nodes", kind: NodeEvent, make: func() object { return &corev1.Node{} },
			selector: fields.OneTermEqualSelector(metav1.ObjectNameField, s.node).String(),
			client:   core.RESTClient(), list: anyList(nodes.List), watch: nodes.Watch,
		})
	}
	return out
}

// anyList is a typed client's List for all types.
func anyList[L runtime.Object](list func(context.Context, metav1.ListOptions) (L, error)) func(context.Context, metav1.ListOptions) (runtime.Object, error) {
	return func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return list(ctx, o) }
}

// Run lists and watches until the context ends. Errors of the API server are
// retried for ever, by client-go, while what is enforced stays enforced. A
// trouble that lasts is reported, and so is its end.
func (s *Kube) Run(ctx context.Context, sink Sink) error {
	var running, listed sync.WaitGroup
	var ears []*ear
	for _, r := range s.resources() {
		listed.Add(1)
		store := newEventStore(sink, r.kind, sync.OnceFunc(listed.Done))
		if r.kind == NodeEvent {
			store.changed = func(known names) { sink.Report(ownNode, s.nodeTrouble(known)) }
		}
		store.ear = &ear{kind: r.kind, resource: r.name, host: hostOf(r.client)}
		ears = append(ears, store.ear)
		running.Go(func() { r.run(ctx, store, s.patience) })
	}
	s.mu.Lock()
	s.ears = ears
	s.mu.Unlock()
	running.Go(func() { s.listen(ctx, sink, ears) })
	all := make(chan struct{})
	go func() {
		listed.Wait()
		close(all)
	}()
	select {
	case <-all:
		sink.Synced()
	case <-ctx.Done():
	}
	running.Wait()
	return nil
}

func (r *resource) run(ctx context.Context, store *eventStore, p patience) {
	logger := klog.FromContext(ctx)
	lister := listerWatcher{&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = r.selector
			return r.listWithin(ctx, o, store, 3*p.giveUp)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = r.selector
			return r.openWatch(ctx, o, store.ear, p)
		},
	}}
	cache.NewReflectorWithOptions(lister, r.make(), store, cache.ReflectorOptions{Name: r.name, Logger: &logger, Backoff: p.retries()}).RunWithContext(ctx)
	// The goroutine that waits for all lists must not wait for ever.
	store.listed()
}

// listerWatcher tells the reflector to list, and not to stream the list as
// events of a watch: see [listInPieces].
type listerWatcher struct{ *cache.ListWatch }

func (listerWatcher) IsWatchListSemanticsUnSupported() bool { return true }

// listWithin reads a list, and tells the ear what becomes of it. A list from
// which nothing comes for so long is dropped, so that it is asked for anew.
func (r *resource) listWithin(ctx context.Context, o metav1.ListOptions, store *eventStore, within time.Duration) (runtime.Object, error) {
	outer := ctx
	ctx, cancel := context.WithCancel(withEar(ctx, store.ear))
	defer cancel()
	store.ear.asks()
	defer store.ear.answered()
	late := time.AfterFunc(within, cancel)
	list, err := r.listInto(ctx, o, store, func() {
		store.ear.progresses()
		late.Reset(within)
	})
	late.Stop()
	switch {
	case err == nil:
		store.ear.progresses()
	case outer.Err() != nil:
	case ctx.Err() != nil:
		err = fmt.Errorf("no answer to a list for %v", within)
		store.ear.fails(err)
	default:
		store.ear.fails(err)
	}
	return list, err
}

// listInto delivers the objects of a list, or of a page of it, while they
// arrive. To the reflector the list is empty, but for what it needs to go on
// from there. A list that breaks off has delivered objects as they are, only
// not all; the next one says which are gone.
func (r *resource) listInto(ctx context.Context, o metav1.ListOptions, store *eventStore, progress func()) (runtime.Object, error) {
	if o.Continue == "" {
		store.begin()
	}
	if c, ok := r.client.(*rest.RESTClient); !ok || c == nil {
		return r.list(ctx, o) // a client without a server, as in tests
	}
	pieces, d := store.bundle(), decoder{kept: r.kept, into: r.make()}
	meta, err := listInPieces(ctx, r.client, r.name, o, func(b []byte) error {
		progress()
		obj, err := d.decode(b)
		if err != nil {
			return err
		}
		return pieces.add(obj)
	})
	pieces.deliver()
	return &metav1.List{ListMeta: meta}, err
}

// decoder decodes one object after the other into the same one: an event keeps
// nothing of it but what it refers to.
type decoder struct {
	kept   kept
	pruned []byte
	into   object
}

func (d *decoder) decode(b []byte) (object, error) {
	if d.kept != nil {
		var err error
		if d.pruned, err = d.kept.prune(d.pruned[:0], b); err != nil {
			return nil, err
		}
		b = d.pruned
	}
	d.into.Reset()
	return d.into, d.into.Unmarshal(b)
}
