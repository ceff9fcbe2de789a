package source

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// openWatch opens a watch that tells the ear what becomes of it. One that gets
// no answer is dropped after a while, so that it is asked for anew.
func (r *resource) openWatch(ctx context.Context, o metav1.ListOptions, e *ear, p patience) (watch.Interface, error) {
	ctx, cancel := context.WithCancel(withEar(ctx, e))
	e.asks()
	late := time.AfterFunc(p.giveUp, cancel)
	inner, err := r.watch(ctx, o)
	inTime := late.Stop()
	switch {
	case err == nil:
	case !inTime:
		err = fmt.Errorf("no answer to a watch for %v", p.giveUp)
		e.fails(err)
	case ctx.Err() == nil:
		e.fails(err)
	}
	e.answered()
	if err != nil {
		cancel()
		return nil, err
	}
	w := &heardWatch{inner: inner, ear: e, patience: p, out: make(chan watch.Event), stopped: make(chan struct{}), cancel: cancel}
	go w.run()
	return w, nil
}

// heardWatch passes the events of a watch on. It ends a watch that is quiet: the
// reflector opens another one where this one ended.
type heardWatch struct {
	inner    watch.Interface
	ear      *ear
	patience patience
	out      chan watch.Event
	stop     sync.Once
	stopped  chan struct{}
	cancel   context.CancelFunc
}

// ResultChan is of [watch.Interface].
func (w *heardWatch) ResultChan() <-chan watch.Event { return w.out }

// Stop is of [watch.Interface].
func (w *heardWatch) Stop() { w.stop.Do(func() { close(w.stopped) }) }

func (w *heardWatch) run() {
	defer close(w.out)
	defer w.cancel()
	defer w.inner.Stop()
	proof := time.NewTimer(w.patience.proof)
	defer proof.Stop()
	quiet := time.NewTimer(w.limit())
	defer quiet.Stop()
	proved := false
	for {
		select {
		case <-w.stopped:
			return
		case <-proof.C:
			proved = true
			w.ear.hears()
		case <-quiet.C:
			return
		case e, ok := <-w.inner.ResultChan():
			if !ok {
				if !proved {
					w.ear.failsUnexplained(errors.New("the watch ended as soon as it was opened"))
				}
				return
			}
			if e.Type == watch.Error {
				w.ear.fails(apierrors.FromObject(e.Object))
				w.pass(e)
				return
			}
			proved = true
			w.ear.hears()
			quiet.Reset(w.limit())
			if !w.pass(e) {
				return
			}
		}
	}
}

func (w *heardWatch) pass(e watch.Event) bool {
	select {
	case w.out <- e:
		return true
	case <-w.stopped:
		return false
	}
}

// limit spreads what the agents of all nodes do after an event that all of them
// heard at the same moment.
func (w *heardWatch) limit() time.Duration {
	return time.Duration((0.75 + rand.Float64()/2) * float64(w.patience.quiet))
}
