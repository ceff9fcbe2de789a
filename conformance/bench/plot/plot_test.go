package plot

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.05: "0.05", 1: "1", 0.30000000000000004: "0.3", 1000: "1,000", 150000: "150,000",
		-1000: "-1,000", -100: "-100", 2.5e6: "2.5 M", 12.5: "12.5", 1000.5: "1,000.5",
	} {
		if got := number(v); got != want {
			t.Errorf("number(%v) is %q, want %q", v, got, want)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, tc := range []struct {
		name   string
		values []float64
		log    bool
		want   []float64
	}{
		{"from zero", []float64{0, 9}, false, []float64{0, 2, 4, 6, 8}},
		{"near one", []float64{0.95, 1.02}, false, []float64{0.96, 0.98, 1, 1.02}},
		{"one order", []float64{3, 12}, true, []float64{2, 5, 10, 20}},
		{"many orders", []float64{0.5, 40000}, true, []float64{1, 10, 100, 1000, 10000}},
		{"one value", []float64{7}, true, []float64{2, 5, 10, 20}},
		{"nothing", nil, false, []float64{1, 3, 5, 7, 9}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := fit(tc.values, tc.log, 100, 0).ticks()
			same := cmp.Comparer(func(a, b float64) bool { d := a - b; return d < 1e-9 && d > -1e-9 })
			if tc.name != "nothing" {
				if diff := cmp.Diff(tc.want, got, same); diff != "" {
					t.Errorf("ticks (-want +got):\n%s", diff)
				}
			} else if len(got) == 0 {
				t.Error("an empty chart has no ticks")
			}
		})
	}
}

// TestChartIsXML also with names that are markup.
func TestChartIsXML(t *testing.T) {
	for _, c := range []Chart{
		{},
		{Title: `<"&>`, XLog: true, YLog: true, Series: []Series{{Name: "a<b", Points: []Point{{X: 1, Y: 2, Low: 1, High: 3}, {X: 10, Y: 0}}}}, Lines: []Line{{At: 1, Name: "base & line"}}},
		{Categories: []string{"one", "two"}, Series: []Series{{Name: "a", Points: []Point{{X: 0, Y: 1}, {X: 1, Y: 2}}}, {Name: "b", Dashed: true, Points: []Point{{X: 1, Y: 5, Low: 4, High: 6}}}}},
	} {
		var out bytes.Buffer
		if err := c.Write(&out); err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(bytes.NewReader(out.Bytes()))
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("not XML: %v\n%s", err, out.String())
			}
		}
		if strings.Contains(out.String(), "NaN") || strings.Contains(out.String(), "Inf") {
			t.Errorf("a place is no number:\n%s", out.String())
		}
	}
}

// TestLegendWraps instead of running out of the picture.
func TestLegendWraps(t *testing.T) {
	c := Chart{}
	for range 6 {
		c.Series = append(c.Series, Series{Name: "a name of thirty characters or"})
	}
	d := drawing{chart: &c}
	d.legend()
	if len(d.rows) != 3 || d.height <= height {
		t.Errorf("%d rows in a picture of height %d, want 3 in a taller one", len(d.rows), d.height)
	}
}
