package chaos

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// kind is what a datagram was sent for.
type kind uint8

const (
	// long: on a flow whose addresses and ports stay the same.
	long kind = iota
	// fresh: on a flow of its own.
	fresh
	// forged: in the name of another end.
	forged
	// hijacking: so, and on one of the other's long flows.
	hijacking
)

func (k kind) String() string { return [...]string{"long", "fresh", "forged", "hijacking"}[k] }

// datagram is one that was sent. Of forged ones the class is whose they pretend
// to be.
type datagram struct {
	class int
	// by is the end that sent a forged one.
	by   int
	kind kind
	seq  uint32
	sent int64
}

// arrival is a datagram that came in, or its echo.
type arrival struct {
	datagram
	echo bool
	at   int64
}

// answerWithin is how long after a datagram its echo may still be on its way,
// and with it in the hands of the rules.
var answerWithin = int64(300 * time.Millisecond)

// mendsWithin is how long a path may stay interrupted after what was done to it.
var mendsWithin = int64(1500 * time.Millisecond)

// counts are what a checker has seen.
type counts struct {
	arrivals, sent, violations int
	byKind                     [4]int
	// forbidden are arrivals that were denied in every state, cut are losses
	// that were allowed in every state, forged are those of others' names.
	forbidden, cut, forged int
	// gaps are hijacking packets that README.md says are not stopped.
	gaps int
	// judged are arrivals and losses of which the history says what had to
	// become of them.
	judged int
	// latest is the longest that a packet passed after the last state that
	// allowed it, while nothing hindered the agent.
	latest time.Duration
	// youngest is the longest that a new interface was open.
	youngest time.Duration
}

// checker judges what was seen by what was done.
type checker struct {
	history *history
	// began is when the first state came.
	began int64
	counts
	// routed: the node routes between its Pods, rather than bridge.
	routed bool
	// report has the first violations.
	report []string
}

const mostReported = 25

func (c *checker) violation(at int64, d datagram, format string, args ...any) {
	c.violations++
	c.byKind[d.kind]++
	if len(c.report) < mostReported {
		c.report = append(c.report, fmt.Sprintf("%s: %s %s (number %d): %s", c.clock(at), d.kind, c.history.model.name(d.class), d.seq, fmt.Sprintf(format, args...)))
	}
}

// clock is a moment as seconds since the beginning.
func (c *checker) clock(at int64) string {
	return fmt.Sprintf("%.3f", time.Duration(at-c.began).Seconds())
}

// arrived judges a datagram that came in: it must have been allowed in some
// state that may have been in force on its way.
func (c *checker) arrived(a arrival) {
	h := c.history
	c.arrivals++
	from, until := h.window(a.sent, a.at)
	if anyOf(h.open, from, until) {
		return
	}
	src, dst, _, _ := h.model.of(a.class)
	if a.kind >= forged {
		if anyOf(h.fresh[a.by], from, until) {
			return
		}
		c.judged++
		if c.gap(a, from, until) {
			c.gaps++
			return
		}
		c.counts.forged++
		c.violation(a.at, a.datagram, "sent in another's name by %s and arrived", h.model.ends[a.by].name)
		return
	}
	if anyOf(h.fresh[src], from, until) || anyOf(h.fresh[dst], from, until) {
		c.young(a)
		return
	}
	v, sure := h.everywhere(a.class, from, until)
	if !sure {
		c.late(a, from, until)
		return
	}
	if v == forbidden && h.mayBeInverted(a.datagram, a.at, allowed) {
		return
	}
	c.judged++
	if v == forbidden {
		c.counts.forbidden++
		c.violation(a.at, a.datagram, "arrived%s, and was forbidden in each of the states since %s:%s",
			map[bool]string{true: " (its echo)"}[a.echo], c.clock(from), c.describe(from, until))
	}
}

// gap: a packet with the very addresses and ports of a live allowed connection is
// not asked for its source, and what keeps Pods from sending such is the guard on
// their interface. Routed veths have none while tc redirects what they send past
// it, or while no Pod's object is there. Nothing else may pass.
func (c *checker) gap(a arrival, from, until int64) bool {
	h := c.history
	return c.routed && a.kind == hijacking && (anyOf(h.redirected[a.by], from, until) || h.nobodys(a.by, from, until))
}

// young measures how long an interface that is new was open.
func (c *checker) young(a arrival) {
	h := c.history
	for _, s := range h.hindered {
		if s.touches(a.sent-int64(bound), a.at) {
			return
		}
	}
	if v, sure := h.everywhere(a.class, a.sent, a.at); !sure || v != forbidden {
		return
	}
	src, dst, _, _ := h.model.of(a.class)
	made := int64(0)
	for _, s := range slices.Concat(h.fresh[src], h.fresh[dst]) {
		if s.from <= a.at {
			made = max(made, s.from)
		}
	}
	c.youngest = max(c.youngest, time.Duration(a.at-made))
}

// late measures how long after the last state that allowed it a packet passed.
func (c *checker) late(a arrival, from, until int64) {
	h := c.history
	for _, s := range h.hindered {
		if s.touches(from, until) {
			return
		}
	}
	var last int64
	for _, s := range h.during(from, until) {
		if h.verdict(s, a.class) == forbidden {
			continue
		}
		if s.until == 0 || s.until > a.sent {
			return
		}
		last = max(last, s.until)
	}
	if last != 0 {
		c.latest = max(c.latest, time.Duration(a.sent-last))
	}
}

// lost judges a datagram of a long flow that was not answered: it must have been
// forbidden in some state that may have been in force, or its path interrupted.
func (c *checker) lost(d datagram) {
	h := c.history
	from, until := h.window(d.sent, d.sent+answerWithin)
	if anyOf(h.open, from, until) {
		return
	}
	src, dst, _, _ := h.model.of(d.class)
	for _, e := range []int{src, dst} {
		if anyOf(h.broken[e], d.sent-mendsWithin, d.sent+answerWithin) {
			return
		}
	}
	v, sure := h.everywhere(d.class, from, until)
	if !sure || v == allowed && h.mayBeInverted(d, until, forbidden) {
		return
	}
	c.judged++
	if v == allowed {
		c.cut++
		c.violation(d.sent, d, "was not answered, and was allowed in each of the states since %s:%s", c.clock(from), c.describe(from, until))
	}
}

func (c *checker) describe(from, until int64) string {
	var out strings.Builder
	for _, s := range c.history.during(from, until) {
		end := "now"
		if s.until != 0 {
			end = c.clock(s.until)
		}
		fmt.Fprintf(&out, " [%s to %s]", c.clock(s.from), end)
	}
	return out.String()
}

// round judges all that was seen, but for datagrams whose answers may be under
// way still: those are returned.
func (c *checker) round(seen *seen, now int64) []datagram {
	answered := map[uint64]bool{}
	key := func(d datagram) uint64 { return uint64(d.class)<<32 | uint64(d.seq) }
	for _, a := range seen.arrivals {
		if a.kind == long && a.echo {
			answered[key(a.datagram)] = true
		}
		c.arrived(a)
	}
	for _, d := range seen.unsent {
		if d.kind == long {
			answered[key(d)] = true
		}
	}
	var rest []datagram
	for _, d := range seen.sent {
		switch {
		case answered[key(d)]:
			c.sent++
		case d.sent > now-5*answerWithin:
			rest = append(rest, d)
		default:
			c.sent++
			c.lost(d)
		}
	}
	return rest
}
