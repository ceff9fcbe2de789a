package chaos

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluice-net/sluice/policy/spectest"
)

// bound is how long after a change the rules may still be those from before,
// while nothing hinders the agent: the one tolerance of all checks. It is far
// more than what is measured (see [counts.latest]), for tests run on busy machines.
var bound = 2 * time.Second

// objects are what the agent's source says at a time. Slices and objects are
// never changed, only replaced, and versions count how often.
type objects struct {
	pods       []*corev1.Pod
	namespaces []*corev1.Namespace
	policies   []*networkingv1.NetworkPolicy
	versions   [kinds]int
}

// The kinds of objects, as indexes of versions.
const (
	podKind = iota
	namespaceKind
	policyKind
	kinds
)

func (o *objects) cluster() *spectest.Cluster {
	return &spectest.Cluster{Pods: o.pods, Namespaces: o.namespaces, Policies: o.policies}
}

// state is what the source said from one moment until another.
type state struct {
	objects
	// from is just before the change was delivered, until just after the next
	// one was; 0 for the last. Both are in Unix nanoseconds, as all times here.
	from, until int64
	table       []verdict
}

// span is a stretch of time; until is 0 while it lasts.
type span struct{ from, until int64 }

func (s span) touches(from, until int64) bool {
	return s.from <= until && (s.until == 0 || s.until >= from)
}

// history is all that a checker must know of what was done.
type history struct {
	model  *model
	states []*state
	// hindered is when the agent could not follow: it was dead, stopped, cut off
	// from its source, without nft, or without a processor.
	hindered []*span
	// open is when others had our rules in their hands.
	open []span
	// broken is when an end's path was interrupted by what was done to it.
	broken map[int][]span
	// fresh is when an end got an interface that the kernel's rules cannot know
	// until the agent has seen it: on a bridge each port is closed from the
	// beginning, elsewhere a new veth is nobody's.
	fresh map[int][]span
	// reborn is when an end's long flows may be older than its Pod: from when its
	// address changed hands until all flows were replaced by new ones. The agent
	// deletes an address's connections then, and whoever sends next is to conntrack
	// who opened the connection, though it be an answer. So it is where the kernel did
	// not track connections for a while.
	reborn map[int][]span
	// redirected is when tc took what an end sends over another device.
	redirected map[int][]span
}

func newHistory(m *model) *history {
	return &history{model: m, broken: map[int][]span{}, fresh: map[int][]span{}, reborn: map[int][]span{}, redirected: map[int][]span{}}
}

// become records what the source says, from just before it was told until now.
func (h *history) become(from, now int64, o objects) {
	if n := len(h.states); n > 0 {
		h.states[n-1].until = now
		h.changeHands(from, &h.states[n-1].objects, &o)
	}
	h.states = append(h.states, &state{objects: o, from: from})
}

// changeHands notes whose address has other Pods than before.
func (h *history) changeHands(at int64, before, after *objects) {
	for e, end := range h.model.ends {
		spans := h.reborn[e]
		if end.role != pod || len(spans) > 0 && spans[len(spans)-1].until == 0 {
			continue
		}
		was, is := before.cluster().Claimants(end.addrs[0]), after.cluster().Claimants(end.addrs[0])
		if !slices.EqualFunc(was, is, func(a, b *corev1.Pod) bool { return a.UID == b.UID }) {
			h.reborn[e] = append(spans, span{from: at})
		}
	}
}

// untracked records that connections were not tracked at a moment.
func (h *history) untracked(at int64) {
	for e := range h.model.ends {
		if spans := h.reborn[e]; len(spans) == 0 || spans[len(spans)-1].until != 0 {
			h.reborn[e] = append(spans, span{from: at})
		}
	}
}

// renewed records that all long flows are new.
func (h *history) renewed(at int64) {
	for _, spans := range h.reborn {
		if n := len(spans); n > 0 && spans[n-1].until == 0 {
			spans[n-1].until = at
		}
	}
}

