package figures_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/conformance/bench/figures"
)

func TestQuantiles(t *testing.T) {
	for _, tc := range []struct {
		name             string
		samples          []float64
		median, p99, mad float64
	}{
		{"one", []float64{7}, 7, 7, 0},
		{"odd, not sorted", []float64{9, 1, 5}, 5, 8.92, 4},
		{"even: between the two in the middle", []float64{1, 2, 3, 10}, 2.5, 9.79, 1},
		{"a hiccup moves the median and the spread little", []float64{10, 11, 10, 12, 1000}, 11, 960.48, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := []float64{figures.Median(tc.samples), figures.Quantile(tc.samples, 0.99), figures.MAD(tc.samples)}
			for i, want := range []float64{tc.median, tc.p99, tc.mad} {
				if math.Abs(got[i]-want) > 1e-9 {
					t.Errorf("median, p99, MAD are %v, want %v, %v, %v", got, tc.median, tc.p99, tc.mad)
					break
				}
			}
		})
	}
	if got := figures.Median(nil); !math.IsNaN(got) {
		t.Errorf("the median of nothing is %v", got)
	}
}

// TestRatioPairsRounds: what disturbs both sides of a round is no difference.
func TestRatioPairsRounds(t *testing.T) {
	base := []float64{10, 20, 11, 21, 12, 22, 10, 20}
	half := make([]float64, len(base))
	for i, b := range base {
		half[i] = b / 2
	}
	got := figures.RatioOf(half, base)
	if got.Value != 0.5 || got.Low != 0.5 || got.High != 0.5 {
		t.Errorf("half of each round is %+v", got)
	}
	unpaired := figures.RatioOf(half[:5], base)
	if !(unpaired.Low < unpaired.Value && unpaired.Value < unpaired.High) {
		t.Errorf("without pairs: %+v has no interval around it", unpaired)
	}
	if again := figures.RatioOf(half[:5], base); again != unpaired {
		t.Errorf("the same samples gave %+v and %+v", unpaired, again)
	}
	if one := figures.RatioOf(half[:1], base[:1]); one.Value != 0.5 || !math.IsNaN(one.Low) {
		t.Errorf("one round: %+v, want a ratio without interval", one)
	}
}

// TestAgainst: two that were measured at different times, when the machine was fast
// and slow, are compared by what each was to the base.
func TestAgainst(t *testing.T) {
	early := figures.Figure{Samples: []float64{90, 91, 89}, Base: []float64{100, 100, 100}}
	late := figures.Figure{Samples: []float64{30, 29, 31}, Base: []float64{50, 50, 50}}
	if got := early.Against(late); math.Abs(got.Value-1.5) > 1e-9 || got.Low >= got.Value || got.High <= got.Value {
		t.Errorf("0.9 of the base against 0.6 is %+v", got)
	}
	if got := early.Ratio(); got.Value != 0.9 {
		t.Errorf("90 of 100 is %+v", got)
	}
	if got := early.Against(figures.Figure{}); !math.IsNaN(got.Value) {
		t.Errorf("against nothing: %+v", got)
	}
}

func TestWriteAndRead(t *testing.T) {
	run := &figures.Run{
		Machine: figures.Machine{CPU: "two of them", Cores: 2},
		Started: time.Date(2026, 11, 20, 23, 45, 0, 0, time.UTC), Took: 12,
		Parts: []figures.Part{{Name: "control", Took: 11}},
	}
	run.Add(figures.Figure{Part: "control", Name: "remote Pod", Variant: "Sluice", At: figures.Setting{"pods": 1000}, Unit: "ms", Samples: []float64{1.23456789, 0, 1234567}, Base: []float64{1, 2, 3.1415926}})
	run.Miss("memory", "all of it", errors.New("no etcd"))
	var file bytes.Buffer
	if err := run.Write(&file); err != nil {
		t.Fatal(err)
	}
	got, err := figures.Read(&file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(run, got); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]float64{1.2346, 0, 1234600}, got.Of("control", "").Find("remote Pod", "Sluice", figures.Setting{"pods": 1000})); diff != "" {
		t.Errorf("samples (-want +got):\n%s", diff)
	}
	if s := got.Of("control", "").Find("remote Pod", "Sluice", figures.Setting{"pods": 1}); s != nil {
		t.Errorf("found %v at another size", s)
	}
}

// A part that is measured anew takes the place of the one before, and the others stay as
// they were, with what they are of.
func TestKeep(t *testing.T) {
	order := []string{"packet", "control", "memory"}
	run := func(revision string, at int, parts ...string) *figures.Run {
		r := &figures.Run{Machine: figures.Machine{CPU: "x", Cores: 2, Kernel: "6", Revision: revision}, Started: time.Unix(int64(at), 0).UTC()}
		for _, p := range parts {
			r.Parts = append(r.Parts, figures.Part{Name: p, Took: 1})
			r.Add(figures.Figure{Part: p, Name: p, Variant: revision, Samples: []float64{1}})
			r.Miss(p, revision, errors.New("no"))
		}
		return r
	}
	first := run("a", 100, "packet", "control", "memory")
	second := run("b", 200, "control")
	if err := second.Keep(first, order); err != nil {
		t.Fatal(err)
	}
	third := run("c", 300, "memory")
	if err := third.Keep(second, order); err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, p := range third.Parts {
		got = append(got, fmt.Sprintf("%s %s %d, figures of %s, missing of %s", p.Name, p.Revision, p.Started.Unix(), third.Figures[i].Variant, third.Missing[slices.IndexFunc(third.Missing, func(m figures.Missing) bool { return m.Part == p.Name })].What))
	}
	want := []string{"packet a 100, figures of a, missing of a", "control b 200, figures of b, missing of b", "memory  -62135596800, figures of c, missing of c"}
	if diff := cmp.Diff(want, got); diff != "" || len(third.Figures) != 3 || len(third.Missing) != 3 {
		t.Errorf("(-want +got):\n%s", diff)
	}
	elsewhere := run("d", 400, "packet")
	elsewhere.Machine.Cores = 4
	if err := elsewhere.Keep(first, order); err == nil {
		t.Error("figures of two machines are in one report")
	}
}
