// Package residents says which Pod of a node has which addresses, before the API does: by
// what the container runtime says of its sandbox, by its object, or by what can be
// inferred of the veths that nobody has told of. An index gets the Pods with the addresses
// that follow, and packets of whoever it is no more than its policies give.
package residents

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/policy"
)

// Register says which addresses each Pod of this node has. It stands between the
// events and the index, for the API is the last to know: the kubelet writes a Pod's
// addresses after its containers run. What the runtime says of a Pod's very sandbox
// counts first, then the object's status, then what can be inferred (inference.go).
//
// It holds the objects of this node's Pods, and of other Pods only those that claim an
// address of which the runtime says that it is another's. It belongs to the sync loop.
type Register struct {
	node  string
	index *policy.Index
	links *links.Links
	now   func() time.Time
	pods  map[types.NamespacedName]*resident

	// told is what the runtime said, by UID, and byTold whose its addresses are.
	told      map[types.UID]said
	byTold    map[netip.Addr]types.UID
	connected bool
	version   uint64
	// met are the sandboxes of which it was told whose Pods were known, or passed by.
	met map[types.UID]bool

	// covered are Pods whose sandboxes are among those that are presumed to be some
	// Pods'.
	covered map[types.UID]bool
	// left are Pods that went since the last round.
	left []leaver
	// ghostUntil is until when a Pod that is gone may still get a sandbox.
	ghostUntil time.Time
}

// resident is a Pod of this node, or one that claims an address of such a Pod.
type resident struct {
	// object is the Pod as the API has it.
	object *policy.Pod
	// presumed are addresses that it may have, as far as can be inferred.
	presumed []netip.Addr
	// placed: it had an interface that was known to be its.
	placed bool
}

// New is the register of a node, of which no Pod is known yet. It keeps the index up to
// date, whose owner must not set Pods of the node by itself.
func New(node string, index *policy.Index, l *links.Links, now func() time.Time) *Register {
	return &Register{node: node, index: index, links: l, now: now, pods: map[types.NamespacedName]*resident{}, met: map[types.UID]bool{}}
}

// SetPod takes in a Pod's object.
func (w *Register) SetPod(p *policy.Pod) {
	r := w.pods[p.NamespacedName]
	if r != nil && (r.object.UID != p.UID || !w.here(p)) {
		w.left = append(w.left, leaver{r, p})
	} else if r == nil && p.Finished {
		if old, known := w.index.Pod(p.NamespacedName); !known || old.UID != p.UID || !old.Finished {
			w.passBy(p)
		}
	}
	if !w.keeps(p) {
		delete(w.pods, p.NamespacedName)
		w.index.SetPod(p)
		return
	}
	if r == nil || r.object.UID != p.UID {
		r = &resident{}
		w.pods[p.NamespacedName] = r
	}
	r.object = p
	w.tell(r)
}

// DeletePod forgets a Pod. It may have come and gone at once: then last is what it was.
func (w *Register) DeletePod(name types.NamespacedName, last *policy.Pod) {
	r := w.pods[name]
	if r != nil {
		w.left = append(w.left, leaver{r, nil})
	}
	if last != nil && (r == nil || r.object.UID != last.UID) {
		w.passBy(last)
	}
	delete(w.pods, name)
	w.index.DeletePod(name)
}

// passBy notes a Pod that is gone, or has ended, before it was ever known.
func (w *Register) passBy(p *policy.Pod) {
	if _, told := w.told[p.UID]; told {
		w.met[p.UID] = true
	}
	was := *p
	was.Finished = false
	one := leaver{&resident{object: &was}, nil}
	if p.Finished {
		one.end = p
	}
	w.left = append(w.left, one)
}

// keeps reports whether the addresses of a Pod may be others than its object says.
func (w *Register) keeps(p *policy.Pod) bool {
	return w.here(p) || !p.HostNetwork && !p.Finished && slices.ContainsFunc(p.Addrs, func(a netip.Addr) bool { _, ok := w.byTold[a]; return ok })
}

// here reports whether a Pod has a sandbox of its own on this node, or will have one.
// Without the node's name nobody knows that.
func (w *Register) here(p *policy.Pod) bool {
	return w.node != "" && p.Node == w.node && !p.HostNetwork && !p.Finished
}

// tell hands a Pod to the index with the addresses that it has.
func (w *Register) tell(r *resident) {
	addrs := w.addrs(r)
	if slices.Equal(addrs, r.object.Addrs) && len(r.presumed) == 0 {
		w.index.SetPod(r.object)
		return
	}
	p := *r.object
	p.Addrs = addrs
	// A Pod without a guard could pass for another whose interface it may be.
	p.Unguarded = p.Unguarded && len(r.presumed) == 0
	w.index.SetPod(&p)
}

