package policy

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type operator uint8

const (
	opIn operator = iota
	opNotIn
	opExists
	opDoesNotExist
)

// requirement is one condition on labels. Values are sorted, each once, and
// set for opIn and opNotIn only.
type requirement struct {
	key    string
	op     operator
	values []string
}

// selector is a label selector in canonical form: matchLabels is written as In
// with one value, requirements are sorted by their text, each once. So two
// selectors with equal text mean the same. One without requirements matches
// everything.
type selector struct {
	reqs []requirement
	text string
}

// everything is the selector without requirements.
var everything = &selector{text: "*"}

// parseSelector never returns a selector together with an error.
func parseSelector(s *metav1.LabelSelector) (*selector, error) {
	if s == nil || len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
		return everything, nil
	}
	reqs := make([]requirement, 0, len(s.MatchLabels)+len(s.MatchExpressions))
	for k, v := range s.MatchLabels {
		reqs = append(reqs, requirement{key: k, op: opIn, values: []string{v}})
	}
	for i := range s.MatchExpressions {
		r, err := parseRequirement(&s.MatchExpressions[i])
		if err != nil {
			return nil, fmt.Errorf("matchExpressions[%d]: %w", i, err)
		}
		reqs = append(reqs, r)
	}
	for _, r := range reqs {
		if err := r.check(); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(reqs, func(a, b requirement) int { return strings.Compare(a.String(), b.String()) })
	reqs = slices.CompactFunc(reqs, func(a, b requirement) bool { return a.String() == b.String() })
	texts := make([]string, len(reqs))
	for i, r := range reqs {
		texts[i] = r.String()
	}
	return &selector{reqs: reqs, text: strings.Join(texts, ",")}, nil
}

func parseRequirement(e *metav1.LabelSelectorRequirement) (requirement, error) {
	r := requirement{key: e.Key}
	switch e.Operator {
	case metav1.LabelSelectorOpIn:
		r.op = opIn
	case metav1.LabelSelectorOpNotIn:
		r.op = opNotIn
	case metav1.LabelSelectorOpExists:
		r.op = opExists
	case metav1.LabelSelectorOpDoesNotExist:
		r.op = opDoesNotExist
	default:
		return r, fmt.Errorf("unknown operator %q", e.Operator)
	}
	if withValues := r.op == opIn || r.op == opNotIn; withValues != (len(e.Values) > 0) {
		if withValues {
			return r, fmt.Errorf("operator %s needs values", e.Operator)
		}
		return r, fmt.Errorf("operator %s takes no values", e.Operator)
	}
	r.values = slices.Compact(slices.Sorted(slices.Values(e.Values)))
	return r, nil
}

// check refuses what would make the canonical text ambiguous. The whole syntax
// of labels is [Validate]'s business.
func (r *requirement) check() error {
	const reserved = " ,()={}!*"
	if r.key == "" || strings.ContainsAny(r.key, reserved) {
		return fmt.Errorf("invalid label key %q", r.key)
	}
	for _, v := range r.values {
		if strings.ContainsAny(v, reserved+"/") {
			return fmt.Errorf("invalid value %q of label %s", v, r.key)
		}
	}
	return nil
}

func (r requirement) String() string {
	switch {
	case r.op == opExists:
		return r.key
	case r.op == opDoesNotExist:
		return "!" + r.key
	case r.op == opIn && len(r.values) == 1:
		return r.key + "=" + r.values[0]
	case r.op == opIn:
		return r.key + " in (" + strings.Join(r.values, ",") + ")"
	case len(r.values) == 1:
		return r.key + "!=" + r.values[0]
	}
	return r.key + " notin (" + strings.Join(r.values, ",") + ")"
}

func (r *requirement) matches(of labels) bool {
	v, ok := of.value(r.key)
	switch r.op {
	case opIn:
		return ok && slices.Contains(r.values, v)
	case opNotIn:
		return !ok || !slices.Contains(r.values, v)
	case opExists:
		return ok
	}
	return !ok
}

func (s *selector) matches(of labels) bool { return s.miss(of) < 0 }

// miss is the first requirement that labels do not meet, -1 if they meet all.
func (s *selector) miss(of labels) int {
	for i := range s.reqs {
		if !s.reqs[i].matches(of) {
			return i
		}
	}
	return -1
}
