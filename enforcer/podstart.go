package enforcer

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/enforcer/conntrack"
	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/policy"
)

// currentSource is a source that can say whether it has told all that there is: that
// a Pod which it has not named is not on this node. What a directory holds says
// nothing of when a Pod starts.
type currentSource interface {
	// Current is why what it told of a kind may be old, nil if it is not.
	Current(kind source.EventKind, now time.Time) error
}

// presumedFor is how long a presumption goes unquestioned where nothing happens: the
// source may have fallen silent.
const presumedFor = time.Second

// podStart is how the first packets of a Pod are dealt with on this node.
type podStart struct {
	// tenants are the Pods that may have each presumed address.
	tenants map[netip.Addr]map[conntrack.Tenant]bool
	// peekAt is when a far end is looked at again; zero: at none.
	peekAt time.Time
	// text says which rung holds, once the kernel has what follows from it.
	text string
	// told is what was logged.
	told string
}

// assign says which addresses the Pods of this node have, as far as can be known now.
func (s *syncer) assign(ctx context.Context) error {
	now := s.cfg.Clock.Now()
	s.where.Hear(s.sandboxes)
	s.where.ForgetLost(s.sandboxes)
	s.where.Mourn()
	before := s.links.Presumed()
	found, err := s.infer(now, before)
	if err != nil {
		return err
	}
	s.where.Presume(found)
	if !maps.Equal(before, found.addrs) {
		s.rounds.Moved()
	}
	s.start.tenants = found.tenants()
	s.tellStart(ctx, found, before)
	return nil
}

// infer finds what can be inferred of the sandboxes that nobody has told of.
func (s *syncer) infer(now time.Time, before map[netip.Addr]int) (presumption, error) {
	s.start.peekAt = time.Time{}
	if why := s.cannotInfer(now); why != "" {
		return presumption{closed: why}, nil
	}
	s.links.Recognize()
	young := s.links.YoungVeths()
	if len(young) == 0 {
		return presumption{}, nil
	}
	waiting := s.where.Waiting()
	if len(waiting) == 0 {
		return presumption{}, nil
	}
	next, err := s.links.Peek(now, young)
	if err != nil {
		return presumption{}, err
	}
	s.start.peekAt = next
	scene := scene{
		waiting: waiting, strangers: s.links.StrangersOf(young), before: before,
		claimants: s.where.Claimants,
	}
	if s.where.connected {
		scene.may = s.where.started
	}
	return scene.presume(), nil
}

// cannotInfer says why nothing can be inferred at all, empty if something can.
func (s *syncer) cannotInfer(now time.Time) string {
	left := s.where.Haunted(now)
	switch {
	case s.cfg.Node == "":
		return "the agent does not know its node's name"
	case s.current == nil:
		return "Pods come from a source that does not say when they start"
	case !s.links.Settled():
		return "the first sync is not over"
	}
	if err := s.current(now); err != nil {
		// What comes now may be that of a Pod which came and went without a word.
		s.links.Distrust(nil)
		return "Pods of this node may be missing: " + err.Error()
	}
	if left > 0 {
		return fmt.Sprintf("a Pod without an interface is gone, and for %v its sandbox may still come", left.Round(time.Second))
	}
	return ""
}

// tenants are the Pods that may have each address.
func (p presumption) tenants() map[netip.Addr]map[conntrack.Tenant]bool {
	if len(p.addrs) == 0 {
		return nil
	}
	all := map[conntrack.Tenant]bool{}
	for _, c := range p.candidates {
		all[conntrack.Tenant{Pod: c.NamespacedName, UID: c.UID}] = true
	}
	out := map[netip.Addr]map[conntrack.Tenant]bool{}
	for a := range p.addrs {
		out[a] = all
	}
	return out
}

