package lint

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Severity says how sure it is that something is wrong.
type Severity uint8

const (
	// Note: true, worth a look, and often meant so.
	Note Severity = iota
	// Warning: very likely not what was meant.
	Warning
	// Error: it cannot be what was meant.
	Error
)

func (s Severity) String() string { return [...]string{"note", "warning", "error"}[s] }

// MarshalText makes the severity a word in JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the word.
func (s *Severity) UnmarshalText(text []byte) error {
	got, ok := ParseSeverity(string(text))
	if !ok {
		return fmt.Errorf("parse severity %q: use note, warning or error", text)
	}
	*s = got
	return nil
}

// ParseSeverity reads a severity; ok is false for any other word.
func ParseSeverity(word string) (s Severity, ok bool) {
	for s = Note; s <= Error; s++ {
		if s.String() == word {
			return s, true
		}
	}
	return Note, false
}

// Object names what a finding is about. Namespace is empty for a Namespace, and all
// is for a file that could not be read.
type Object struct {
	Kind      string `json:"kind,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
}

func (o Object) String() string {
	switch {
	case o.Kind == "":
		return ""
	case o.Namespace == "":
		return strings.TrimSpace(o.Kind + " " + o.Name)
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

func (o Object) compare(p Object) int {
	return cmp.Or(cmp.Compare(o.Namespace, p.Namespace), cmp.Compare(o.Kind, p.Kind), cmp.Compare(o.Name, p.Name))
}

// Place is where something stands. Line counts from 1 and is 0 where it is not
// known; File is empty for an object of a cluster.
type Place struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
}

func (p Place) String() string {
	if p.File == "" || p.Line == 0 {
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line)
}

// Finding is one thing that a check found.
type Finding struct {
	// ID is the check's.
	ID       string   `json:"id"`
	Severity Severity `json:"severity"`
	Object   Object   `json:"object"`
	// Field is a path as "spec.ingress[0].from[1].podSelector", empty where it is
	// about the whole object.
	Field string `json:"field,omitempty"`
	Place Place  `json:"place"`
	// Message says what is, Mend what to do.
	Message string `json:"message"`
	Mend    string `json:"mend"`
	// Silenced is where somebody asked for silence: "annotation" or the place of a
	// comment. Empty where nobody did.
	Silenced string `json:"silenced,omitempty"`
}

// Result is what linting found.
type Result struct {
	// Findings are those that nobody silenced, Silenced the others; both are sorted
	// by place, object, field and check.
	Findings []Finding
	Silenced []Finding
	// Objects counts what was linted.
	Objects Counts
}

// Counts are how many objects the input has. Workloads are those with a template,
// and Pods.
type Counts struct {
	Policies   int `json:"policies"`
	Workloads  int `json:"workloads"`
	Namespaces int `json:"namespaces"`
	Services   int `json:"services"`
}

// Worst reports whether a finding is of that severity or a higher one.
func (r *Result) Worst(least Severity) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity >= least })
}

// Count counts the findings of a severity.
func (r *Result) Count(s Severity) int {
	n := 0
	for i := range r.Findings {
		if r.Findings[i].Severity == s {
			n++
		}
	}
	return n
}

func sortFindings(list []Finding) {
	slices.SortStableFunc(list, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(a.Place.File, b.Place.File), cmp.Compare(a.Place.Line, b.Place.Line),
			a.Object.compare(b.Object), cmp.Compare(a.Field, b.Field),
			cmp.Compare(a.ID, b.ID), cmp.Compare(a.Message, b.Message),
		)
	})
}

// path is a field's place in an object: keys (string) and indices (int).
type path []any

// at extends a path, without touching the one it extends.
func (p path) at(steps ...any) path { return append(slices.Clip(slices.Clone(p)), steps...) }

// String writes keys with a dot or a slash in brackets, as the API server does.
func (p path) String() string {
	var b strings.Builder
	for _, step := range p {
		switch step := step.(type) {
		case int:
			b.WriteString("[" + strconv.Itoa(step) + "]")
		case string:
			switch {
			case strings.ContainsAny(step, "./"):
				b.WriteString("[" + step + "]")
			case b.Len() > 0:
				b.WriteString("." + step)
			default:
				b.WriteString(step)
			}
		}
	}
	return b.String()
}
