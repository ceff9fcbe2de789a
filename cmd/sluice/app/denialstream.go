package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/sluice-net/sluice/cmd/sluice/app/agents"
	"github.com/sluice-net/sluice/enforcer/denials"
	"github.com/sluice-net/sluice/enforcer/nodestatus"
)

// denialStream reads the denials of many agents.
type denialStream struct {
	fleet *agents.Fleet
	query denials.Query
}

func newDenialStream(fleet *agents.Fleet, query denials.Query) *denialStream {
	return &denialStream{fleet, query}
}

// told is what one agent told: a denial, how many are missing, or that it cannot be read.
type told struct {
	denial  *denials.Denial
	missed  uint64
	trouble *agents.Failure
}

// observeWithin bounds the wait for what one agent remembers.
const observeWithin = time.Minute

// read visits all that the agents remember, and returns those that did not tell all.
func (s *denialStream) read(ctx context.Context, visit func(*denials.Denial, uint64)) []agents.Failure {
	var mu sync.Mutex
	return s.fleet.Each(ctx, func(ctx context.Context, a agents.Agent) error {
		ctx, cancel := context.WithTimeout(ctx, observeWithin)
		defer cancel()
		return s.one(ctx, a, s.query, func(d *denials.Denial, missed uint64) error {
			mu.Lock()
			defer mu.Unlock()
			visit(d, missed)
			return nil
		})
	})
}

// one reads what one agent tells until it ends.
func (s *denialStream) one(ctx context.Context, a agents.Agent, q denials.Query, visit func(*denials.Denial, uint64) error) error {
	body, err := s.fleet.Open(ctx, a, nodestatus.DenialsPath, q.Values())
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 4096), mostDenialLine)
	for lines.Scan() {
		d, missed, err := denials.ParseLine(lines.Bytes())
		if err != nil {
			return err
		}
		if d != nil && a.Node != "" {
			d.Node = a.Node
		}
		if err := visit(d, missed); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read denials: %w", err)
	}
	return nil
}

// mostDenialLine bounds a line.
const mostDenialLine = 128 << 10

const (
	// reopenMin and reopenMax are how long it takes until an agent is asked anew that
	// broke off: longer each time in a row.
	reopenMin = 500 * time.Millisecond
	reopenMax = 15 * time.Second
	// overlap is how far back is looked after that, for clocks differ.
	overlap = 5 * time.Second
)

// followAll has what all agents tell arrive, until the context ends. What keeps one from
// being read is told once, and it is tried again. It returns the nodes that could not be
// followed at the end.
func (s *denialStream) followAll(ctx context.Context, arrived chan<- told, trouble func(agents.Failure)) []agents.Failure {
	s.fleet.AtOnce = max(1, len(s.fleet.Agents)) // each for as long as it takes
	return s.fleet.Each(ctx, func(ctx context.Context, a agents.Agent) error {
		return s.followOne(ctx, a, arrived, trouble)
	})
}

func (s *denialStream) followOne(ctx context.Context, a agents.Agent, arrived chan<- told, trouble func(agents.Failure)) error {
	q, wait, troubled := s.query, reopenMin, false
	var latest time.Time
	var last error
	known := recentDenials{seen: map[string]bool{}}
	for {
		broke := time.Now()
		err := s.one(ctx, a, q, func(d *denials.Denial, missed uint64) error {
			wait, troubled, last = reopenMin, false, nil
			if d != nil {
				if !known.add(d) {
					return nil // it comes again after a break
				}
				if d.Time.After(latest) {
					latest = d.Time
				}
			}
			select {
			case arrived <- told{denial: d, missed: missed}:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		if ctx.Err() != nil {
			return followed(s.fleet, a, last)
		}
		if err != nil {
			last = err
			if !troubled {
				trouble(agents.Failure{Node: a.Node, Err: err})
				troubled = true
			}
		}
		if q.Tail = 0; !latest.IsZero() {
			broke = latest
		}
		pause(ctx, wait)
		q.Last = max(0, time.Since(broke)) + overlap // the node may be ahead
		wait = min(2*wait, reopenMax)
	}
}

// recentDenials are those that came last from one agent.
type recentDenials struct {
	seen map[string]bool
	ring []string
	at   int
}

// mostRecent is more than an agent tells of in the time of an overlap.
const mostRecent = 8192

// add notes a denial, and reports whether it is new.
func (r *recentDenials) add(d *denials.Denial) bool {
	id := fmt.Sprint(d.Time.UnixNano(), d.Src, d.Dst, d.Target(), d.Direction, d.Reason)
	if r.seen[id] {
		return false
	}
	r.seen[id] = true
	if len(r.ring) < mostRecent {
		r.ring = append(r.ring, id)
		return true
	}
	delete(r.seen, r.ring[r.at])
	r.ring[r.at] = id
	r.at = (r.at + 1) % mostRecent
	return true
}
