package residents

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/policy"
)

// Infer finds what can be inferred of the sandboxes that nobody has told of. before is
// what was presumed so far, and peekAt when a far end is to be looked at again; zero: at
// none. current says why the source may not have told of all Pods; nil: it never can.
func (w *Register) Infer(now time.Time, before map[netip.Addr]int, current func(time.Time) error) (found Presumption, peekAt time.Time, err error) {
	if why := w.cannotInfer(now, current); why != "" {
		return Presumption{Closed: why}, peekAt, nil
	}
	w.links.Recognize()
	young := w.links.YoungVeths()
	if len(young) == 0 {
		return found, peekAt, nil
	}
	waiting := w.waiting()
	if len(waiting) == 0 {
		return found, peekAt, nil
	}
	if peekAt, err = w.links.Peek(now, young); err != nil {
		return found, time.Time{}, err
	}
	scene := scene{waiting: waiting, strangers: w.links.StrangersOf(young), before: before, claimants: w.claimants}
	if w.connected {
		scene.may = w.started
	}
	return scene.presume(), peekAt, nil
}

// cannotInfer says why nothing can be inferred at all, empty if something can.
func (w *Register) cannotInfer(now time.Time, current func(time.Time) error) string {
	left := w.haunted(now)
	switch {
	case w.node == "":
		return "the agent does not know its node's name"
	case current == nil:
		return "Pods come from a source that does not say when they start"
	case !w.links.Settled():
		return "the first sync is not over"
	}
	if err := current(now); err != nil {
		// What comes now may be that of a Pod which came and went without a word.
		w.links.Distrust(nil)
		return "Pods of this node may be missing: " + err.Error()
	}
	if left > 0 {
		return fmt.Sprintf("a Pod without an interface is gone, and for %v its sandbox may still come", left.Round(time.Second))
	}
	return ""
}

// ghostTime is for how long a Pod that is gone from the API may still get a sandbox:
// until the kubelet hears that it is gone.
const ghostTime = source.SteadyAfter

// waiting are the Pods of this node that have no interface, sorted. One that had one
// and is being deleted gets no other.
func (w *Register) waiting() []*policy.Pod {
	var out []*policy.Pod
	for _, r := range w.pods {
		if w.waits(r) {
			out = append(out, r.object)
		}
	}
	slices.SortFunc(out, func(a, b *policy.Pod) int { return policy.CompareNames(a.NamespacedName, b.NamespacedName) })
	return out
}

func (w *Register) waits(r *resident) bool {
	return w.here(r.object) && (!r.object.Terminating || !r.placed) && !w.links.Carries(r.object.NamespacedName, w.stated(r))
}

// started reports whether the runtime has started the Pod's sandbox and did not say
// what its addresses are.
func (w *Register) started(p *policy.Pod) bool {
	s, ok := w.sandboxOf(p)
	return ok && len(s.Addrs) == 0
}

// claimants are the Pods that have an address by what the runtime or their objects say.
func (w *Register) claimants(a netip.Addr) []types.NamespacedName {
	if uid, ok := w.byTold[a]; ok {
		return []types.NamespacedName{w.told[uid].Pod}
	}
	var out []types.NamespacedName
	for _, c := range w.index.Claims(a) {
		if r := w.pods[c.Pod]; r == nil || slices.Contains(r.object.Addrs, a) {
			out = append(out, c.Pod)
		}
	}
	return out
}

// Presume gives the Pods the addresses that they are presumed to have.
func (w *Register) Presume(p Presumption) {
	if len(p.Addrs) == 0 && len(w.links.Presumed()) == 0 {
		return
	}
	var addrs []netip.Addr
	for a := range p.Addrs {
		addrs = append(addrs, a)
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	claim := map[types.NamespacedName]bool{}
	for _, c := range p.claim {
		claim[c.NamespacedName] = true
	}
	for name, r := range w.pods {
		var now []netip.Addr
		if claim[name] {
			now = addrs
		}
		if !slices.Equal(r.presumed, now) {
			r.presumed = now
			w.tell(r)
		}
	}
	w.links.Presume(p.Addrs)
	w.covered = map[types.UID]bool{}
	if p.complete {
		for _, c := range p.Candidates {
			w.covered[c.UID] = true
		}
	}
}

// Placed notes which Pods have an interface.
func (w *Register) Placed() {
	for name, r := range w.pods {
		if !r.placed {
			r.placed = w.links.Carries(name, w.stated(r))
		}
	}
}

// leaver is a Pod of which the object is gone, or says that the Pod has ended.
type leaver struct {
	*resident
	// end is the object that says so, nil if it is gone.
	end *policy.Pod
}

// Mourn looks at the Pods that left. If one had no interface yet, some unknown one may
// be its, or come to be: that one must never pass for another Pod's.
func (w *Register) Mourn() {
	for _, l := range w.left {
		if !w.links.Settled() || !w.waits(l.resident) {
			continue // before that nothing is inferred of anything
		}
		ended := l.end != nil && l.end.Finished
		if ended && len(l.end.Addrs) > 0 {
			w.links.Distrust(l.end.Addrs) // it says itself which was its
			continue
		}
		w.links.Distrust(nil)
		if !ended || !l.placed {
			w.ghostUntil = w.now().Add(ghostTime)
		}
	}
	w.left = nil
}

// haunted is for how long sandboxes of Pods that are gone may still come. Those that
// came are never anybody's by inference.
func (w *Register) haunted(now time.Time) time.Duration {
	left := w.ghostUntil.Sub(now)
	if left > 0 {
		w.links.Distrust(nil)
	}
	return left
}

// ForgetLost drops what the runtime said, before its connection was lost, of a sandbox
// whose interface or whose Pod has gone since: nobody will say when the sandbox goes, and
// its addresses would be lost to every later Pod. What lives on in it is nobody's then. A
// Pod that never came may still come.
func (w *Register) ForgetLost(b *Told) {
	forgot := false
	for uid, s := range w.told {
		r := w.pods[s.Pod]
		lives := r != nil && r.object.UID == uid
		if lives {
			w.met[uid] = true
		}
		if w.connected || !w.met[uid] || lives && (!r.placed || w.links.Carries(s.Pod, s.Addrs)) {
			continue
		}
		b.forget(s)
		delete(w.told, uid)
		delete(w.met, uid)
		for _, a := range s.Addrs {
			delete(w.byTold, a)
		}
		forgot = true
	}
	if !forgot {
		return
	}
	for _, r := range w.pods {
		w.tell(r) // another may claim these addresses
	}
}
