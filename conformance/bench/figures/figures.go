// Package figures is what a benchmark run leaves: samples with what they were
// measured of. Everything in the report is made from it.
package figures

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"time"
)

// Run is all that was measured in one go on one machine.
type Run struct {
	Machine Machine   `json:"machine"`
	Started time.Time `json:"started"`
	// Took is in seconds.
	Took  float64 `json:"took"`
	Quick bool    `json:"quick,omitempty"`
	Parts []Part  `json:"parts"`
	// Figures are in the order in which they were measured.
	Figures []Figure `json:"figures"`
	// Missing is what could not be measured, with the reason.
	Missing []Missing `json:"missing,omitempty"`
}

// Machine is what a figure depends on besides the program.
type Machine struct {
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	Memory   int    `json:"memory"` // MiB
	Kernel   string `json:"kernel"`
	NFT      string `json:"nft"`
	Go       string `json:"go"`
	Revision string `json:"revision"`
	// LoadBefore and LoadAfter are the load averages of one minute: what else
	// ran on the machine shows in them.
	LoadBefore float64 `json:"loadBefore"`
	LoadAfter  float64 `json:"loadAfter"`
}

// Part says how long a part of the run took, in seconds. One that was kept from an earlier
// run says of which revision it is, and when it was measured.
type Part struct {
	Name     string    `json:"name"`
	Took     float64   `json:"took"`
	Revision string    `json:"revision,omitempty"`
	Started  time.Time `json:"started,omitzero"`
}

// Missing is a line of the report about what is not in it.
type Missing struct {
	Part string `json:"part"`
	What string `json:"what"`
	Why  string `json:"why"`
}

// Figure is one quantity of one variant under one setting.
type Figure struct {
	Part string `json:"part"`
	// Case is a kind of surroundings that has no number: a topology, a shape.
	Case string `json:"case,omitempty"`
	// Name is the quantity: "remote Pod, event to commit".
	Name string `json:"name"`
	// Variant is what is compared: "Sluice", "nft -f".
	Variant string `json:"variant,omitempty"`
	// At are the settings: "pods", "policies".
	At   Setting `json:"at,omitempty"`
	Unit string  `json:"unit"`
	// Note is what a reader must know of it.
	Note string `json:"note,omitempty"`
	// Samples are in the order in which they were taken. Those of variants
	// that were interleaved have the same index in the same round.
	Samples []float64 `json:"samples"`
	// Base are those of what it is compared with, if each sample was taken in
	// turns with one of them.
	Base []float64 `json:"base,omitempty"`
}

// Setting is under what something was measured.
type Setting map[string]float64

// Is reports whether s has all of o.
func (s Setting) Is(o Setting) bool {
	for k, v := range o {
		if have, ok := s[k]; !ok || have != v {
			return false
		}
	}
	return true
}

// Add appends a figure with its samples rounded: digits that no clock has only
// make the file larger.
func (r *Run) Add(f Figure) {
	f.Samples, f.Base = rounded(f.Samples), rounded(f.Base)
	r.Figures = append(r.Figures, f)
}

// Miss notes what could not be measured.
func (r *Run) Miss(part, what string, why error) {
	r.Missing = append(r.Missing, Missing{Part: part, What: what, Why: why.Error()})
}

func rounded(samples []float64) []float64 {
	if samples == nil {
		return nil
	}
	out := make([]float64, len(samples))
	for i, s := range samples {
		out[i] = round(s, 5)
	}
	return out
}

// round keeps so many significant digits.
func round(v float64, digits int) float64 {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return v
	}
	scale := math.Pow(10, float64(digits-1)-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}

// Figures is a selection of figures.
type Figures []Figure

// Of are the figures of a part and a case; an empty case is any.
func (r *Run) Of(part, kind string) Figures {
	var out Figures
	for _, f := range r.Figures {
		if f.Part == part && (kind == "" || f.Case == kind) {
			out = append(out, f)
		}
	}
	return out
}

// Find returns the samples of a figure, nil if there are none.
func (fs Figures) Find(name, variant string, at Setting) []float64 {
	return fs.Figure(name, variant, at).Samples
}

// Figure returns a figure, one without samples if there is none.
func (fs Figures) Figure(name, variant string, at Setting) Figure {
	for _, f := range fs {
		if f.Name == name && f.Variant == variant && f.At.Is(at) {
			return f
		}
	}
	return Figure{}
}

// Values are the different values of a setting, sorted.
func (fs Figures) Values(key string) []float64 {
	seen := map[float64]bool{}
	for i := range fs {
		if v, ok := fs[i].At[key]; ok {
			seen[v] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// Cases are the different ones, in their order.
func (fs Figures) Cases() []string {
	var out []string
	for i := range fs {
		if c := fs[i].Case; !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

// Names are those of the figures with a variant, in their order.
func (fs Figures) Names(variant string) []string {
	var out []string
	for i := range fs {
		if f := &fs[i]; f.Variant == variant && !slices.Contains(out, f.Name) {
			out = append(out, f.Name)
		}
	}
	return out
}

// Write writes the run as JSON with a line for each figure, which keeps the
// file small and its changes readable.
func (r *Run) Write(w io.Writer) error {
	head := *r
	head.Figures = nil
	data, err := json.Marshal(head)
	if err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	if _, err := fmt.Fprintf(w, "%s\n", data); err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	for i := range r.Figures {
		data, err := json.Marshal(&r.Figures[i])
		if err != nil {
			return fmt.Errorf("write figure %s: %w", r.Figures[i].Name, err)
		}
		if _, err := fmt.Fprintf(w, "%s\n", data); err != nil {
			return fmt.Errorf("write figures: %w", err)
		}
	}
	return nil
}

// Read is the reverse of Write.
func Read(from io.Reader) (*Run, error) {
	lines := json.NewDecoder(from)
	var r Run
	if err := lines.Decode(&r); err != nil {
		return nil, fmt.Errorf("read figures: %w", err)
	}
	for lines.More() {
		var f Figure
		if err := lines.Decode(&f); err != nil {
			return nil, fmt.Errorf("read figure %d: %w", len(r.Figures)+1, err)
		}
		r.Figures = append(r.Figures, f)
	}
	return &r, nil
}
