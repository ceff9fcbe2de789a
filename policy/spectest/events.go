package spectest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Event is one object set or deleted: one of the pointers is set. Of a deleted
// object only the name counts.
type Event struct {
	Pod       *corev1.Pod
	Namespace *corev1.Namespace
	Policy    *networkingv1.NetworkPolicy
	Delete    bool
}

// Name is the object's; a Namespace's own name is in Name.
func (e Event) Name() types.NamespacedName {
	switch {
	case e.Pod != nil:
		return types.NamespacedName{Namespace: e.Pod.Namespace, Name: e.Pod.Name}
	case e.Policy != nil:
		return types.NamespacedName{Namespace: e.Policy.Namespace, Name: e.Policy.Name}
	}
	return types.NamespacedName{Name: e.Namespace.Name}
}

// Kind is the object's kind.
func (e Event) Kind() string {
	switch {
	case e.Pod != nil:
		return "Pod"
	case e.Policy != nil:
		return "NetworkPolicy"
	}
	return "Namespace"
}

func (e Event) String() string {
	verb := "set"
	if e.Delete {
		verb = "delete"
	}
	return fmt.Sprintf("%s %s %s", verb, e.Kind(), e.Name())
}

func (e Event) same(o Event) bool { return e.Kind() == o.Kind() && e.Name() == o.Name() }

// Events draws a history of the cluster: its objects come in any order and
// with detours, others come and go, some events come twice. [Replay] of all of
// them gives the cluster again.
func (c *Cluster) Events(r *rand.Rand) []Event {
	h := history{dice: dice{r}, cluster: c}
	var lives [][]Event
	for _, ns := range c.Namespaces {
		lives = append(lives, h.life(Event{Namespace: ns}))
	}
	for _, pod := range c.Pods {
		lives = append(lives, h.life(Event{Pod: pod}))
	}
	for _, np := range c.Policies {
		lives = append(lives, h.life(Event{Policy: np}))
	}
	for range 1 + h.IntN(4) {
		lives = append(lives, h.passing())
	}
	return h.interleaved(lives)
}

// Final are the events without detours: each object once, in the cluster's
// order.
func (c *Cluster) Final() []Event {
	var out []Event
	for _, ns := range c.Namespaces {
		out = append(out, Event{Namespace: ns})
	}
	for _, pod := range c.Pods {
		out = append(out, Event{Pod: pod})
	}
	for _, np := range c.Policies {
		out = append(out, Event{Policy: np})
	}
	return out
}

// Replay is the cluster after the events.
func Replay(events []Event) *Cluster {
	c := &Cluster{}
	for _, e := range Squashed(events) {
		switch {
		case e.Delete:
		case e.Pod != nil:
			c.Pods = append(c.Pods, e.Pod)
		case e.Policy != nil:
			c.Policies = append(c.Policies, e.Policy)
		default:
			c.Namespaces = append(c.Namespaces, e.Namespace)
		}
	}
	return c
}

// Squashed keeps only the last event of each object.
func Squashed(events []Event) []Event {
	var out []Event
	for i, e := range events {
		if !slices.ContainsFunc(events[i+1:], e.same) {
			out = append(out, e)
		}
	}
	return out
}

// Duplicated delivers every event twice, the second time at once or later:
// before the next event of the same object.
func Duplicated(r *rand.Rand, events []Event) []Event {
	var out, late []Event
	for _, e := range events {
		late = slices.DeleteFunc(late, e.same)
		out = append(out, e)
		if r.IntN(2) == 0 {
			out = append(out, e)
		} else {
			late = append(late, e)
		}
		if len(late) > 0 && r.IntN(3) == 0 {
			i := r.IntN(len(late))
			out = append(out, late[i])
			late = slices.Delete(late, i, i+1)
		}
	}
	return append(out, late...)
}

// Reversed turns the order of the objects around, with each object's own
// events in their order: only so it ends in the same cluster.
func Reversed(events []Event) []Event {
	rest := slices.Clone(events)
	var out []Event
	for i := len(events) - 1; i >= 0; i-- {
		// The place of an object's last event takes its first, and so on.
		j := slices.IndexFunc(rest, events[i].same)
		out = append(out, rest[j])
		rest = slices.Delete(rest, j, j+1)
	}
	return out
}

type history struct {
	dice
	cluster *Cluster
	count   int
}