// addrs are the addresses that a Pod counts with.
func (w *Register) addrs(r *resident) []netip.Addr {
	out := w.stated(r)
	if s, ok := w.sandboxOf(r.object); ok && len(s.Addrs) > 0 {
		return out
	}
	for _, a := range r.presumed {
		if !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// stated are those that it has by what the runtime or its object says.
func (w *Register) stated(r *resident) []netip.Addr {
	if r.object.Unread {
		return nil
	}
	if s, ok := w.sandboxOf(r.object); ok && len(s.Addrs) > 0 {
		return s.Addrs
	}
	var out []netip.Addr
	for _, a := range r.object.Addrs {
		// The runtime knows better whose it is, also while that Pod has no object.
		if _, others := w.byTold[a]; !others {
			out = append(out, a)
		}
	}
	return out
}

// sandboxOf is what the runtime says of a Pod. The name must be the same, too: a
// mirror Pod's UID is what its object claims it to be.
func (w *Register) sandboxOf(p *policy.Pod) (said, bool) {
	s, ok := w.told[p.UID]
	return s, ok && s.Pod == p.NamespacedName && w.here(p)
}

// Hear takes in what the runtime said.
func (w *Register) Hear(b *Told) {
	told, connected, version := b.read(w.version)
	w.connected = connected
	if version == w.version {
		return
	}
	if w.node == "" {
		told = nil // which Pods it is about, nobody can say
	}
	was := w.byTold
	w.told, w.version, w.byTold = told, version, map[netip.Addr]types.UID{}
	for uid, s := range told {
		for _, a := range s.Addrs {
			w.byTold[a] = uid
		}
	}
	maps.DeleteFunc(w.met, func(uid types.UID, _ bool) bool { _, told := w.told[uid]; return !told })
	w.takeIn(was)
	for name, r := range w.pods {
		w.tell(r)
		if !w.keeps(r.object) {
			delete(w.pods, name)
		}
	}
}

// takeIn keeps the Pods of other nodes that claim what is now known to be here.
func (w *Register) takeIn(was map[netip.Addr]types.UID) {
	for a := range w.byTold {
		if _, old := was[a]; old {
			continue
		}
		for _, c := range w.index.Claims(a) {
			if w.pods[c.Pod] != nil {
				continue
			}
			if p, ok := w.index.Pod(c.Pod); ok {
				w.pods[c.Pod] = &resident{object: p}
			}
		}
	}
}

// Placement says which sandboxes are enforced, of which nothing is left to be found.
func (w *Register) Placement() Placement {
	l := w.links
	out := Placement{done: map[types.UID]uint64{}, waiting: map[types.UID]string{}, version: w.version}
	for uid, s := range w.told {
		r := w.pods[s.Pod]
		p, known := w.index.Pod(s.Pod)
		switch {
		case known && p.UID == uid && p.HostNetwork:
			out.done[uid] = s.version // it is the node
		case r == nil || r.object.UID != uid || !w.here(r.object):
			out.waiting[uid] = "the API has no such Pod on this node yet"
		case len(s.Addrs) == 0 && !w.covered[uid] && !l.Carries(s.Pod, r.object.Addrs):
			out.waiting[uid] = "its addresses are not known yet"
		case len(s.Addrs) > 0 && !l.CarriesAll(s.Pod, s.Addrs):
			out.waiting[uid] = "its interface is not found yet"
		default:
			out.done[uid] = s.version
		}
	}
	return out
}

// Disputed leaves out what is only presumed to be claimed.
func (w *Register) Disputed(conflicts []policy.Conflict) []policy.Conflict {
	var out []policy.Conflict
	for _, c := range conflicts {
		c.Claims = slices.DeleteFunc(slices.Clone(c.Claims), func(claim policy.Claim) bool {
			r := w.pods[claim.Pod]
			return r != nil && slices.Contains(r.presumed, c.Addr) && !slices.Contains(r.object.Addrs, c.Addr)
		})
		if len(c.Claims) > 1 {
			out = append(out, c)
		}
	}
	return out
}

// Connected reports whether the runtime tells of each sandbox before anything runs in it.
func (w *Register) Connected() bool { return w.connected }

// Told reports whether the runtime ever said anything.
func (w *Register) Told() bool { return w.version > 0 }
