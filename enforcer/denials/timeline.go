package denials

import (
	"time"

	"github.com/sluice-net/sluice/policy"
)

// slack is how far the time in a log may be from when the packet was judged: it is that
// of the packet's arrival where it came from a wire, and a softirq may hold it up; and two
// processors' clocks differ.
const slack = 20 * time.Millisecond

// keep is how long after a generation came into force packets are asked about that were
// judged before: as long as a log may wait to be read, and then for the loop.
const keep = 3 * time.Second

// mostSpans bounds the generations that a kernel which takes none leaves behind.
const mostSpans = 4096

// span is when a generation came into force: some time between two.
type span struct {
	generation policy.Generation
	// began is when its commit was handed to the kernel, ended when the kernel was done.
	// Both are zero before.
	began, ended time.Time
}

// timeline knows which generations of the index the kernel knew of at a time. A
// generation can overtake another. It belongs to the sync loop.
type timeline struct {
	// spans are in the order of the generations, without those that were in force long
	// ago.
	spans []span
	// forgotten is the last generation that nobody needs to ask about.
	forgotten policy.Generation
	// cut: there were too many that are not in force, and some count as if they were.
	cut bool
}

// told says that the index was told of a generation.
func (t *timeline) told(g policy.Generation) {
	if g == 0 || len(t.spans) > 0 && t.spans[len(t.spans)-1].generation >= g {
		return
	}
	if len(t.spans) >= mostSpans {
		t.cut = true
		t.spans = append(t.spans[:0], t.spans[mostSpans/2:]...)
	}
	t.spans = append(t.spans, span{generation: g})
}

// committing says that the kernel is about to be told of generations.
func (t *timeline) committing(now time.Time, of func(policy.Generation) bool) {
	for i := range t.spans {
		if s := &t.spans[i]; s.began.IsZero() && of(s.generation) {
			s.began = now
		}
	}
}

// committed says that it knows of them.
func (t *timeline) committed(now time.Time, of func(policy.Generation) bool) {
	for i := range t.spans {
		s := &t.spans[i]
		if !of(s.generation) || !s.ended.IsZero() {
			continue
		}
		if s.began.IsZero() {
			s.began = now
		}
		s.ended = now
	}
}

// tidy forgets what was in force long ago, and returns up to which generation.
func (t *timeline) tidy(now time.Time) policy.Generation {
	n := 0
	for n < len(t.spans) && !t.spans[n].ended.IsZero() && now.Sub(t.spans[n].ended) > keep {
		t.forgotten = t.spans[n].generation
		n++
	}
	t.spans = append(t.spans[:0], t.spans[n:]...)
	t.cut = t.cut && len(t.spans) > 0
	return t.forgotten
}

// inForce is the latest generation in force.
func (t *timeline) inForce() policy.Generation {
	g := t.forgotten
	for _, s := range t.spans {
		if !s.ended.IsZero() {
			g = s.generation
		}
	}
	return g
}

// state is one that the kernel may have judged a packet by.
type state struct {
	// without says which generations were not in force.
	without func(policy.Generation) bool
	// latest is the last that was.
	latest policy.Generation
}

// at are the states that may have held at a time, the likeliest first, each once. While
// a commit is under way both may; and a packet may have been judged a moment before or
// after its log says.
func (t *timeline) at(when time.Time) []state {
	var out []state
	var known [][]bool
	add := func(inForce func(s *span) bool) {
		mask := make([]bool, len(t.spans))
		latest := t.forgotten
		for i := range t.spans {
			if mask[i] = inForce(&t.spans[i]); mask[i] {
				latest = t.spans[i].generation
			}
		}
		for _, k := range known {
			if sameMask(k, mask) {
				return
			}
		}
		known = append(known, mask)
		out = append(out, state{t.without(mask), latest})
	}
	for _, d := range []time.Duration{0, slack} {
		add(func(s *span) bool { return !s.ended.IsZero() && !s.ended.After(when.Add(-d)) })
		add(func(s *span) bool { return !s.began.IsZero() && !s.began.After(when.Add(d)) })
	}
	return out
}

func sameMask(a, b []bool) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func (t *timeline) without(mask []bool) func(policy.Generation) bool {
	missing := map[policy.Generation]bool{}
	for i, in := range mask {
		if !in {
			missing[t.spans[i].generation] = true
		}
	}
	return func(g policy.Generation) bool { return missing[g] }
}
