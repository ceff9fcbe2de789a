package denials

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// Query is a question for denials as a person asks it, and as it travels from the command
// to an agent.
type Query struct {
	// Namespace, Pod, From, To: see [ParseEnd]. Empty: all.
	Namespace, Pod, From, To string
	Reasons                  []string
	// Last is how far back to look, 0: to where the agent remembers.
	Last time.Duration
	// Tail is how many of the latest at most, 0: all of them.
	Tail int
	// Follow goes on with what comes.
	Follow bool
}

// mostTail bounds what one answer has.
const mostTail = 100_000

// Filter is what the query asks for, now.
func (q *Query) Filter(now time.Time) (*Filter, error) {
	f := &Filter{Namespace: q.Namespace}
	var errs []error
	for _, end := range []struct {
		flag, text string
		to         **EndPattern
	}{{"pod", q.Pod, &f.Pod}, {"from", q.From, &f.From}, {"to", q.To, &f.To}} {
		if end.text == "" {
			continue
		}
		p, err := ParseEnd(end.text, endNamespace(end.flag, q.Namespace))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", end.flag, err))
		}
		*end.to = p
	}
	for _, text := range q.Reasons {
		r, err := ParseReason(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("reason: %w", err))
			continue
		}
		f.Reasons = append(f.Reasons, r)
	}
	if q.Last < 0 {
		errs = append(errs, fmt.Errorf("last: %v is less than nothing: write how far to look back, such as 10m", q.Last))
	}
	if q.Tail < 0 || q.Tail > mostTail {
		errs = append(errs, fmt.Errorf("tail: %d is not in 0-%d", q.Tail, mostTail))
	}
	if q.Last > 0 {
		f.Since = now.Add(-q.Last)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return f, nil
}

// endNamespace is the namespace of a Pod that is named without one. The other end of a
// flow may be in any.
func endNamespace(flag, namespace string) string {
	if flag == "pod" {
		return namespace
	}
	return ""
}

// Values is the query in a URL.
func (q *Query) Values() url.Values {
	v := url.Values{}
	for key, text := range map[string]string{"namespace": q.Namespace, "pod": q.Pod, "from": q.From, "to": q.To} {
		if text != "" {
			v.Set(key, text)
		}
	}
	for _, r := range q.Reasons {
		v.Add("reason", r)
	}
	if q.Last != 0 {
		v.Set("last", q.Last.String())
	}
	if q.Tail != 0 {
		v.Set("tail", strconv.Itoa(q.Tail))
	}
	if q.Follow {
		v.Set("follow", "true")
	}
	return v
}

// queryKeys are those of [Query.Values], and whether they may stand more than once.
var queryKeys = map[string]bool{"namespace": false, "pod": false, "from": false, "to": false, "reason": true, "last": false, "tail": false, "follow": false}

// ParseQuery is the inverse of [Query.Values]. It refuses what it does not know, so that
// nobody gets all denials who meant some.
func ParseQuery(v url.Values) (Query, error) {
	for key, list := range v {
		many, known := queryKeys[key]
		switch {
		case !known:
			return Query{}, fmt.Errorf("read query: there is no %q", shorten(key))
		case len(list) > 1 && !many || len(list) > len(Reasons):
			return Query{}, fmt.Errorf("read query: %s is there %d times", key, len(list))
		}
		for _, text := range list {
			if len(text) > mostPattern {
				return Query{}, fmt.Errorf("read query: %s has %d letters: at most %d", key, len(text), mostPattern)
			}
		}
	}
	q := Query{
		Namespace: v.Get("namespace"), Pod: v.Get("pod"), From: v.Get("from"), To: v.Get("to"),
		Reasons: slices.Clone(v["reason"]),
	}
	var err error
	if text := v.Get("last"); text != "" {
		if q.Last, err = time.ParseDuration(text); err != nil {
			return Query{}, fmt.Errorf("read query: last: %q is no duration such as 10m", text)
		}
	}
	if text := v.Get("tail"); text != "" {
		if q.Tail, err = strconv.Atoi(text); err != nil {
			return Query{}, fmt.Errorf("read query: tail: %q is no number", text)
		}
	}
	if text := v.Get("follow"); text != "" {
		if q.Follow, err = strconv.ParseBool(text); err != nil {
			return Query{}, fmt.Errorf("read query: follow: %q is neither true nor false", text)
		}
	}
	if _, err := q.Filter(time.Time{}); err != nil {
		return Query{}, fmt.Errorf("read query: %w", err)
	}
	return q, nil
}
