package spelling

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b  string
		limit int
		want  int
	}{
		{"", "", 0, 0},
		{"", "ab", 5, 2},
		{"frontend", "frontend", 0, 0},
		{"frontend", "fronted", 2, 1},
		{"frontend", "forntend", 2, 1},
		{"frontend", "backend", 8, 5},
		{"frontend", "backend", 2, 3},
		{"ca", "abc", 3, 3}, // a swapped pair stays one
		{"a", "abcdef", 2, 3},
		{strings.Repeat("a", longest), strings.Repeat("a", longest), 2, 0},
		{strings.Repeat("a", longest+1), strings.Repeat("a", longest+1), 2, 3},
	} {
		if got := Distance(tt.a, tt.b, tt.limit); got != tt.want {
			t.Errorf("%q, %q, at most %d: %d, want %d", tt.a, tt.b, tt.limit, got, tt.want)
		}
		if got := Distance(tt.b, tt.a, tt.limit); got != tt.want {
			t.Errorf("%q, %q, at most %d: %d, want %d", tt.b, tt.a, tt.limit, got, tt.want)
		}
	}
}

// naive is the definition.
func naive(a, b string) int {
	if a == "" || b == "" {
		return len(a) + len(b)
	}
	x, y := a[len(a)-1], b[len(b)-1]
	change := 1
	if x == y {
		change = 0
	}
	out := min(naive(a[:len(a)-1], b[:len(b)-1])+change, naive(a[:len(a)-1], b)+1, naive(a, b[:len(b)-1])+1)
	if len(a) > 1 && len(b) > 1 && x == b[len(b)-2] && a[len(a)-2] == y {
		out = min(out, naive(a[:len(a)-2], b[:len(b)-2])+1)
	}
	return out
}

func TestDistanceIsWhatItsDefinitionSays(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		out := make([]byte, r.IntN(7))
		for i := range out {
			out[i] = "abc"[r.IntN(3)]
		}
		return string(out)
	}
	for range 3000 {
		a, b, limit := word(), word(), r.IntN(8)
		if got, want := Distance(a, b, limit), min(naive(a, b), limit+1); got != want {
			t.Fatalf("%q, %q, at most %d: %d, want %d", a, b, limit, got, want)
		}
	}
}
