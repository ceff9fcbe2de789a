package enforcer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/policy"
)

// KubeSource reads Pods, Namespaces, NetworkPolicies and its own Node from the
// Kubernetes API. It lists and watches, and does nothing else. It keeps no
// second copy of the objects: of each it remembers the name.
type KubeSource struct {
	client kubernetes.Interface
	node   string
}

// NewKubeSource reads with client; node is the name of the own Node, empty for
// none.
func NewKubeSource(client kubernetes.Interface, node string) *KubeSource {
	return &KubeSource{client: client, node: node}
}

// KubeClientConfig returns a copy of a client configuration that asks for
// protobuf, which costs the API server and us a fraction of JSON.
func KubeClientConfig(c *rest.Config) *rest.Config {
	c = rest.CopyConfig(c)
	c.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	c.ContentType = runtime.ContentTypeProtobuf
	return c
}

// listWatch is what a typed client has for each kind.
type listWatch[L runtime.Object] interface {
	List(ctx context.Context, opts metav1.ListOptions) (L, error)
	Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error)
}

// Run lists and watches until the context ends. Errors of the API server are
// retried for ever, by client-go, while what is enforced stays enforced.
func (s *KubeSource) Run(ctx context.Context, sink Sink) error {
	core, networking := s.client.CoreV1(), s.client.NetworkingV1()
	reflectors := []reflector{
		{"pods", PodEvent, &corev1.Pod{}, listerOf(s.client, core.Pods(metav1.NamespaceAll), nil)},
		{"namespaces", NamespaceEvent, &corev1.Namespace{}, listerOf(s.client, core.Namespaces(), nil)},
		{"networkpolicies", PolicyEvent, &networkingv1.NetworkPolicy{}, listerOf(s.client, networking.NetworkPolicies(metav1.NamespaceAll), nil)},
	}
	if s.node != "" {
		own := fields.OneTermEqualSelector(metav1.ObjectNameField, s.node)
		reflectors = append(reflectors, reflector{"node", NodeEvent, &corev1.Node{}, listerOf(s.client, core.Nodes(), own)})
	}
	var running, listed sync.WaitGroup
	for _, r := range reflectors {
		listed.Add(1)
		store := &eventStore{sink: sink, kind: r.kind, known: map[types.NamespacedName]struct{}{}, listed: sync.OnceFunc(listed.Done)}
		running.Go(func() { r.run(ctx, store) })
	}
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

type reflector struct {
	name   string
	kind   EventKind
	object runtime.Object
	lister cache.ListerWatcher
}

func (r reflector) run(ctx context.Context, store *eventStore) {
	logger := klog.FromContext(ctx)
	cache.NewReflectorWithOptions(r.lister, r.object, store, cache.ReflectorOptions{Name: r.name, Logger: &logger}).RunWithContext(ctx)
	// The goroutine that waits for all lists must not wait for ever.
	store.listed()
}

func listerOf[L runtime.Object](client kubernetes.Interface, c listWatch[L], selector fields.Selector) cache.ListerWatcher {
	narrow := func(o metav1.ListOptions) metav1.ListOptions {
		if selector != nil {
			o.FieldSelector = selector.String()
		}
		return o
	}
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return c.List(ctx, narrow(o))
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return c.Watch(ctx, narrow(o))
		},
	}, client)
}

// eventStore is what a reflector takes for its cache. It passes objects on and
// keeps their names, to know after a new list what is gone. Only its
// reflector's goroutine calls it.
type eventStore struct {
	sink   Sink
	kind   EventKind
	known  map[types.NamespacedName]struct{}
	listed func()
}

// Transformer lets the reflector's own buffer of a streamed list hold trimmed
// objects.
func (s *eventStore) Transformer() cache.TransformFunc { return trim }

func (s *eventStore) Add(obj any) error { return s.set(obj) }

func (s *eventStore) Update(obj any) error { return s.set(obj) }

func (s *eventStore) set(obj any) error {
	e, err := eventOf(obj, false)
	if err != nil {
		return err
	}
	s.known[e.Name] = struct{}{}
	s.sink.Deliver(e)
	return nil
}

// Delete takes tombstones, too: an object whose deletion went unseen.
func (s *eventStore) Delete(obj any) error {
	if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = gone.Obj
	}
	e, err := eventOf(obj, true)
	if err != nil {
		return err
	}
	delete(s.known, e.Name)
	s.sink.Deliver(e)
	return nil
}

// Replace takes a new list; what is not in it any more is gone.
func (s *eventStore) Replace(list []any, _ string) error {
	events := make([]Event, 0, len(list))
	now := make(map[types.NamespacedName]struct{}, len(list))
	for i, obj := range list {
		e, err := eventOf(obj, false)
		if err != nil {
			return err
		}
		list[i] = nil // let it go early: a list can be most of the memory
		events = append(events, e)
		now[e.Name] = struct{}{}
	}
	for name := range s.known {
		if _, ok := now[name]; !ok {
			events = append(events, Event{Kind: s.kind, Name: name, Deleted: true})
		}
	}
	s.known = now
	s.sink.Deliver(events...)
	s.listed()
	return nil
}

// Resync has nothing to do: nothing is kept.
func (s *eventStore) Resync() error { return nil }

// trim drops from a Pod what policy does not need. Other kinds are few and
// small.
func trim(obj any) (any, error) {
	p, ok := obj.(*corev1.Pod)
	if !ok {
		if m, err := meta.Accessor(obj); err == nil {
			m.SetManagedFields(nil)
		}
		return obj, nil
	}
	out := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: p.Namespace, Name: p.Name, UID: p.UID, ResourceVersion: p.ResourceVersion,
			Labels: p.Labels, CreationTimestamp: p.CreationTimestamp,
		},
		Spec: corev1.PodSpec{
			NodeName: p.Spec.NodeName, HostNetwork: p.Spec.HostNetwork,
			Containers: trimContainers(p.Spec.Containers), InitContainers: trimContainers(p.Spec.InitContainers),
		},
		Status: corev1.PodStatus{
			Phase: p.Status.Phase, PodIP: p.Status.PodIP, PodIPs: p.Status.PodIPs,
			HostIP: p.Status.HostIP, HostIPs: p.Status.HostIPs,
		},
	}
	if v, ok := p.Annotations[policy.GuardAnnotation]; ok {
		out.Annotations = map[string]string{policy.GuardAnnotation: v}
	}
	return out, nil
}

func trimContainers(cs []corev1.Container) []corev1.Container {
	var out []corev1.Container
	for i := range cs {
		if len(cs[i].Ports) > 0 {
			out = append(out, corev1.Container{Name: cs[i].Name, Ports: cs[i].Ports, RestartPolicy: cs[i].RestartPolicy})
		}
	}
	return out
}

// podCIDRs reads a Node's ranges of Pod addresses.
func podCIDRs(n *corev1.Node) ([]netip.Prefix, error) {
	ranges := n.Spec.PodCIDRs
	if len(ranges) == 0 && n.Spec.PodCIDR != "" {
		ranges = []string{n.Spec.PodCIDR}
	}
	var out []netip.Prefix
	var errs []error
	for i, r := range ranges {
		p, err := netip.ParsePrefix(r)
		if err != nil {
			errs = append(errs, fmt.Errorf("Node %s: spec.podCIDRs[%d]: %w", n.Name, i, err))
			continue
		}
		out = append(out, p.Masked())
	}
	return out, errors.Join(errs...)
}
