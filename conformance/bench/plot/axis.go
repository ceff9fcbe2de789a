package plot

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// axis maps values to pixels.
type axis struct {
	low, high float64
	from, to  float64
	log       bool
	// values are those of the data.
	values []float64
}

// fit makes an axis on which all values have room.
func fit(values []float64, log bool, from, to float64) axis {
	a := axis{low: math.Inf(1), high: math.Inf(-1), from: from, to: to, log: log}
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) || log && v <= 0 {
			continue
		}
		a.low, a.high = min(a.low, v), max(a.high, v)
	}
	switch {
	case a.low > a.high:
		a.low, a.high = 1, 10
	case log:
		if a.high/a.low < 1.2 {
			a.low, a.high = a.low/1.5, a.high*1.5
		}
	default:
		room := 0.08 * (a.high - a.low)
		if room == 0 {
			room = max(1, math.Abs(a.high)*0.1)
		}
		if a.low != 0 {
			a.low -= room
		}
		a.high += room
	}
	if log && from > to { // the vertical one ends where a tick is
		a.low, a.high = floorTick(a.low), ceilTick(a.high)
	}
	return a
}

// steps are where a logarithmic axis has ticks within an order of magnitude.
var steps = []float64{1, 2, 5, 10}

func floorTick(v float64) float64 {
	magnitude := math.Pow(10, math.Floor(math.Log10(v)))
	out := magnitude
	for _, s := range steps {
		if s*magnitude <= v*1.0000001 {
			out = s * magnitude
		}
	}
	return out
}

func ceilTick(v float64) float64 {
	magnitude := math.Pow(10, math.Floor(math.Log10(v)))
	for _, s := range steps {
		if s*magnitude >= v*0.9999999 {
			return s * magnitude
		}
	}
	return 10 * magnitude
}

// at is where a value is drawn.
func (a axis) at(v float64) float64 {
	low, high := a.low, a.high
	if a.log {
		low, high, v = math.Log(low), math.Log(high), math.Log(max(v, a.low/10))
	}
	return a.from + (v-low)/(high-low)*(a.to-a.from)
}

// ticks are round values over the whole axis.
func (a axis) ticks() []float64 {
	if !a.log {
		return a.linearTicks()
	}
	var out []float64
	steps := steps[:3]
	if a.high/a.low > 2e3 {
		steps = steps[:1]
	}
	for magnitude := math.Pow(10, math.Floor(math.Log10(a.low))); magnitude <= a.high*1.01; magnitude *= 10 {
		for _, s := range steps {
			if v := s * magnitude; v >= a.low*0.99 && v <= a.high*1.01 {
				out = append(out, v)
			}
		}
	}
	return out
}

func (a axis) linearTicks() []float64 {
	raw := (a.high - a.low) / 6
	magnitude := math.Pow(10, math.Floor(math.Log10(raw)))
	step := 10 * magnitude
	for _, s := range steps {
		if s*magnitude >= raw {
			step = s * magnitude
			break
		}
	}
	var out []float64
	for i := math.Ceil(a.low / step); i*step <= a.high; i++ {
		out = append(out, i*step)
	}
	return out
}

// own are the values of the data, without those too near to another to be
// labelled: what was measured is what a reader looks for.
func (a axis) own() []float64 {
	var out []float64
	for _, v := range slices.Compact(slices.Sorted(slices.Values(a.values))) {
		if len(out) > 0 && a.at(v)-a.at(out[len(out)-1]) < 8+charWidth*float64(len(number(v))) {
			continue
		}
		out = append(out, v)
	}
	return out
}

// number writes a value as people do: 10,000 and 0.05, and no digits that are
// rounding.
func number(v float64) string {
	if v != 0 && math.Abs(v) >= 1e6 {
		return strconv.FormatFloat(v/1e6, 'g', 4, 64) + " M"
	}
	text := strconv.FormatFloat(v, 'f', -1, 64)
	if len(text) > 8 {
		text = strconv.FormatFloat(v, 'f', max(0, 2-int(math.Floor(math.Log10(math.Abs(v))))), 64)
		if strings.Contains(text, ".") {
			text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
		}
	}
	whole, rest, _ := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		return whole + "." + rest
	}
	return whole
}
