package specimen

import (
	"reflect"
	"slices"

	"github.com/sluice-net/sluice/compiler"
)

// Seen counts the kinds of terms and the fields of packets that a test came by. It is a
// [compiler.Visitor].
type Seen struct {
	kinds  map[string]int
	fields [compiler.FieldCount]int
}

var _ compiler.Visitor = (*Seen)(nil)

// Rule notes what a rule consists of.
func (s *Seen) Rule(r compiler.Rule) {
	for _, t := range r.Terms {
		t.Visit(s)
	}
}

// Missing are the kinds, and the fields, that no rule had.
func (s *Seen) Missing() []string {
	var out []string
	all := reflect.TypeFor[compiler.Visitor]()
	for i := range all.NumMethod() {
		if name := all.Method(i).Name; s.kinds[name] == 0 {
			out = append(out, name)
		}
	}
	for f := compiler.NoField + 1; f < compiler.FieldCount; f++ {
		if s.fields[f] == 0 {
			out = append(out, f.String())
		}
	}
	return slices.Sorted(slices.Values(out))
}

func (s *Seen) note(t compiler.Term, fields ...compiler.Field) {
	if s.kinds == nil {
		s.kinds = map[string]int{}
	}
	s.kinds[reflect.TypeOf(t).Name()]++
	for _, f := range fields {
		s.fields[f]++
	}
}

func (s *Seen) Is(t compiler.Is)                         { s.note(t, t.Field) }
func (s *Seen) OneOf(t compiler.OneOf)                   { s.note(t, t.Field) }
func (s *Seen) Between(t compiler.Between)               { s.note(t, t.Field) }
func (s *Seen) AtMost(t compiler.AtMost)                 { s.note(t, t.Field) }
func (s *Seen) Within(t compiler.Within)                 { s.note(t, t.Field) }
func (s *Seen) Masked(t compiler.Masked)                 { s.note(t, t.Field) }
func (s *Seen) InState(t compiler.InState)               { s.note(t, compiler.ConnState) }
func (s *Seen) Exists(t compiler.Exists)                 { s.note(t, t.Field) }
func (s *Seen) In(t compiler.In)                         { s.note(t, t.Key[:t.Key.Len()]...) }
func (s *Seen) Count(t compiler.Count)                   { s.note(t) }
func (s *Seen) CountNamed(t compiler.CountNamed)         { s.note(t) }
func (s *Seen) CountMapped(t compiler.CountMapped)       { s.note(t, t.Key[:t.Key.Len()]...) }
func (s *Seen) MarkConnection(t compiler.MarkConnection) { s.note(t, compiler.ConnMark) }
func (s *Seen) Remember(t compiler.Remember)             { s.note(t, t.Key[:t.Key.Len()]...) }
func (s *Seen) Log(t compiler.Log)                       { s.note(t) }
func (s *Seen) Accept(t compiler.Accept)                 { s.note(t) }
func (s *Seen) Drop(t compiler.Drop)                     { s.note(t) }
func (s *Seen) Return(t compiler.Return)                 { s.note(t) }
func (s *Seen) Jump(t compiler.Jump)                     { s.note(t) }
func (s *Seen) Goto(t compiler.Goto)                     { s.note(t) }
func (s *Seen) VerdictMap(t compiler.VerdictMap)         { s.note(t, t.Key[:t.Key.Len()]...) }
func (s *Seen) Reject(t compiler.Reject)                 { s.note(t) }
