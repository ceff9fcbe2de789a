package document

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-net/sluice/conformance/bench/figures"
	"github.com/sluice-net/sluice/conformance/bench/plot"
)

// absent stands in a table for what was not measured.
const absent = "–"

// digits writes three significant digits, and all of a whole number.
func digits(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return absent
	case v == 0:
		return "0"
	case math.Abs(v) >= 1e6:
		return digits(v/1e6) + " M"
	case math.Abs(v) >= 100 || v == math.Trunc(v):
		return whole(v)
	}
	return strconv.FormatFloat(v, 'f', max(0, 2-int(math.Floor(math.Log10(math.Abs(v))))), 64)
}

// whole writes a number without decimals, with commas.
func whole(v float64) string {
	text := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func duration(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}

// spread is a median with its spread.
func spread(samples []float64) string {
	if len(samples) == 0 {
		return absent
	}
	return digits(figures.Median(samples)) + " ± " + digits(figures.MAD(samples))
}

// tail is a median with the 99th percentile.
func tail(samples []float64) string {
	if len(samples) == 0 {
		return absent
	}
	return digits(figures.Median(samples)) + " / " + digits(figures.Quantile(samples, 0.99))
}

// times is a ratio with its interval.
func times(r figures.Ratio) string {
	if math.IsNaN(r.Value) || math.IsInf(r.Value, 0) {
		return absent
	}
	if math.IsNaN(r.Low) || math.IsNaN(r.High) {
		return ratio(r.Value)
	}
	return fmt.Sprintf("%s (%s–%s)", ratio(r.Value), ratio(r.Low), ratio(r.High))
}

// ratio has what differs from one in three decimals, and else three digits.
func ratio(v float64) string {
	if v > 0.9 && v < 1.1 {
		return strconv.FormatFloat(v, 'f', 3, 64)
	}
	return digits(v)
}

// table writes one: the first column to the left, the others to the right.
func (r *report) table(header []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	r.printf("| %s |\n| ---%s |", strings.Join(header, " | "), strings.Repeat(" | ---:", len(header)-1))
	for _, row := range rows {
		r.printf("| %s |", strings.Join(row, " | "))
	}
	r.printf("")
}

// point is a figure's median with the middle half of its samples.
func point(x float64, samples []float64) plot.Point {
	return plot.Point{X: x, Y: figures.Median(samples), Low: figures.Quantile(samples, 0.25), High: figures.Quantile(samples, 0.75)}
}

// ratioPoint is a ratio with its interval.
func ratioPoint(x float64, r figures.Ratio) plot.Point {
	if math.IsNaN(r.Low) || math.IsNaN(r.High) {
		return plot.Point{X: x, Y: r.Value}
	}
	return plot.Point{X: x, Y: r.Value, Low: r.Low, High: r.High}
}

// line is a series of a figure over a setting.
func line(name string, fs figures.Figures, figure, variant, key string) plot.Series {
	s := plot.Series{Name: name}
	for _, x := range fs.Values(key) {
		if samples := fs.Find(figure, variant, figures.Setting{key: x}); len(samples) > 0 {
			s.Points = append(s.Points, point(x, samples))
		}
	}
	return s
}
