package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"
)

// ProbeOptions are how patient a probe is. The zero value is good.
type ProbeOptions struct {
	// Quiet is how long nothing may happen on any flow before those without
	// an answer count as silent; 350 ms if 0.
	Quiet time.Duration
	// Once believes silence the first time. By default silent flows are tried
	// a second time, so that a busy machine denies nothing.
	Once bool
	// Parallel is how many flows are under way at a time; if 0, 4096 or as
	// many as the limit of open files allows.
	Parallel int
}

// Probe tries all flows at once and says which reached their destination and
// were answered. It fails if a flow could not be tried.
func (l *Lab) Probe(ctx context.Context, flows []Flow) ([]bool, error) {
	results, err := l.ProbeResults(ctx, flows, ProbeOptions{})
	if err != nil {
		return nil, err
	}
	reached := make([]bool, len(flows))
	var errs []error
	for i, r := range results {
		reached[i] = r.Outcome == Reached
		if r.Outcome == Unsendable {
			errs = append(errs, fmt.Errorf("probe %s: %w", flows[i], r.Err))
		}
	}
	return reached, errors.Join(errs...)
}

// ProbeResults tries flows and tells what became of each. Silent flows share
// their wait, so they cost little more than others.
func (l *Lab) ProbeResults(ctx context.Context, flows []Flow, o ProbeOptions) ([]Result, error) {
	if o.Quiet <= 0 {
		o.Quiet = 350 * time.Millisecond
	}
	if o.Parallel <= 0 {
		o.Parallel = parallelFlows(&l.spec)
	}
	results := make([]Result, len(flows))
	var open []int
	for i, f := range flows {
		if err := l.prepare(f); err != nil {
			results[i] = Result{Outcome: Unsendable, Err: err}
		} else {
			open = append(open, i)
		}
	}
	if err := l.ready(ctx); err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	for round := 0; round < 2 && len(open) > 0; round++ {
		silent, err := l.probeRound(ctx, flows, open, results, o)
		if err != nil {
			return nil, fmt.Errorf("probe: %w", err)
		}
		if open = silent; o.Once {
			break
		}
	}
	return results, nil
}

// probeRound tries the flows at the given indexes, a window at a time, and
// returns those that stayed silent.
func (l *Lab) probeRound(ctx context.Context, flows []Flow, open []int, results []Result, o ProbeOptions) ([]int, error) {
	var silent []int
	for len(open) > 0 {
		batch := open[:min(o.Parallel, len(open))]
		open = open[len(batch):]
		w := newWindow(len(batch))
		for i, at := range batch {
			w.attempts[i].flow = flows[at]
		}
		if err := l.probeWindow(ctx, w, o.Quiet); err != nil {
			return nil, err
		}
		for i, at := range batch {
			results[at] = w.attempts[i].result
			if results[at].Outcome == Silent {
				silent = append(silent, at)
			}
		}
	}
	return silent, nil
}

// window is a number of flows under way together.
type window struct {
	attempts []attempt
	left     atomic.Int32
	done     chan struct{}
}

// attempt is one flow under way. Once its socket is watched it belongs to the
// poller's goroutine.
type attempt struct {
	flow   Flow
	number uint64
	// fd is the client's socket, hub what it uses instead; neither before and
	// after the flow is under way.
	fd     int
	hub    *hub
	sent   bool
	ended  bool
	result Result
	window *window
}

func newWindow(n int) *window {
	w := &window{attempts: make([]attempt, n), done: make(chan struct{})}
	w.left.Store(int32(n))
	for i := range w.attempts {
		w.attempts[i].window, w.attempts[i].fd = w, -1
	}
	return w
}

// finish settles the outcome, once.
func (a *attempt) finish(r Result) {
	if a.ended {
		return
	}
	a.ended, a.result = true, r
	if a.window.left.Add(-1) == 0 {
		close(a.window.done)
	}
}

func (l *Lab) probeWindow(ctx context.Context, w *window, quiet time.Duration) error {
	served := l.serveWindow(w)
	defer func() {
		for _, e := range served {
			l.unserve(e)
		}
	}()
	l.servers.poll.moved()
	l.launch(w)
	werr := l.await(ctx, w, quiet)
	err := l.servers.poll.do(func() {
		for i := range w.attempts {
			l.abandon(&w.attempts[i])
		}
	})
	return errors.Join(werr, err)
}

// serveWindow makes somebody answer at each flow's destination.
func (l *Lab) serveWindow(w *window) []endpoint {
	seen := map[endpoint]bool{}
	var served []endpoint
	for i := range w.attempts {
		a := &w.attempts[i]
		e := endpoint{netip.AddrPortFrom(a.flow.Dst, a.flow.Port), a.flow.Protocol}
		if seen[e] || l.service(a.flow) || a.flow.isPing() {
			continue
		}
		if err := l.serve(e); err != nil {
			a.finish(Result{Outcome: Unsendable, Err: err})
			continue
		}
		seen[e] = true
		served = append(served, e)
	}
	return served
}

// launch starts all flows, one namespace after the other.
func (l *Lab) launch(w *window) {
	groups := map[*Namespace][]*attempt{}
	for i := range w.attempts {
		a := &w.attempts[i]
		if a.ended {
			continue
		}
		ns := l.Host(a.flow.Src)
		groups[ns] = append(groups[ns], a)
	}
	for ns, group := range groups {
		err := ns.Do(func() error {
			for _, a := range group {
				a.number = l.ports.number()
				if err := l.start(ns, a); err != nil {
					a.finish(failed(err))
				}
			}
			return nil
		})
		if err == nil {
			continue
		}
		for _, a := range group {
			a.finish(Result{Outcome: Unsendable, Err: err})
		}
	}
}

func (l *Lab) start(ns *Namespace, a *attempt) error {
	switch {
	case a.flow.Protocol == TCP:
		return l.startTCP(a)
	case a.flow.Protocol == UDP:
		return l.startUDP(a)
	case a.flow.isPing():
		return l.startPing(a)
	}
	return l.startRaw(ns, a)
}

// looks is how often await has to find that nothing moved.
const looks = 20

// await returns when all flows are settled or nothing has moved for a while. A machine
// that stands still as a whole, as an emulated one does whose host is busy, is not silent:
// somebody has to have looked again and again meanwhile.
func (l *Lab) await(ctx context.Context, w *window, quiet time.Duration) error {
	tick := time.NewTicker(quiet / looks)
	defer tick.Stop()
	last, still := time.Now(), 0
	for {
		select {
		case <-w.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-l.servers.poll.done:
			return errStopped
		case <-tick.C:
			silence := l.servers.poll.quietFor()
			if still++; silence < time.Since(last) {
				still = 0
			}
			last = time.Now()
			if still >= looks && silence > quiet {
				return nil
			}
		}
	}
}

// abandon gives back what an attempt holds. What is not settled by now stays
// silent, unless there was an ICMP error that TCP keeps to itself as long as it
// still tries.
func (l *Lab) abandon(a *attempt) {
	if a.fd >= 0 && !a.ended {
		if err := socketError(a.fd); err != nil {
			a.result = Result{Outcome: Refused, Err: err}
		}
	}
	a.ended = true
	if a.fd >= 0 {
		l.servers.poll.close(a.fd)
		a.fd = -1
	}
	if a.hub != nil {
		a.hub.forget(a.number)
	}
}
