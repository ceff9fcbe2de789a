package question

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/policy/connectivity"
)

// DidYouMean completes a message with the names that are nearly the word, the nearest
// first; it is empty if none is.
func DidYouMean(word string, names []string) string {
	type candidate struct {
		name string
		far  int
	}
	var near []candidate
	for _, name := range names {
		if far := distance(strings.ToLower(word), strings.ToLower(name)); far <= max(1, len(word)/4) {
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

// distance counts the letters to insert, remove, change or swap with their neighbour
// that make one word of another.
func distance(a, b string) int {
	if len(a) > 100 || len(b) > 100 {
		return 100
	}
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			change := row[j]
			if a[i] != b[j] {
				change++
			}
			next[j+1] = min(change, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
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
