package agreement

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-net/sluice/conformance/enforced"
	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/enforcer"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/spectest"
)

// A world is one cluster in three tellings: API objects for the naive
// evaluator, an index, and a lab with agents.
type world struct {
	t       *testing.T
	setup   setup
	seed    uint64
	r       *rand.Rand
	options spectest.Options
	config  enforcer.Config

	cluster *spectest.Cluster
	index   *policy.Index
	lab     *enforced.Cluster
	// opened is who sent first between two ends by a protocol without ports:
	// to conntrack all that they send is one connection.
	opened map[pair]netip.Addr
}

type pair struct {
	low, high netip.Addr
	protocol  uint8
}

func newWorld(t *testing.T, s setup, seed uint64) *world {
	t.Helper()
	r := spectest.Seeded(seed)
	w := &world{t: t, setup: s, seed: seed, r: r, options: s.options(r), opened: map[pair]netip.Addr{}}
	w.cluster = spectest.Random(r, w.options)
	// By a branch interface Pods reach their node by way of the network, as they do others.
	w.cluster.NodeEgress = r.IntN(5) == 0 && s.topology != lab.AWSBranch
	w.config.Compiler.NodeEgress = w.cluster.NodeEgress
	w.config.Compiler.Reject = r.IntN(4) == 0
	// Otherwise Pods must not go: what comes from the address of one that went
	// is dropped, and the naive evaluator knows nothing of that.
	w.config.Compiler.UnknownPods = r.IntN(2) == 0
	w.config.MinInterval = time.Millisecond
	w.index = policy.NewIndex(policy.Options{NodeEgress: w.cluster.NodeEgress})
	w.tellIndex(w.cluster.Final())

	o := enforced.Options{
		Placement: lab.Placement{Topology: s.topology},
		Pods:      w.cluster.Pods,
		Config: func(c *enforcer.Config) {
			node := c.Node
			*c = w.config
			c.Node = node
		},
	}
	for _, e := range w.cluster.Final() {
		if e.Pod == nil {
			o.Objects = append(o.Objects, objectOf(e))
		}
	}
	w.lab = enforced.Start(t, o)
	return w
}

func (w *world) String() string {
	return fmt.Sprintf("seed %d, %s, %+v, node egress %t, reject %t, unknown Pods %t", w.seed, w.setup, w.options,
		w.config.Compiler.NodeEgress, w.config.Compiler.Reject, w.config.Compiler.UnknownPods)
}

// step changes some of everything, as one delivery or as many.
func (w *world) step() {
	events := w.changes()
	w.cluster = w.after(events)
	w.tellIndex(events)
	var set []any
	for _, e := range events {
		switch {
		case e.Delete:
			w.lab.Delete(objectOf(e))
		case w.r.IntN(3) == 0:
			w.lab.Set(objectOf(e))
		default:
			set = append(set, objectOf(e))
		}
	}
	w.lab.Set(set...)
}

func (w *world) after(events []spectest.Event) *spectest.Cluster {
	next := spectest.Replay(append(w.cluster.Final(), events...))
	next.NodeEgress = w.cluster.NodeEgress
	return next
}

// changes draws another cluster and takes over some of its policies,
// namespaces and of what its Pods are.
func (w *world) changes() (events []spectest.Event) {
	other := spectest.Random(w.r, w.options)
	for _, p := range w.cluster.Pods {
		if w.r.IntN(3) == 0 {
			events = append(events, w.podChange(p, other.Pods[w.r.IntN(len(other.Pods))]))
		}
	}
	events = append(events, w.returning()...)
	for _, n := range other.Namespaces {
		if w.r.IntN(3) == 0 {
			events = append(events, spectest.Event{Namespace: n})
		}
	}
	if n := w.cluster.Namespaces; len(n) > 0 && w.r.IntN(6) == 0 {
		events = append(events, spectest.Event{Namespace: n[w.r.IntN(len(n))], Delete: true})
	}
	for _, np := range w.cluster.Policies {
		if w.r.IntN(4) == 0 {
			events = append(events, spectest.Event{Policy: np, Delete: true})
		}
	}
	for _, np := range other.Policies {
		if w.r.IntN(2) == 0 {
			events = append(events, spectest.Event{Policy: np})
		}
	}
	w.r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	return spectest.Squashed(events)
}

// podChange keeps what the lab is built on: name, node, addresses.
func (w *world) podChange(p, like *corev1.Pod) spectest.Event {
	p = p.DeepCopy()
	p.Status.Phase = corev1.PodRunning
	switch n := w.r.IntN(10); {
	case n < 5:
		p.Labels = like.Labels
	case n < 8:
		p.Spec.Containers, p.Spec.InitContainers = like.Spec.Containers, like.Spec.InitContainers
	case n < 9:
		p.DeletionTimestamp = &metav1.Time{Time: p.CreationTimestamp.Add(time.Hour)}
	case w.config.Compiler.UnknownPods && w.r.IntN(2) == 0:
		return spectest.Event{Pod: p, Delete: true}
	case w.config.Compiler.UnknownPods:
		p.Status.Phase = corev1.PodSucceeded
	}
	return spectest.Event{Pod: p}
}

// returning are Pods that were deleted and come again.
func (w *world) returning() (events []spectest.Event) {
	for name, p := range w.lab.Pods {
		there := false
		for _, q := range w.cluster.Pods {
			there = there || q.Namespace == name.Namespace && q.Name == name.Name
		}
		if !there && w.r.IntN(2) == 0 {
			events = append(events, spectest.Event{Pod: p.DeepCopy()})
		}
	}
	return events
}

func (w *world) tellIndex(events []spectest.Event) {
	w.t.Helper()
	for _, e := range events {
		var err error
		switch {
		case e.Pod != nil && e.Delete:
			w.index.DeletePod(e.Name())
		case e.Pod != nil:
			var p *policy.Pod
			if p, err = policy.PodFromAPI(e.Pod); err == nil {
				w.index.SetPod(p)
			}
		case e.Policy != nil && e.Delete:
			w.index.DeletePolicy(e.Name())
		case e.Policy != nil:
			err = w.index.SetPolicy(e.Policy.DeepCopy())
		case e.Delete:
			w.index.DeleteNamespace(e.Namespace.Name)
		default:
			w.index.SetNamespace(e.Namespace.Name, e.Namespace.Labels)
		}
		if err != nil {
			w.t.Fatalf("%s: %s: %v", w, e, err)
		}
	}
}

// objectOf is a copy of an event's object.
func objectOf(e spectest.Event) any {
	switch {
	case e.Pod != nil:
		return e.Pod.DeepCopy()
	case e.Policy != nil:
		return e.Policy.DeepCopy()
	}
	return e.Namespace.DeepCopy()
}
