// Package plot draws line and bar charts as SVG that can be read on light and
// on dark pages: colours follow the reader's preference, which images that
// plotting libraries make do not.
package plot

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// Chart is lines over a common axis, or groups of bars.
type Chart struct {
	Title string
	// XLabel and YLabel name quantities with their units.
	XLabel, YLabel string
	// XLog and YLog are for axes over orders of magnitude.
	XLog, YLog bool
	// YZero has the axis begin at zero, where it would begin near the data.
	YZero  bool
	Series []Series
	// Categories make bars: each series has a value for each of them.
	Categories []string
	// Lines are horizontal: a baseline, a target.
	Lines []Line
}

// Series is one line, or the bars of one colour.
type Series struct {
	Name   string
	Points []Point
	// Dashed is for what others are compared with.
	Dashed bool
}

// Point has a spread if Low and High differ. X of bars is the number of the
// category.
type Point struct{ X, Y, Low, High float64 }

// Line is drawn across the chart.
type Line struct {
	At   float64
	Name string
}

// The places of things, in pixels.
const (
	width, height = 720, 400
	left, right   = 76, 24
	top, bottom   = 44, 52
	legendRow     = 18
	widestBar     = 64
	charWidth     = 6.9 // of the widest usual fonts at 12 pixels
)

// style ends inside the rules for dark pages.
const style = `text { font: 12px system-ui, "DejaVu Sans", sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 14px }
.grid { stroke: #d0d7de; stroke-width: 1 }
.axis { stroke: #57606a; stroke-width: 1 }
.mark { stroke: #57606a; stroke-width: 1.5; stroke-dasharray: 2 4 }
.line { fill: none; stroke-width: 2.2; stroke-linejoin: round }
.dashed { stroke-dasharray: 7 5 }
.spread { stroke-width: 1.4 }
.halo { stroke: #ffffff; stroke-width: 4; paint-order: stroke; stroke-linejoin: round }
.page { fill: #ffffff }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .page { fill: #0d1117 } .halo { stroke: #0d1117 }
  .grid { stroke: #30363d } .axis, .mark { stroke: #8d96a0 }
`

// palette are the colours of series, on a light and on a dark page, told apart
// by colour-blind readers (Okabe and Ito's, dimmed and lightened).
var palette = [colours][2]string{
	{"#0072b2", "#58b0e8"}, {"#d55e00", "#ff9a4d"}, {"#00866a", "#3fcf9f"}, {"#b0568c", "#e394c3"},
	{"#8a6d00", "#e6c229"}, {"#3a8fc4", "#9fd3f5"}, {"#5b5b5b", "#b0b0b0"},
}

const colours = 7

// sheet is the style with the palette: not as CSS variables, which half of the
// programs that show pictures do not know.
func sheet() string {
	var light, dark strings.Builder
	for i, c := range palette {
		for page, out := range []*strings.Builder{&light, &dark} {
			fmt.Fprintf(out, "  .c%[1]d .stroke, .c%[1]d.stroke { stroke: %[2]s } .c%[1]d .fill { fill: %[2]s }\n", i, c[page])
		}
	}
	return light.String() + style + dark.String() + "}\n"
}

// Write draws the chart.
func (c *Chart) Write(w io.Writer) error {
	d := drawing{chart: c}
	d.legend()
	d.scales()
	d.frame()
	if len(c.Categories) > 0 {
		d.bars()
	} else {
		d.lines()
	}
	d.marks()
	d.key()
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s">
<style>
%s</style>
<rect class="page" width="%d" height="%d"/>
%s</svg>
`, width, d.height, escape(c.Title), sheet(), width, d.height, d.body.String())
	if err != nil {
		return fmt.Errorf("write chart: %w", err)
	}
	return nil
}

// drawing is a chart while it is drawn.
type drawing struct {
	chart *Chart
	body  strings.Builder
	x, y  axis
	// rows are those of the legend: series by number.
	rows   [][]int
	height int
}

func (d *drawing) printf(format string, args ...any) { fmt.Fprintf(&d.body, format+"\n", args...) }

// plotTop is below title and legend.
func (d *drawing) plotTop() float64 { return float64(top + legendRow*(len(d.rows)-1) + 14) }

func (d *drawing) plotBottom() float64 { return float64(d.height - bottom) }

// legend puts the names of series into rows.
func (d *drawing) legend() {
	used := math.Inf(1)
	for i, s := range d.chart.Series {
		need := nameWidth(s.Name)
		if used+need > width-left-right {
			d.rows, used = append(d.rows, nil), 0
		}
		d.rows[len(d.rows)-1] = append(d.rows[len(d.rows)-1], i)
		used += need
	}
	if len(d.rows) == 0 {
		d.rows = [][]int{nil}
	}
	d.height = height + legendRow*(len(d.rows)-1)
}

func nameWidth(name string) float64 { return 44 + charWidth*float64(len([]rune(name))) }

// key draws the legend.
func (d *drawing) key() {
	d.printf(`<text class="title" x="%d" y="24">%s</text>`, left, escape(d.chart.Title))
	for row, series := range d.rows {
		x, y := float64(left), float64(top+row*legendRow)
		for _, i := range series {
			s := d.chart.Series[i]
			d.printf(`<line class="line stroke c%d%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, colour(i, s), dashed(s), x, y-4, x+22, y-4)
			d.printf(`<text x="%.1f" y="%.1f">%s</text>`, x+28, y, escape(s.Name))
			x += nameWidth(s.Name)
		}
	}
}

