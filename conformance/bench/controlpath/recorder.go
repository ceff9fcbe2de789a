package controlpath

import (
	"context"
	"sync"
	"time"

	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer"
)

// recorder stands between the agent and nftables and notes when each
// transaction begins and ends.
type recorder struct {
	next enforcer.Transactor

	mu sync.Mutex
	// begun has room for one: the first transaction since the last reset.
	begun chan struct{}
	log   []transaction
}

type transaction struct {
	begin, end time.Time
	ops        int
	// cleanup removes what is in nobody's way any more: what was asked for
	// holds already.
	cleanup bool
}

func newRecorder(next enforcer.Transactor) *recorder {
	return &recorder{next: next, begun: make(chan struct{}, 1)}
}

func (r *recorder) Transact(ctx context.Context, family knftables.Family, ops []compiler.Op) error {
	t := transaction{begin: time.Now(), ops: len(ops), cleanup: cleansUp(ops)}
	err := r.next.Transact(ctx, family, ops)
	t.end = time.Now()
	r.mu.Lock()
	r.log = append(r.log, t)
	r.mu.Unlock()
	select {
	case r.begun <- struct{}{}:
	default:
	}
	return err
}

// cleansUp reports whether the operations only remove whole objects.
func cleansUp(ops []compiler.Op) bool {
	for _, op := range ops {
		if _, element := op.Object.(*compiler.SetElement); element || op.Verb == compiler.Add {
			return false
		}
	}
	return true
}

func (r *recorder) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = nil
	select {
	case <-r.begun:
	default:
	}
}

// outcome is what the transactions since an event say of it.
type outcome struct {
	// commit is when what the event asks for held in the kernel, own how much
	// of that time was not spent in transactions.
	commit, own time.Duration
	// transactions until then, ops and longest with those of the cleanup.
	transactions, ops int
	longest           time.Duration
}

// since reads the log for an event that was delivered at a time.
func (r *recorder) since(delivered time.Time) outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out outcome
	var busy, held time.Duration
	for _, t := range r.log {
		took := t.end.Sub(t.begin)
		busy += took
		out.longest = max(out.longest, took)
		if !t.cleanup {
			out.transactions++
			out.commit, held = t.end.Sub(delivered), busy
		}
		out.ops += t.ops
	}
	out.own = out.commit - held
	return out
}
