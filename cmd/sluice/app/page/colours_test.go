package page_test

import (
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// colour is linear light of red, green and blue.
type colour [3]float64

func parseColour(t *testing.T, hex string) colour {
	t.Helper()
	n, err := strconv.ParseUint(strings.TrimPrefix(hex, "#"), 16, 32)
	if err != nil || len(hex) != 7 {
		t.Fatalf("%q is no colour", hex)
	}
	var c colour
	for i := range c {
		// https://www.w3.org/TR/WCAG22/#dfn-relative-luminance
		v := float64(n>>(16-8*i)&255) / 255
		if v <= 0.04045 {
			c[i] = v / 12.92
		} else {
			c[i] = math.Pow((v+0.055)/1.055, 2.4)
		}
	}
	return c
}

func (c colour) luminance() float64 { return 0.2126*c[0] + 0.7152*c[1] + 0.0722*c[2] }

func contrast(a, b colour) float64 {
	light, dark := max(a.luminance(), b.luminance()), min(a.luminance(), b.luminance())
	return (light + 0.05) / (dark + 0.05)
}

// blindness is how linear light is seen without one kind of cones (Machado, Oliveira and
// Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency",
// 2009, severity 1).
var blindness = map[string][3][3]float64{
	"everything": {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
	"protanopia": {{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}},
	"deuteranopia": {
		{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881},
	},
	"tritanopia": {{1.255528, -0.076749, -0.178779}, {-0.078411, 0.930809, 0.147602}, {0.004733, 0.691367, 0.303900}},
}

func (c colour) seen(m [3][3]float64) (out colour) {
	for i := range m {
		for j := range c {
			out[i] += m[i][j] * c[j]
		}
		out[i] = min(1, max(0, out[i]))
	}
	return out
}

// lab is the colour in CIELAB, of which distances are roughly those that are seen.
func (c colour) lab() [3]float64 {
	f := func(v float64) float64 {
		if v > 216.0/24389 {
			return math.Cbrt(v)
		}
		return (24389.0/27*v + 16) / 116
	}
	x := f((0.4124*c[0] + 0.3576*c[1] + 0.1805*c[2]) / 0.9505)
	y := f(c.luminance())
	z := f((0.0193*c[0] + 0.1192*c[1] + 0.9505*c[2]) / 1.089)
	return [3]float64{116*y - 16, 500 * (x - y), 200 * (y - z)}
}

func distance(a, b colour) float64 {
	p, q := a.lab(), b.lab()
	return math.Hypot(math.Hypot(p[0]-q[0], p[1]-q[1]), p[2]-q[2])
}

// TestColours holds text to WCAG's contrast for small text, and the states of a page to
// be told apart, also by those who see fewer colours.
func TestColours(t *testing.T) {
	css, err := os.ReadFile("assets/page.css")
	if err != nil {
		t.Fatal(err)
	}
	schemes := regexp.MustCompile(`(?s):root(\[data-theme="(dark|auto)"\])? \{(.*?)\}`).FindAllStringSubmatch(string(css), -1)
	if len(schemes) != 3 || strings.Join(strings.Fields(schemes[1][3]), " ") != strings.Join(strings.Fields(schemes[2][3]), " ") {
		t.Fatal("dark by the switch and dark by the system are not alike")
	}
	for _, s := range schemes {
		scheme := s[2]
		at := map[string]colour{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`).FindAllStringSubmatch(s[3], -1) {
			at[m[1]] = parseColour(t, m[2])
		}
		for _, text := range []string{"ink", "quiet", "link"} {
			for _, ground := range []string{"paper", "raised", "band"} {
				if got := contrast(at[text], at[ground]); got < 4.5 {
					t.Errorf("%s: %s on %s has a contrast of %.1f", scheme, text, ground, got)
				}
			}
		}
		for _, together := range [][]string{{"all", "some", "depends", "paper"}, {"added", "removed", "changed", "paper"}, {"exposed-all", "exposed-some", "paper"}} {
			for i, a := range together {
				for _, b := range together[:i] {
					for eyes, m := range blindness {
						if got := distance(at[a].seen(m), at[b].seen(m)); got < 15 {
							t.Errorf("%s: %s and %s are %.0f apart for %s", scheme, a, b, got, eyes)
						}
					}
				}
			}
		}
	}
}
