package flows

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/sluice-net/sluice/enforcer/denials"
)

const (
	// mostFollowers bounds who may follow at once, mostBehind how far each may be behind.
	mostFollowers = 16
	mostBehind    = 4096
)

// Subscription is one who follows.
type Subscription struct {
	of     *Recorder
	filter *denials.Filter
	ch     chan *Flow

	mu     sync.Mutex
	missed uint64
}

// Follow subscribes to flows between the ends that a filter passes; its reasons do not
// count. Those that are there already come, too. Close it: the node reads connections
// until then.
func (r *Recorder) Follow(filter *denials.Filter) (*Subscription, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.followers) >= mostFollowers {
		return nil, fmt.Errorf("follow flows: %d others follow already: end some of them", len(r.followers))
	}
	s := &Subscription{of: r, filter: filter, ch: make(chan *Flow, mostBehind)}
	r.followers[s] = struct{}{}
	r.change()
	return s, nil
}

// Close ends it.
func (s *Subscription) Close() {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	delete(s.of.followers, s)
	s.of.change()
}

// tell hands a flow to who follows. It waits for nobody.
func (r *Recorder) tell(f *Flow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ends := &denials.Denial{Time: f.Time, Src: f.Src, Dst: f.Dst}
	for s := range r.followers {
		if !s.filter.Passes(ends) {
			continue
		}
		select {
		case s.ch <- f:
		default:
			s.mu.Lock()
			s.missed++
			s.mu.Unlock()
		}
	}
}

func (s *Subscription) took() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.missed
	s.missed = 0
	return n
}

// WriteLines writes flows as JSON, one a line, until the context ends or the writer fails.
// A writer that is too slow misses some, and is told how many.
func (s *Subscription) WriteLines(ctx context.Context, w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	write := func(v any) error {
		if err := e.Encode(v); err != nil {
			return fmt.Errorf("write flows: %w", err)
		}
		return nil
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case f := <-s.ch:
			if err := write(f); err != nil {
				return err
			}
		}
		if n := s.took(); n > 0 {
			if err := write(Missed{denials.APIVersion, MissedKind, n}); err != nil {
				return err
			}
		}
	}
}
