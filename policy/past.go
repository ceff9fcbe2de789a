package policy

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// Generation numbers what an index was told, in the order it was told. What is
// handed over together, and takes effect together, is one generation.
type Generation uint64

// objectKind says what a change was of.
type objectKind uint8

const (
	podObject objectKind = iota
	namespaceObject
	policyObject
)

// objectKey names an object that changed. A Namespace's own name is in Name.
type objectKey struct {
	kind objectKind
	name types.NamespacedName
}

// change is what an object was before a generation.
type change struct {
	generation Generation
	objectKey
	// pod and class are nil where there was no such Pod. The class has the labels, and
	// keeps them when it is no Pod's any more.
	pod   *Pod
	class *class
	// known and labels are a Namespace's.
	known  bool
	labels labelList
	// policy and asleep are nil where there was no such policy.
	policy *parsed
	asleep *dormant
	weight int
}

// A change counts as more than one where what it keeps is large: a policy of the largest
// size is tens of megabytes, and somebody may change it all the time.
const (
	partsOfOne = 32   // peers and ports
	bytesOfOne = 2048 // of a policy that is dormant
)

func (c *change) weigh() int {
	w := 1
	if c.policy != nil {
		for _, rules := range c.policy.rules {
			for i := range rules {
				w += (len(rules[i].peers) + len(rules[i].ports)) / partsOfOne
			}
		}
	}
	if c.asleep != nil {
		w += len(c.asleep.raw) / bytesOfOne
	}
	return w
}

// past is what objects were lately. It holds what the index let go of anyway, so that
// a change costs one entry and no copy.
type past struct {
	// most is what the changes may weigh, weight what they do.
	most, weight int
	current      Generation
	// changes are in the order of their generations, each object once in one.
	changes []change
	// noted is the generation in which an object was last noted.
	noted map[objectKey]Generation
	// lost is the last generation of which something is missing, forgotten the last one
	// that nobody asks about any more.
	lost, forgotten Generation
}

// KeepPast has the index remember what objects were before they changed, up to so
// many changes, or fewer of large policies; with 0 it forgets all and remembers nothing. It is for whoever has to
// say why a packet was denied that was judged a moment ago: see [Index.ExplainAsOf].
func (x *Index) KeepPast(most int) {
	if most <= 0 {
		x.past = nil
		return
	}
	if x.past == nil {
		x.past = &past{current: 1, noted: map[objectKey]Generation{}}
	}
	x.past.most = most
}

// NextGeneration begins a generation, to which all belongs that the index is told from
// now on, and returns its number. It is 0 where no past is kept.
func (x *Index) NextGeneration() Generation {
	if x.past == nil {
		return 0
	}
	x.past.current++
	return x.past.current
}

// ForgetPast forgets what was before a generation and all earlier ones: nobody will ask
// about a time at which they were not in force.
func (x *Index) ForgetPast(until Generation) {
	if p := x.past; p != nil && until > p.forgotten {
		p.forgotten = until
		p.forget(until)
	}
}

func (p *past) forget(until Generation) {
	n := 0
	for n < len(p.changes) && p.changes[n].generation <= until {
		c := &p.changes[n]
		if p.noted[c.objectKey] == c.generation {
			delete(p.noted, c.objectKey)
		}
		p.weight -= c.weight
		n++
	}
	switch {
	case n == 0:
	case n == len(p.changes):
		// The array may have grown in a burst.
		p.changes = nil
		renew(&p.noted)
	default:
		p.changes = slices.Delete(p.changes, 0, n)
	}
}

// note keeps a change, if it is the first of its object in the generation. What is
// beyond the limit is lost from the oldest end, by whole generations.
func (p *past) note(c change) {
	if last, known := p.noted[c.objectKey]; known && last == p.current {
		return
	}
	c.generation, c.weight = p.current, min(c.weigh(), p.most)
	for p.weight+c.weight > p.most {
		p.lost = p.changes[0].generation
		p.forget(p.lost)
	}
	if p.lost == p.current {
		return // more in one generation than is kept of all: none of it is of use
	}
	p.weight += c.weight
	p.noted[c.objectKey] = p.current
	p.changes = append(p.changes, c)
}

func (p *past) pod(name types.NamespacedName, was *entry) {
	if p == nil {
		return
	}
	c := change{objectKey: objectKey{podObject, name}}
	if was != nil {
		c.pod, c.class = was.pod, was.class
	}
	p.note(c)
}

func (p *past) namespace(was *namespace) {
	if p == nil {
		return
	}
	key := objectKey{namespaceObject, types.NamespacedName{Name: was.name}}
	p.note(change{objectKey: key, known: was.known, labels: was.labels})
}

func (p *past) policy(name types.NamespacedName, was *parsed) {
	if p == nil {
		return
	}
	p.note(change{objectKey: objectKey{policyObject, name}, policy: was})
}

// sleeping is policy for one that is dormant.
func (p *past) sleeping(ns *namespace, name string) {
	if p == nil {
		return
	}
	c := change{objectKey: objectKey{policyObject, types.NamespacedName{Namespace: ns.name, Name: name}}}
	if at, found := ns.dormant(name); found {
		was := ns.asleep[at]
		c.asleep = &was
	}
	p.note(c)
}

// then is what the changed objects were at a time when some generations were not in
// force, by object: those that were what they are now are not in it. It is false where
// something of these generations is lost.
func (p *past) then(without func(Generation) bool) (was map[objectKey]*change, complete bool) {
	was = map[objectKey]*change{}
	var settled map[objectKey]bool
	// Backwards, so that the earliest of the changes that were not in force stands,
	// unless a later one of the object was.
	for i := len(p.changes) - 1; i >= 0; i-- {
		c := &p.changes[i]
		switch {
		case settled[c.objectKey]:
		case without(c.generation):
			was[c.objectKey] = c
		default:
			if settled == nil {
				settled = map[objectKey]bool{}
			}
			settled[c.objectKey] = true
		}
	}
	for g := p.forgotten + 1; g <= p.lost; g++ {
		if without(g) {
			return was, false
		}
	}
	return was, true
}