// tellStart shows which rung holds.
func (s *syncer) tellStart(ctx context.Context, p presumption, before map[netip.Addr]int) {
	known := map[int]bool{}
	for _, index := range before {
		known[index] = true
	}
	for _, index := range p.addrs {
		if !known[index] {
			known[index] = true
			s.metrics.inferred.Inc()
		}
	}
	text := "inference"
	switch {
	case s.where.connected:
		text, p.closed = "runtime (NRI)", ""
	case p.closed != "":
		text = "closed: " + p.closed
	}
	s.start.text = text
	if (p.closed == "") != (s.start.told == "") {
		klog.FromContext(ctx).V(2).Info("How the first packets of Pods are dealt with has changed", "podStart", text)
	}
	s.start.told = p.closed
}

// countUnknown shows how many sandboxes are nobody's, when Pods were looked for.
func (s *syncer) countUnknown() {
	s.metrics.unknown.Set(float64(len(s.links.StrangersOf(s.links.YoungVeths()))))
}

// wait is how long until something is due; negative: nothing is.
func (p *podStart) wait(now time.Time) time.Duration {
	out := time.Duration(-1)
	if len(p.tenants) > 0 {
		out = presumedFor
	}
	if at := max(0, p.peekAt.Sub(now)); !p.peekAt.IsZero() && (out < 0 || at < out) {
		out = at
	}
	return out
}

// ghostTime is for how long a Pod that is gone from the API may still get a sandbox:
// until the kubelet hears that it is gone.
const ghostTime = source.SteadyAfter

// Waiting are the Pods of this node that have no interface, sorted. One that had one
// and is being deleted gets no other.
func (w *whereabouts) Waiting() []*policy.Pod {
	var out []*policy.Pod
	for _, r := range w.pods {
		if w.waits(r) {
			out = append(out, r.object)
		}
	}
	slices.SortFunc(out, func(a, b *policy.Pod) int { return policy.CompareNames(a.NamespacedName, b.NamespacedName) })
	return out
}

func (w *whereabouts) waits(r *resident) bool {
	return w.here(r.object) && (!r.object.Terminating || !r.placed) && !w.links.Carries(r.object.NamespacedName, w.stated(r))
}

// started reports whether the runtime has started the Pod's sandbox and did not say
// what its addresses are.
func (w *whereabouts) started(p *policy.Pod) bool {
	s, ok := w.sandboxOf(p)
	return ok && len(s.Addrs) == 0
}

// Claimants are the Pods that have an address by what the runtime or their objects say.
func (w *whereabouts) Claimants(a netip.Addr) []types.NamespacedName {
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
func (w *whereabouts) Presume(p presumption) {
	if len(p.addrs) == 0 && len(w.links.Presumed()) == 0 {
		return
	}
	var addrs []netip.Addr
	for a := range p.addrs {
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
	w.links.Presume(p.addrs)
	w.covered = map[types.UID]bool{}
	if p.complete {
		for _, c := range p.candidates {
			w.covered[c.UID] = true
		}
	}
}

// Placed notes which Pods have an interface.
func (w *whereabouts) Placed() {
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
func (w *whereabouts) Mourn() {
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

// Haunted is for how long sandboxes of Pods that are gone may still come. Those that
// came are never anybody's by inference.
func (w *whereabouts) Haunted(now time.Time) time.Duration {
	left := w.ghostUntil.Sub(now)
	if left > 0 {
		w.links.Distrust(nil)
	}
	return left
}

// ForgetLost drops what the runtime said before its connection was lost of a sandbox
// whose interface has gone since.
func (w *whereabouts) ForgetLost(b *sandboxes) {
	if w.connected {
		return
	}
	for uid, s := range w.told {
		r := w.pods[s.Pod]
		if r == nil || r.object.UID != uid || !r.placed || w.links.Carries(s.Pod, s.Addrs) {
			continue
		}
		b.forget(s)
		delete(w.told, uid)
		for _, a := range s.Addrs {
			delete(w.byTold, a)
		}
		w.tell(r)
	}
}