// colour is grey for what others are compared with.
func colour(i int, s Series) int {
	if s.Dashed {
		return colours - 1
	}
	return i % (colours - 1)
}

func dashed(s Series) string {
	if s.Dashed {
		return " dashed"
	}
	return ""
}

// scales fits the axes to the data.
func (d *drawing) scales() {
	var xs, ys []float64
	for _, s := range d.chart.Series {
		for _, p := range s.Points {
			xs, ys = append(xs, p.X), append(ys, p.Y)
			if p.Low != p.High {
				ys = append(ys, p.Low, p.High)
			}
		}
	}
	for _, l := range d.chart.Lines {
		ys = append(ys, l.At)
	}
	if d.chart.YZero || len(d.chart.Categories) > 0 && !d.chart.YLog {
		ys = append(ys, 0)
	}
	d.x = fit(xs, d.chart.XLog, left+16, width-right-16)
	d.x.values = xs
	d.y = fit(ys, d.chart.YLog, d.plotBottom(), d.plotTop())
	if len(d.chart.Categories) == 0 {
		return
	}
	d.x = axis{low: -0.5, high: float64(len(d.chart.Categories)) - 0.5, from: left, to: width - right}
}

// frame draws grid, axes and their labels.
func (d *drawing) frame() {
	for _, v := range d.y.ticks() {
		y := d.y.at(v)
		d.printf(`<line class="grid" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/>`, left, y, width-right, y)
		d.printf(`<text x="%d" y="%.1f" text-anchor="end">%s</text>`, left-8, y+4, number(v))
	}
	d.printf(`<line class="axis" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/>`, left, d.plotBottom(), width-right, d.plotBottom())
	if len(d.chart.Categories) > 0 {
		for i, name := range d.chart.Categories {
			d.printf(`<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, d.x.at(float64(i)), d.plotBottom()+18, escape(name))
		}
	} else {
		for _, v := range d.x.own() {
			d.printf(`<line class="axis" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, d.x.at(v), d.plotBottom(), d.x.at(v), d.plotBottom()+5)
			d.printf(`<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, d.x.at(v), d.plotBottom()+19, number(v))
		}
	}
	d.printf(`<text x="%.1f" y="%d" text-anchor="middle">%s</text>`, float64(left+width-right)/2, d.height-12, escape(d.chart.XLabel))
	middle := (d.plotTop() + d.plotBottom()) / 2
	d.printf(`<text x="16" y="%.1f" text-anchor="middle" transform="rotate(-90 16 %.1f)">%s</text>`, middle, middle, escape(d.chart.YLabel))
}

func (d *drawing) lines() {
	for i, s := range d.chart.Series {
		d.printf(`<g class="c%d">`, colour(i, s))
		var path strings.Builder
		for j, p := range s.Points {
			verb := "L"
			if j == 0 {
				verb = "M"
			}
			fmt.Fprintf(&path, "%s%.1f %.1f", verb, d.x.at(p.X), d.y.at(p.Y))
		}
		d.printf(`<path class="line stroke%s" d="%s"/>`, dashed(s), path.String())
		for _, p := range s.Points {
			d.spread(d.x.at(p.X), p)
			d.printf(`<circle class="fill" cx="%.1f" cy="%.1f" r="3.5"/>`, d.x.at(p.X), d.y.at(p.Y))
		}
		d.printf(`</g>`)
	}
}

func (d *drawing) spread(x float64, p Point) {
	if p.Low != p.High {
		d.printf(`<line class="stroke spread" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, x, d.y.at(p.Low), x, d.y.at(p.High))
	}
}

func (d *drawing) bars() {
	each := min(widestBar, (d.x.at(1)-d.x.at(0))*0.8/float64(len(d.chart.Series)))
	group := each * float64(len(d.chart.Series))
	for i, s := range d.chart.Series {
		d.printf(`<g class="c%d">`, colour(i, s))
		for _, p := range s.Points {
			x := d.x.at(p.X) - group/2 + each*float64(i)
			y := d.y.at(p.Y)
			d.printf(`<rect class="fill" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, x+each*0.06, y, each*0.88, math.Max(0, d.plotBottom()-y))
			if p.Low != p.High {
				d.printf(`<line class="axis" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, x+each/2, d.y.at(p.Low), x+each/2, d.y.at(p.High))
			}
		}
		d.printf(`</g>`)
	}
}

// marks are the horizontal lines, with their names where they end: above, or
// below where another's name is.
func (d *drawing) marks() {
	lines := slices.SortedFunc(slices.Values(d.chart.Lines), func(a, b Line) int { return cmp.Compare(b.At, a.At) })
	last := math.Inf(-1)
	for _, l := range lines {
		y := d.y.at(l.At)
		name := y - 5
		if name-last < legendRow {
			name = y + 14
		}
		last = name
		d.printf(`<line class="mark" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/>`, left, y, width-right, y)
		d.printf(`<text class="halo" x="%d" y="%.1f" text-anchor="end">%s</text>`, width-right-2, name, escape(l.Name))
	}
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(s)
}
