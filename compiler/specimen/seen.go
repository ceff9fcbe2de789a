package specimen

import (
	"reflect"
	"slices"

	"github.com/sluice-net/sluice/compiler"
)

// Seen counts the kinds of terms and the fields of packets that a test came by.
type Seen struct{ count counter }

// counter counts what it is told of.
type counter struct {
	kinds  map[string]int
	fields [compiler.FieldCount]int
}

var _ compiler.Visitor = (*counter)(nil)

// Rule notes what a rule consists of.
func (s *Seen) Rule(r compiler.Rule) {
	for _, t := range r.Terms {
		t.Visit(&s.count)
	}
}

// Missing are the kinds, and the fields, that no rule had.
func (s *Seen) Missing() []string {
	var out []string
	all := reflect.TypeFor[compiler.Visitor]()
	for i := range all.NumMethod() {
		if name := all.Method(i).Name; s.count.kinds[name] == 0 {
			out = append(out, name)
		}
	}
	for f := compiler.NoField + 1; f < compiler.FieldCount; f++ {
		if s.count.fields[f] == 0 {
			out = append(out, f.String())
		}
	}
	return slices.Sorted(slices.Values(out))
}

func (c *counter) note(t compiler.Term, fields ...compiler.Field) {
	if c.kinds == nil {
		c.kinds = map[string]int{}
	}
	c.kinds[reflect.TypeOf(t).Name()]++
	for _, f := range fields {
		c.fields[f]++
	}
}

func (c *counter) Is(t compiler.Is)                         { c.note(t, t.Field) }
func (c *counter) OneOf(t compiler.OneOf)                   { c.note(t, t.Field) }
func (c *counter) Between(t compiler.Between)               { c.note(t, t.Field) }
func (c *counter) AtMost(t compiler.AtMost)                 { c.note(t, t.Field) }
func (c *counter) Within(t compiler.Within)                 { c.note(t, t.Field) }
func (c *counter) Masked(t compiler.Masked)                 { c.note(t, t.Field) }
func (c *counter) InState(t compiler.InState)               { c.note(t, compiler.ConnState) }
func (c *counter) Exists(t compiler.Exists)                 { c.note(t, t.Field) }
func (c *counter) In(t compiler.In)                         { c.note(t, t.Key[:t.Key.Len()]...) }
func (c *counter) Count(t compiler.Count)                   { c.note(t) }
func (c *counter) CountNamed(t compiler.CountNamed)         { c.note(t) }
func (c *counter) CountMapped(t compiler.CountMapped)       { c.note(t, t.Key[:t.Key.Len()]...) }
func (c *counter) MarkConnection(t compiler.MarkConnection) { c.note(t, compiler.ConnMark) }
func (c *counter) Remember(t compiler.Remember)             { c.note(t, t.Key[:t.Key.Len()]...) }
func (c *counter) Limit(t compiler.Limit)                   { c.note(t) }
func (c *counter) Log(t compiler.Log)                       { c.note(t) }
func (c *counter) Accept(t compiler.Accept)                 { c.note(t) }
func (c *counter) Drop(t compiler.Drop)                     { c.note(t) }
func (c *counter) Return(t compiler.Return)                 { c.note(t) }
func (c *counter) Jump(t compiler.Jump)                     { c.note(t) }
func (c *counter) Goto(t compiler.Goto)                     { c.note(t) }
func (c *counter) VerdictMap(t compiler.VerdictMap)         { c.note(t, t.Key[:t.Key.Len()]...) }
func (c *counter) Reject(t compiler.Reject)                 { c.note(t) }
