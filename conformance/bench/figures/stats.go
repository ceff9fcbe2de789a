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

// Ratio is one median over another, with the interval that 95 of 100
// resamplings of the same measurement fall in.
type Ratio struct {
	Value, Low, High float64
}

// resamplings are enough for two digits of the interval.
const resamplings = 1000

// RatioOf compares samples with those of a baseline. Samples of the same index
// were taken in the same round, so where both have as many, rounds are drawn as
// pairs: what disturbed the machine disturbed both.
func RatioOf(samples, baseline []float64) Ratio {
	out := Ratio{Value: Median(samples) / Median(baseline), Low: math.NaN(), High: math.NaN()}
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
			if len(a) == len(b) {
				b[j] = baseline[at]
			}
		}
		for j := range b {
			if len(a) != len(b) {
				b[j] = baseline[r.IntN(len(b))]
			}
		}
		ratios[i] = Median(a) / Median(b)
	}
	out.Low, out.High = Quantile(ratios, 0.025), Quantile(ratios, 0.975)
	return out
}
