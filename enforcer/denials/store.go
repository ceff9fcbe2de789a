package denials

import (
	"fmt"
	"sync"
)

const (
	// DefaultKeep and DefaultKeepBytes are how many denials an agent keeps: a minute and
	// a half at the highest rate, or days on a quiet node.
	DefaultKeep      = 16_384
	DefaultKeepBytes = 8 << 20
	// mostSubscribers bounds who may follow at once, mostBehind how far each may be
	// behind.
	mostSubscribers = 64
	mostBehind      = 512
)

// Store keeps the last denials, and hands new ones to who follows. Its methods may be
// called from any goroutine.
type Store struct {
	most, mostBytes int

	mu sync.Mutex
	// ring has the denials from first on; they never change.
	ring  []*Denial
	first int
	count int
	bytes int
	// all counts those that ever were.
	all         uint64
	subscribers map[*Subscription]struct{}
}

// NewStore returns a store of up to so many denials and, about, bytes; 0 stands for the
// default.
func NewStore(most, mostBytes int) *Store {
	if most <= 0 {
		most = DefaultKeep
	}
	if mostBytes <= 0 {
		mostBytes = DefaultKeepBytes
	}
	return &Store{most: most, mostBytes: mostBytes, subscribers: map[*Subscription]struct{}{}}
}

// Add keeps a denial and hands it on. It waits for nobody.
func (s *Store) Add(d *Denial) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all++
	s.bytes += d.size()
	if s.count == len(s.ring) && s.count < s.most {
		s.grow()
	}
	if s.count == len(s.ring) {
		s.drop()
	}
	s.ring[(s.first+s.count)%len(s.ring)] = d
	s.count++
	for s.bytes > s.mostBytes && s.count > 1 {
		s.drop()
	}
	for sub := range s.subscribers {
		sub.offer(d)
	}
}

// grow doubles the ring: most nodes never fill it.
func (s *Store) grow() {
	larger := make([]*Denial, min(max(2*len(s.ring), 64), s.most))
	for i := range s.count {
		larger[i] = s.ring[(s.first+i)%len(s.ring)]
	}
	s.ring, s.first = larger, 0
}

func (s *Store) drop() {
	s.bytes -= s.ring[s.first].size()
	s.ring[s.first] = nil
	s.first = (s.first + 1) % len(s.ring)
	s.count--
}

// Find returns the denials that a filter passes, the oldest first: the latest of them if
// there are more than most, which is no limit if it is 0.
func (s *Store) Find(f *Filter, most int) []*Denial {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(f, most)
}

func (s *Store) find(f *Filter, most int) []*Denial {
	var out []*Denial
	for i := s.count - 1; i >= 0 && (most <= 0 || len(out) < most); i-- {
		if d := s.ring[(s.first+i)%len(s.ring)]; f.Passes(d) {
			out = append(out, d)
		}
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}

// Held are how many denials are kept, and about how many bytes they take; all counts
// those that ever were.
func (s *Store) Held() (count, bytes int, all uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count, s.bytes, s.all
}

// Subscription is one who follows.
type Subscription struct {
	store  *Store
	filter *Filter
	ch     chan *Denial

	mu     sync.Mutex
	missed uint64
}

// Follow subscribes to what a filter passes. What was kept before comes with it, up to
// so many, such that nothing is missing between the two and nothing is twice. Close it.
func (s *Store) Follow(f *Filter, before int) (*Subscription, []*Denial, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.subscribers) >= mostSubscribers {
		return nil, nil, fmt.Errorf("follow denials: %d others follow already: end some of them", len(s.subscribers))
	}
	sub := &Subscription{store: s, filter: f, ch: make(chan *Denial, mostBehind)}
	s.subscribers[sub] = struct{}{}
	var earlier []*Denial
	if before > 0 {
		earlier = s.find(f, before)
	}
	return sub, earlier, nil
}

// offer hands a denial over, or counts it as missed. The store is locked.
func (s *Subscription) offer(d *Denial) {
	if !s.filter.Passes(d) {
		return
	}
	select {
	case s.ch <- d:
	default:
		s.mu.Lock()
		s.missed++
		s.mu.Unlock()
	}
}

// C is where the denials come. It is never closed.
func (s *Subscription) C() <-chan *Denial { return s.ch }

// Missed is how many did not come since it was last asked, for they were not read in
// time.
func (s *Subscription) Missed() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.missed
	s.missed = 0
	return n
}

// Close ends it. What was not read is gone.
func (s *Subscription) Close() {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	delete(s.store.subscribers, s)
}
