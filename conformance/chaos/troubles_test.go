package chaos

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// trouble is something that is wrong until it is healed.
type trouble struct {
	what string
	// span is when the agent may be behind: until it said that it is ready,
	// after all was healed.
	span *span
	// mend ends the trouble itself, nil if it ended by itself.
	mend func() error
	// healed is when that was.
	healed int64
	// silenced are expectations that end with it.
	silenced []*expectation
}

// hinder begins a time in which the agent cannot follow.
func (w *world) hinder(what string) *trouble {
	w.log("begins: %s", what)
	s := &span{from: time.Now().UnixNano()}
	w.history.hindered = append(w.history.hindered, s)
	tr := &trouble{what: what, span: s}
	w.troubles = append(w.troubles, tr)
	return tr
}

// has reports whether a trouble stands that is not healed.
func (w *world) has(what ...string) bool {
	for _, tr := range w.troubles {
		for _, s := range what {
			if tr.what == s && tr.healed == 0 {
				return true
			}
		}
	}
	return false
}

// heal ends a trouble. That the agent has caught up is seen later.
func (w *world) heal(tr *trouble) {
	if tr.healed != 0 {
		return
	}
	// Nobody may be ready until the cause has gone, but from then on.
	for _, e := range tr.silenced {
		e.until = time.Now().UnixNano()
	}
	if tr.mend != nil {
		w.must(tr.mend())
	}
	tr.healed = time.Now().UnixNano()
	w.log("ends: %s", tr.what)
	// Agents that wait for this one may be ready now, and not before.
	w.follow(tr)
}

func (w *world) healAll() {
	for _, tr := range w.troubles {
		w.heal(tr)
	}
	w.troubles = nil
}

// follow waits in the history for the agent to say that it is ready.
func (w *world) follow(tr *trouble) {
	w.pending = append(w.pending, pendingSpan{tr.what, tr.span, tr.healed})
}

// pendingSpan is one whose cause is healed.
type pendingSpan struct {
	what   string
	span   *span
	healed int64
}

// catchUp ends the spans of what is healed, once the agent is ready and its
// source has told it all.
func (w *world) catchUp() {
	w.supervise()
	if w.api != nil && !w.api.inStep() {
		w.inStepSince = 0
		return
	}
	if w.inStepSince == 0 {
		w.inStepSince = time.Now().UnixNano()
	}
	rest := w.pending[:0]
	for _, p := range w.pending {
		if s, ok := w.ready.okSince(max(p.healed, w.inStepSince)); ok {
			p.span.until = s.until
		} else {
			rest = append(rest, p)
		}
	}
	w.pending = rest
}

// supervise starts an agent that ended by itself, as a kubelet does. It may do so
// only if it was started where there are no manifests.
func (w *world) supervise() {
	if w.agent.running() || w.has(agentTrouble) {
		return
	}
	switch {
	case w.has(fileTrouble):
		return
	case w.hasStarted(fileTrouble):
		w.log("the agent is started again")
	default:
		w.fault("the agent ended by itself")
	}
	w.must(w.agent.start())
}

// hasStarted reports whether a trouble began of which the agent has not
// recovered yet.
func (w *world) hasStarted(what string) bool {
	return slices.ContainsFunc(w.pending, func(p pendingSpan) bool { return p.what == what })
}

// expectNotReady: from a moment on, until the trouble is healed, readyz must
// not say ok.
func (w *world) expectNotReady(tr *trouble, from int64, why string) {
	e := &expectation{span{from: from}, why}
	w.notReady = append(w.notReady, e)
	tr.silenced = append(tr.silenced, e)
}

// catchesUpWithin is how long an agent may take to be ready when all is healed: a source
// waits for up to 30 seconds before it asks a server again that refused it, and once more
// before it lists what the server has forgotten.
var catchesUpWithin = 75 * time.Second

// awaitReady waits until the agent has caught up with all, and returns when it
// said so.
func (w *world) awaitReady() int64 {
	began := time.Now()
	for {
		w.catchUp()
		if len(w.pending) == 0 {
			w.slowest = max(w.slowest, time.Since(began))
			return time.Now().UnixNano()
		}
		if time.Since(began) > catchesUpWithin {
			w.fault("not ready %v after all was healed: %s", catchesUpWithin, w.ready.last().text)
			for _, p := range w.pending {
				p.span.until = time.Now().UnixNano()
			}
			w.pending = nil
			return time.Now().UnixNano()
		}
		time.Sleep(sampleEvery / 2)
	}
}

// checkReadiness holds what readyz said to what it must not have said.
func (w *world) checkReadiness() {
	rest := w.notReady[:0]
	for _, e := range w.notReady {
		until := e.until
		if until == 0 {
			until = time.Now().UnixNano()
			rest = append(rest, e)
		}
		if s, found := w.ready.find(e.from, until, true); found {
			w.fault("readyz said ok at %s, from %s to %s it must not: %s", w.checker.clock(s.until), w.checker.clock(e.from), w.checker.clock(until), e.why)
		}
	}
	w.notReady = rest
}

// stalls are when this machine let nobody run, or not us, or when its kernel held up all
// who change anything: what changes rules and interfaces waits until every processor has
// left what it read of them, and a task of a low priority that was pushed aside while it
// read is waited for, too.
type stalls struct {
	mu    sync.Mutex
	spans []*span
}

const (
	stallTick = 20 * time.Millisecond
	stallFrom = 300 * time.Millisecond
)

func (s *stalls) run(ctx context.Context) {
	go s.measure(ctx, func() {
		// With MEMBARRIER_CMD_GLOBAL, membarrier(2) waits as they do. A kernel that has no such
		// command answers at once.
		_, _, _ = unix.Syscall(unix.SYS_MEMBARRIER, 1, 0, 0)
		time.Sleep(stallTick)
	})
	s.measure(ctx, func() { time.Sleep(stallTick) })
}

// measure notes when something took too long, until the context ends.
func (s *stalls) measure(ctx context.Context, do func()) {
	last := time.Now()
	for ctx.Err() == nil {
		do()
		now := time.Now()
		if now.Sub(last) > stallFrom {
			s.mu.Lock()
			s.spans = append(s.spans, &span{last.UnixNano(), now.UnixNano()})
			s.mu.Unlock()
		}
		last = now
	}
}

// take hands over what was found since the last time.
func (s *stalls) take() []*span {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.spans
	s.spans = nil
	return out
}
