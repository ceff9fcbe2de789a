package packetpath

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// traffic goes on while two rulesets take turns.
type traffic struct {
	// count is how much has come through so far.
	count func() (int, error)
	// metrics are those of a window, asked for when the traffic has ended.
	metrics func(reading) map[Metric]float64
	// unblock wakes generators that wait for something, free is for when they are
	// done.
	unblock, free func()
	// ended tells the generators to end.
	ended atomic.Bool
	wait  sync.WaitGroup
	mu    sync.Mutex
	errs  []error
}

// generate has f run with a thread of its own on one processor.
func (t *traffic) generate(cpu int, f func() error) {
	t.wait.Go(func() {
		if err := onThread(cpu, f); err != nil {
			t.mu.Lock()
			t.errs = append(t.errs, err)
			t.mu.Unlock()
		}
	})
}

// stop ends the traffic and tells what went wrong.
func (t *traffic) stop() error {
	t.ended.Store(true)
	t.unblock()
	t.wait.Wait()
	t.free()
	return errors.Join(t.errs...)
}

// reading is what came through in a window of time.
type reading struct {
	from, to time.Time
	amount   int
	cpu      time.Duration
}

func (r reading) perSecond() float64 { return float64(r.amount) / r.to.Sub(r.from).Seconds() }

// cpuEach is the processor time that one took, in microseconds.
func (r reading) cpuEach() float64 { return micros(r.cpu) / float64(r.amount) }

// read watches the traffic for so long. A stream that lost what was under way when
// rulesets changed over waits for its retransmission, 200 ms at least: such a hole
// is not what a ruleset costs, so an empty window is not counted.
func (t *traffic) read(d time.Duration) (reading, error) {
	for patient := time.Now().Add(patience); time.Now().Before(patient); {
		before := usage()
		r := reading{from: time.Now()}
		first, err := t.count()
		if err != nil {
			return r, err
		}
		time.Sleep(d)
		last, err := t.count()
		r.to = time.Now()
		if r.amount, r.cpu = last-first, usage()-before; err != nil || r.amount > 0 {
			return r, err
		}
	}
	return reading{}, fmt.Errorf("nothing came through in %v", patience)
}

// usage is the processor time of this process. What the kernel does for a packet
// happens in the name of the thread that sent it: veths have no interrupts.
func usage() time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// watch reads the traffic so many times under each of the two rulesets, there and
// back. Readings of the same index were taken one after the other.
func (t *turns) watch(ctx context.Context, start func() (*traffic, error), times int, window time.Duration) (own, base []map[Metric]float64, err error) {
	flow, err := start()
	if err != nil {
		return nil, nil, err
	}
	var readings [2][]reading
	for n := 0; err == nil && n < 2*times; n++ {
		// Own, base, base, own: what drifts falls on both alike.
		whose := (n + n/2) % 2
		if whose == 0 {
			err = t.cellsTurn(ctx)
		} else {
			err = t.baseTurn(ctx)
		}
		if err != nil {
			break
		}
		time.Sleep(settle)
		var r reading
		r, err = flow.read(window)
		readings[whose] = append(readings[whose], r)
	}
	if err = errors.Join(err, flow.stop()); err != nil {
		return nil, nil, fmt.Errorf("watch: %w", err)
	}
	for _, r := range readings[0] {
		own = append(own, flow.metrics(r))
	}
	for _, r := range readings[1] {
		base = append(base, flow.metrics(r))
	}
	return own, base, nil
}
