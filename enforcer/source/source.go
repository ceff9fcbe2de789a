// Package source is where an agent's objects come from: the API server, a directory of
// manifests, or memory. Each delivers events to a Sink; the mailbox is the one between
// a source's goroutines and the sync loop, and keeps the latest event of each object.
package source

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

// EventKind says what an event is about.
type EventKind uint8

// The kinds of objects that policies are about, and the own Node.
const (
	PodEvent EventKind = iota
	NamespaceEvent
	PolicyEvent
	NodeEvent
)

// String is the kind's name in the API.
func (k EventKind) String() string {
	switch k {
	case PodEvent:
		return "Pod"
	case NamespaceEvent:
		return "Namespace"
	case PolicyEvent:
		return "NetworkPolicy"
	case NodeEvent:
		return "Node"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Event is the new state of one object. Only the latest event of an object
// matters, and events of different objects may come in any order.
type Event struct {
	Kind EventKind
	// Name of the object. Namespaces and Nodes have no Namespace in it.
	Name types.NamespacedName
	// Deleted: the object is gone, and the rest is not set, but for what a Pod was that
	// came and went before anybody took it.
	Deleted bool
	Pod     *policy.Pod
	// Labels are a Namespace's.
	Labels map[string]string
	Policy *networkingv1.NetworkPolicy
	// Invalid says what of the object is unusable; the rest counts.
	Invalid error
	// Version is the object's, empty where nobody knows it: of an object that was found
	// gone, say. Earlier are versions that nobody took before this one came, the oldest
	// first, and no more than [mostEarlier].
	Version Version
	Earlier []Version
}

// Version names a state of an object. Versions are compared for equality and nothing
// else: which is the later one, the order of events says.
type Version struct {
	UID             types.UID
	ResourceVersion string
}

// mostEarlier bounds the versions that an event jumped over.
const mostEarlier = 16

// Sink takes what a source has. It never blocks for long, and its methods may
// be called from any goroutine.
type Sink interface {
	// Deliver hands over events. Those of one call take effect together.
	Deliver(events ...Event)
	// Synced says that all that existed when the source started has been
	// delivered. Until then nothing is enforced, and what an earlier agent
	// left in the kernel stays.
	Synced()
	// SyncedInPart says that all that could be read of it has been delivered.
	// It is enforced on a node without earlier rules, which would be open
	// otherwise; rules of an earlier agent know better and stay.
	SyncedInPart()
	// Report tells of trouble with a part of the source, such as a file; nil
	// says that it is over. The agent is not ready while there is any, but for
	// what a [Trouble] says otherwise.
	Report(part string, err error)
}

// Source is where objects come from. Run delivers until the context ends, and
// fails only when it can deliver no more.
type Source interface {
	Run(ctx context.Context, sink Sink) error
}

// Trouble is an error that knows what it means for an operator. Which kinds there are,
// and which of them make the node not ready, the agent's conditions say.
type Trouble struct {
	// What is the kind, such as SourceSilent.
	What string
	// Object is whom it concerns, such as "pods"; empty: the source as a whole.
	Object string
	// Message says what is the matter, Mend what to do about it.
	Message, Mend string
}

// Error is the trouble in one line.
func (t Trouble) Error() string {
	var b strings.Builder
	b.WriteString(t.What)
	if t.Object != "" {
		b.WriteString(" (" + t.Object + ")")
	}
	b.WriteString(": " + t.Message)
	if t.Mend != "" {
		b.WriteString("; " + t.Mend)
	}
	return b.String()
}

// overtakes notes the versions that an event replaces which nobody took.
func (e *Event) overtakes(old Event) {
	if old.Version == (Version{}) || old.Version == e.Version {
		e.Earlier = old.Earlier
		return
	}
	e.Earlier = append(old.Earlier[:len(old.Earlier):len(old.Earlier)], old.Version)
	if more := len(e.Earlier) - mostEarlier; more > 0 {
		e.Earlier = e.Earlier[more:]
	}
}

// sameEvent reports whether two events say the same of an object, in whatever version.
func sameEvent(a, b Event) bool {
	return a.Kind == b.Kind && a.Deleted == b.Deleted && errorText(a.Invalid) == errorText(b.Invalid) &&
		reflect.DeepEqual(a.Pod, b.Pod) && maps.Equal(a.Labels, b.Labels) &&
		reflect.DeepEqual(a.Policy, b.Policy)
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
