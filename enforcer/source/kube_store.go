package source

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// eventStore is what a reflector takes for its cache. It passes objects on and
// keeps their names, to know after a new list what is gone. Only its
// reflector's goroutine calls it, or the one that lists for it.
type eventStore struct {
	sink   Sink
	kind   EventKind
	known  names
	listed func()
	// ear is told how its list comes.
	ear *ear
	// changed is told which objects there are, whenever that may have changed; nil
	// where nobody asks.
	changed func(names)
}

func newEventStore(sink Sink, kind EventKind, listed func()) *eventStore {
	return &eventStore{sink: sink, kind: kind, known: newNames(), listed: listed}
}

// begin says that a list begins: what does not come in it is gone.
func (s *eventStore) begin() { s.known.begin() }

func (s *eventStore) Add(obj any) error { return s.set(obj) }

func (s *eventStore) Update(obj any) error { return s.set(obj) }

func (s *eventStore) set(obj any) error {
	b := s.bundle()
	if err := b.add(obj); err != nil {
		return err
	}
	b.deliver()
	s.tell()
	return nil
}

func (s *eventStore) tell() {
	if s.changed != nil {
		s.changed(s.known)
	}
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
	s.known.remove(e.Name)
	s.sink.Deliver(e)
	s.tell()
	return nil
}

// Replace ends a list, with those of its objects that were not delivered while
// they came; what was not in it is gone.
func (s *eventStore) Replace(list []any, _ string) error {
	b := s.bundle()
	for _, obj := range list {
		if err := b.add(obj); err != nil {
			return err
		}
	}
	for _, name := range s.known.sweep() {
		b.events = append(b.events, Event{Kind: s.kind, Name: name, Deleted: true})
	}
	b.deliver()
	s.tell()
	s.listed()
	return nil
}

// Resync has nothing to do: nothing is kept.
func (s *eventStore) Resync() error { return nil }

// bundle collects events, so that a long list does not wake the sync loop
// for each of its objects, nor comes to it all at once.
type bundle struct {
	store  *eventStore
	events []Event
}

const bundleSize = 200

func (s *eventStore) bundle() *bundle { return &bundle{store: s} }

func (b *bundle) add(obj any) error {
	e, err := eventOf(obj, false)
	if err != nil {
		return err
	}
	b.store.known.add(e.Name)
	if b.events = append(b.events, e); len(b.events) == bundleSize {
		b.deliver()
	}
	return nil
}

func (b *bundle) deliver() {
	b.store.sink.Deliver(b.events...)
	clear(b.events)
	b.events = b.events[:0]
}

// names is a set of names that knows which came in the latest list. They are
// sorted, as lists are, by namespace: that takes 24 bytes for each.
type names struct {
	list  uint32
	known map[string][]listedName
}

type listedName struct {
	name string
	list uint32
}

func newNames() names { return names{known: map[string][]listedName{}} }

func (n *names) begin() { n.list++ }

func (n *names) has(name types.NamespacedName) bool {
	_, found := findName(n.known[name.Namespace], name.Name)
	return found
}

func (n *names) add(name types.NamespacedName) {
	list := n.known[name.Namespace]
	at, found := findName(list, name.Name)
	if found {
		list[at].list = n.list
		return
	}
	n.known[name.Namespace] = slices.Insert(list, at, listedName{name.Name, n.list})
}

func (n *names) remove(name types.NamespacedName) {
	list := n.known[name.Namespace]
	at, found := findName(list, name.Name)
	if !found {
		return
	}
	if list = slices.Delete(list, at, at+1); len(list) > 0 {
		n.known[name.Namespace] = list
	} else {
		delete(n.known, name.Namespace)
	}
}

// sweep removes and returns the names that neither the latest list had nor a
// later event.
func (n *names) sweep() []types.NamespacedName {
	var gone []types.NamespacedName
	for namespace, list := range n.known {
		list = slices.DeleteFunc(list, func(l listedName) bool {
			if l.list == n.list {
				return false
			}
			gone = append(gone, types.NamespacedName{Namespace: namespace, Name: l.name})
			return true
		})
		if n.known[namespace] = list; len(list) == 0 {
			delete(n.known, namespace)
		}
	}
	return gone
}

func findName(list []listedName, name string) (int, bool) {
	// Lists come sorted.
	if last := len(list) - 1; last < 0 || list[last].name < name {
		return last + 1, false
	}
	return slices.BinarySearchFunc(list, name, func(l listedName, name string) int { return strings.Compare(l.name, name) })
}