// mayBeInverted reports whether conntrack may take the ends of a long flow for each
// other, and be right to give it a verdict: that on the answers.
func (h *history) mayBeInverted(d datagram, at int64, v verdict) bool {
	if d.kind != long {
		return false
	}
	src, dst, _, _ := h.model.of(d.class)
	for _, s := range slices.Concat(h.reborn[src], h.reborn[dst]) {
		if !s.touches(d.sent, d.sent) {
			continue
		}
		from, until := h.window(s.from, at)
		for _, st := range h.during(from, until) {
			if h.model.inverted(st.cluster(), d.class) != opposite(v) {
				return true
			}
		}
	}
	return false
}

func opposite(v verdict) verdict {
	if v == allowed {
		return forbidden
	}
	return allowed
}

func (h *history) now() *state { return h.states[len(h.states)-1] }

// window is the time whose states may be in force between two moments.
func (h *history) window(from, until int64) (int64, int64) {
	from -= int64(bound)
	for again := true; again; {
		again = false
		for _, s := range h.hindered {
			if start := s.from - int64(bound); s.touches(from, until) && start < from {
				from, again = start, true
			}
		}
	}
	return from, until
}

// during returns the states of a window.
func (h *history) during(from, until int64) []*state {
	var out []*state
	for _, s := range h.states {
		if (span{s.from, s.until}).touches(from, until) {
			out = append(out, s)
		}
	}
	return out
}

// anyOf reports whether one of the spans touches a window.
func anyOf(spans []span, from, until int64) bool {
	return slices.ContainsFunc(spans, func(s span) bool { return s.touches(from, until) })
}

// everywhere reports whether a class had the same verdict in each state that
// may have been in force in a window, and which.
//
// Kinds of objects reach the agent on ways of their own: it may know a policy
// of now and Pods of a moment ago. So what the states agree on is asked of their
// mixtures as well.
func (h *history) everywhere(class int, from, until int64) (verdict, bool) {
	states := h.during(from, until)
	if len(states) == 0 {
		return either, false
	}
	first := h.verdict(states[0], class)
	for _, s := range states[1:] {
		if h.verdict(s, class) != first {
			return either, false
		}
	}
	for _, pods := range distinct(states, podKind) {
		for _, namespaces := range distinct(states, namespaceKind) {
			for _, policies := range distinct(states, policyKind) {
				mix := objects{pods: pods.pods, namespaces: namespaces.namespaces, policies: policies.policies}
				if h.model.verdict(mix.cluster(), class) != first {
					return either, false
				}
			}
		}
	}
	return first, true
}

// distinct leaves one state for each version of a kind.
func distinct(states []*state, kind int) []*state {
	var out []*state
	for _, s := range states {
		if !slices.ContainsFunc(out, func(o *state) bool { return o.versions[kind] == s.versions[kind] }) {
			out = append(out, s)
		}
	}
	return out
}

// nobodys reports whether an end is a sandbox of which there was no Pod's object
// at some time in a window.
func (h *history) nobodys(e int, from, until int64) bool {
	return h.model.ends[e].role == pod && slices.ContainsFunc(h.during(from, until), func(s *state) bool {
		return len(s.cluster().Claimants(h.model.ends[e].addrs[0])) == 0
	})
}

func (h *history) verdict(s *state, class int) verdict {
	if s.table == nil {
		s.table = h.model.table(s.cluster())
	}
	return s.table[class]
}

// forget drops what no check of anything after a moment asks for.
func (h *history) forget(before int64) {
	before, _ = h.window(before, before)
	h.states = slices.DeleteFunc(h.states, func(s *state) bool { return s.until != 0 && s.until < before })
	h.hindered = slices.DeleteFunc(h.hindered, func(s *span) bool { return s.until != 0 && s.until < before })
	h.open = slices.DeleteFunc(h.open, func(s span) bool { return s.until != 0 && s.until < before })
	for _, of := range []map[int][]span{h.broken, h.fresh, h.reborn, h.redirected} {
		for end, spans := range of {
			of[end] = slices.DeleteFunc(spans, func(s span) bool { return s.until != 0 && s.until < before })
		}
	}
}
