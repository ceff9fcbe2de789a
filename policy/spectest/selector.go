package spectest

import (
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type selector = metav1.LabelSelector

// selectorMatches: all of matchLabels and all of matchExpressions hold.
func selectorMatches(s selector, labels map[string]string) bool {
	for key, want := range s.MatchLabels {
		if value, has := labels[key]; !has || value != want {
			return false
		}
	}
	for _, e := range s.MatchExpressions {
		value, has := labels[e.Key]
		switch e.Operator {
		case metav1.LabelSelectorOpIn:
			if !has || !slices.Contains(e.Values, value) {
				return false
			}
		case metav1.LabelSelectorOpNotIn:
			if has && slices.Contains(e.Values, value) {
				return false
			}
		case metav1.LabelSelectorOpExists:
			if !has {
				return false
			}
		case metav1.LabelSelectorOpDoesNotExist:
			if has {
				return false
			}
		}
	}
	return true
}

// selectorValid says whether the API server would take the selector.
func selectorValid(s selector) bool {
	for key, value := range s.MatchLabels {
		if !keyValid(key) || !valueValid(value) {
			return false
		}
	}
	for _, e := range s.MatchExpressions {
		if !keyValid(e.Key) {
			return false
		}
		switch e.Operator {
		case metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn:
			if len(e.Values) == 0 {
				return false
			}
		case metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist:
			if len(e.Values) > 0 {
				return false
			}
		default:
			return false
		}
		for _, v := range e.Values {
			if !valueValid(v) {
				return false
			}
		}
	}
	return true
}

var (
	namePart   = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
	prefixPart = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
)

func keyValid(key string) bool {
	prefix, name, found := strings.Cut(key, "/")
	if !found {
		return namePart.MatchString(key)
	}
	return len(prefix) <= 253 && prefixPart.MatchString(prefix) && namePart.MatchString(name)
}

func valueValid(value string) bool { return value == "" || namePart.MatchString(value) }
