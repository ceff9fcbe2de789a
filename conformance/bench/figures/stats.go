package figures

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Quantile is the q-th quantile, between neighbours by proportion; NaN of
// nothing.
func Quantile(samples []float64, q float64) float64 {
	if len(samples) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(samples))
	at := q * float64(len(sorted)-1)
	low := int(at)
	if low+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}

// Median is the middle sample.
func Median(samples []float64) float64 { return Quantile(samples, 0.5) }

// Max is the largest sample, NaN of nothing.
func Max(samples []float64) float64 { return Quantile(samples, 1) }

// MAD is the median distance of the samples from their median: a spread that
// one hiccup of the machine does not decide.
func MAD(samples []float64) float64 {
	m := Median(samples)
	distances := make([]float64, len(samples))
	for i, s := range samples {
		distances[i] = math.Abs(s - m)
	}
	return Median(distances)
}

// Ratio is what samples are to those of a baseline, with the interval that 95
// of 100 resamplings of the same measurement fall in.
type Ratio struct {
	Value, Low, High float64
}

// ToBase are a figure's samples, each as a multiple of its base; nil if it has
// none.
func (f Figure) ToBase() []float64 {
	if len(f.Samples) != len(f.Base) {
		return nil
	}
	out := make([]float64, len(f.Samples))
	for i := range out {
		out[i] = f.Samples[i] / f.Base[i]
	}
	return out
}

// Ratio compares a figure's samples with its base.
func (f Figure) Ratio() Ratio { return RatioOf(f.Samples, f.Base) }

// Against compares two figures that were measured against the same base at
// different times, by what each is to it.
func (f Figure) Against(other Figure) Ratio {
	a, b := f.ToBase(), other.ToBase()
	if a == nil || b == nil {
		return Ratio{math.NaN(), math.NaN(), math.NaN()}
	}
	return ratioOf(a, b, false)
}

// resamplings are enough for two digits of the interval.
const resamplings = 1000

// RatioOf compares samples with those of a baseline. Where both have as many,
// those of the same index were taken in the same round, and the ratio is the
// median of the rounds': what disturbed the machine disturbed both. Otherwise
// it is the ratio of the medians.
func RatioOf(samples, baseline []float64) Ratio {
	return ratioOf(samples, baseline, len(samples) == len(baseline))
}

func ratioOf(samples, baseline []float64, paired bool) Ratio {
	of := func(a, b []float64) float64 {
		if !paired {
			return Median(a) / Median(b)
		}
		ratios := make([]float64, len(a))
		for i := range a {
			ratios[i] = a[i] / b[i]
		}
		return Median(ratios)
	}
	out := Ratio{Value: of(samples, baseline), Low: math.NaN(), High: math.NaN()}
	if len(samples) < 2 || len(baseline) < 2 {
		return out
	}
	r := rand.New(rand.NewPCG(1, uint64(len(samples))))
	ratios := make([]float64, resamplings)
	a, b := make([]float64, len(samples)), make([]float64, len(baseline))
	for i := range ratios {
		for j := range a {
			at := r.IntN(len(a))
			a[j] = samples[at]
			if paired {
				b[j] = baseline[at]
			}
		}
		for j := range b {
			if !paired {
				b[j] = baseline[r.IntN(len(b))]
			}
		}
		ratios[i] = of(a, b)
	}
	out.Low, out.High = Quantile(ratios, 0.025), Quantile(ratios, 0.975)
	return out
}
