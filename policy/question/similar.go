package question

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/spelling"
)

// slips are how many letters of a word may be wrong where another one is meant.
func slips(word string) int { return max(1, len(word)/4) }

// nearTo counts the wrong letters of a word, in capitals or not, if another is meant; it is
// more than slips for what is no slip.
func nearTo(word, meant string) int {
	return spelling.Distance(strings.ToLower(word), strings.ToLower(meant), slips(word))
}

// DidYouMean completes a message with the names that are nearly the word, the nearest
// first; it is empty if none is.
func DidYouMean(word string, names []string) string {
	type candidate struct {
		name string
		far  int
	}
	var near []candidate
	for _, name := range names {
		if far := nearTo(word, name); far <= slips(word) {
			near = append(near, candidate{name, far})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return a.far - b.far })
	if len(near) == 0 {
		return ""
	}
	var words []string
	for _, c := range near[:min(3, len(near))] {
		if c.far == near[0].far && !slices.Contains(words, c.name) {
			words = append(words, c.name)
		}
	}
	return "; did you mean " + strings.Join(words, " or ") + "?"
}

// Present says that an end is none of those of connections, and which one may be meant.
func Present(ends []connectivity.End, e End) error {
	var names []string
	for i := range ends {
		if e.Among(&ends[i]) {
			return nil
		}
		for _, w := range ends[i].Workloads {
			names = append(names, w.Namespace+"/"+w.Name)
		}
	}
	return fmt.Errorf("%s is nobody here%s", e, meant(e, names))
}

// meant completes a message with the names of "namespace/name" that are nearly an
// end's, or that are the same in another namespace.
func meant(e End, names []string) string {
	if e.Object.Name == "" {
		return ""
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if text := DidYouMean(e.Object.String(), names); text != "" {
		return text
	}
	var elsewhere []string
	for _, n := range names {
		if strings.HasSuffix(n, "/"+e.Object.Name) && len(elsewhere) < 3 {
			elsewhere = append(elsewhere, n)
		}
	}
	switch {
	case len(elsewhere) > 0:
		return "; there is " + strings.Join(elsewhere, " and ")
	case strings.Contains(e.Object.Name, "."):
		return "; names of hosts are not resolved: give an address, a CIDR or internet"
	}
	return ""
}