// life leads to the final event over earlier states of the object and over
// deletions, also of what is not there.
func (h *history) life(final Event) []Event {
	var out []Event
	for range weighted(h.dice, []weight[int]{{45, 0}, {30, 1}, {15, 2}, {10, 3}}) {
		switch h.IntN(5) {
		case 0:
			gone := final
			gone.Delete = true
			out = append(out, gone)
		case 1:
			out = append(out, final)
		default:
			out = append(out, h.variant(final))
		}
	}
	return append(out, final)
}

// passing is the life of an object that the final cluster does not have.
func (h *history) passing() []Event {
	h.count++
	name := fmt.Sprintf("passing-%d", h.count)
	var e Event
	switch {
	case h.chance(60) && len(h.cluster.Pods) > 0:
		e = h.variant(Event{Pod: pick(h.dice, h.cluster.Pods)})
		e.Pod.Name, e.Pod.UID = name, types.UID(name)
	case h.chance(70) && len(h.cluster.Policies) > 0:
		e = h.variant(Event{Policy: pick(h.dice, h.cluster.Policies)})
		e.Policy.Name = name
	default:
		// The namespaces that are left out may be known for a while.
		e = Event{Namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: randomLabels(h.dice, namespaceLabels),
		}}}
		for i := range 8 {
			missing := func(ns *corev1.Namespace) bool { return ns.Name == namespaceName(i) }
			if !slices.ContainsFunc(h.cluster.Namespaces, missing) {
				e.Namespace.Name = namespaceName(i)
				break
			}
		}
	}
	gone := e
	gone.Delete = true
	return []Event{e, gone}
}

// variant is another state of the event's object.
func (h *history) variant(e Event) Event {
	switch {
	case e.Pod != nil:
		return Event{Pod: h.podVariant(e.Pod)}
	case e.Policy != nil:
		np := e.Policy.DeepCopy()
		b := policyBuilder{dice: h.dice, cluster: h.cluster}
		np.Spec = b.spec()
		if h.cluster.modes {
			np.Annotations = randomMode(h.dice, nil, false)
		}
		return Event{Policy: np}
	}
	ns := e.Namespace.DeepCopy()
	ns.Labels = randomLabels(h.dice, namespaceLabels)
	if h.cluster.modes {
		ns.Labels = randomMode(h.dice, ns.Labels, true)
	}
	return Event{Namespace: ns}
}

func (h *history) podVariant(from *corev1.Pod) *corev1.Pod {
	p := from.DeepCopy()
	for range 1 + h.IntN(2) {
		switch h.IntN(10) {
		case 0, 1:
			p.Labels = randomLabels(h.dice, podLabels)
		case 2:
			p.Spec.Containers, p.Spec.InitContainers = randomContainers(h.dice)
		case 3:
			p.Status.PodIP, p.Status.PodIPs = "", nil
			p.Status.Phase = corev1.PodPending
		case 4:
			p.Status.Phase = pick(h.dice, []corev1.PodPhase{corev1.PodSucceeded, corev1.PodFailed, corev1.PodRunning})
		case 5:
			p.DeletionTimestamp = &metav1.Time{Time: epoch.Add(time.Hour)}
		case 6:
			if !p.Spec.HostNetwork {
				takeAddr(p, pick(h.dice, h.cluster.Pods))
			}
		case 7: // deleted and made again under the same name, seen as one update
			p.UID += "-earlier"
			p.CreationTimestamp = metav1.NewTime(epoch.Add(time.Duration(h.IntN(6)-2) * time.Minute))
			p.Spec.NodeName = pick(h.dice, h.cluster.Pods).Spec.NodeName
		case 8:
			other := pick(h.dice, h.cluster.Pods)
			p.Status.HostIP, p.Status.HostIPs = other.Status.HostIP, other.Status.HostIPs
		case 9: // not scheduled yet, or elsewhere
			p.Spec.NodeName = pick(h.dice, []string{"", pick(h.dice, h.cluster.Pods).Spec.NodeName})
		}
	}
	return p
}

// interleaved merges the lives in random order, each in its own.
func (h *history) interleaved(lives [][]Event) []Event {
	var order []int
	for i, life := range lives {
		for range life {
			order = append(order, i)
		}
	}
	h.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	var out []Event
	for _, i := range order {
		out = append(out, lives[i][0])
		lives[i] = lives[i][1:]
		if h.chance(5) {
			out = append(out, out[len(out)-1])
		}
	}
	return out
}
