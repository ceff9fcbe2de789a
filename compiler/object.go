package compiler

import (
	"time"

	"sigs.k8s.io/knftables"
)

// Object is what an operation is about, as data: *[Table], *[Chain] without its rules,
// *[Set] without its elements, *[Counter], *[ChainRule] or *[SetElement]. The set is
// closed. Objects leave out family and table.
type Object interface {
	// Knftables is the object in the terms of knftables, for whoever has nft do the
	// operation: rules and elements are text there.
	Knftables() knftables.Object
	object()
}

// Table is the table itself.
type Table struct{}

// Counter is a counter of the table.
type Counter struct{ Name string }

// ChainRule is a rule at the end of a chain.
type ChainRule struct {
	Chain string
	Rule
}

// SetElement is an element of a set, of which a deletion needs the key alone.
type SetElement struct {
	Set *Set
	Element
}

func (*Table) object()      {}
func (*Counter) object()    {}
func (*Chain) object()      {}
func (*Set) object()        {}
func (*ChainRule) object()  {}
func (*SetElement) object() {}

// Knftables is the table that knftables was set up with.
func (*Table) Knftables() knftables.Object { return &knftables.Table{} }

// Knftables leaves the counter at what it has.
func (c *Counter) Knftables() knftables.Object { return &knftables.Counter{Name: c.Name} }

// Knftables leaves out the rules.
func (c *Chain) Knftables() knftables.Object {
	out := &knftables.Chain{Name: c.Name}
	if c.Hook != nil {
		kind, h := knftables.FilterType, *c.Hook
		out.Type, out.Hook, out.Priority, out.Policy = &kind, &h.Name, &h.Priority, &h.Policy
		if h.Device != "" {
			out.Device = &h.Device
		}
	}
	return out
}

// Knftables leaves out the elements.
func (s *Set) Knftables() knftables.Object {
	kind := s.Key.String()
	if s.Value != NoValue {
		return &knftables.Map{Name: s.Name, Type: kind + " : " + s.Value.String(), Flags: s.flags()}
	}
	out := &knftables.Set{Name: s.Name, Type: kind, Flags: s.flags()}
	if s.Unnamed() {
		out.Type, out.TypeOf = "", s.Key.fields()
	}
	if s.Dynamic() {
		out.Timeout = ptr(s.Timeout)
	}
	if s.Size != 0 {
		out.Size = ptr(s.Size)
	}
	return out
}

func ptr[T time.Duration | uint64](v T) *T { return &v }

func (s *Set) flags() []knftables.SetFlag {
	switch {
	case s.Interval:
		return []knftables.SetFlag{knftables.IntervalFlag}
	case s.Dynamic():
		return []knftables.SetFlag{knftables.DynamicFlag, knftables.TimeoutFlag}
	}
	return nil
}

// Knftables has the rule as nft writes it.
func (r *ChainRule) Knftables() knftables.Object {
	out := &knftables.Rule{Chain: r.Chain, Rule: r.String()}
	if r.Comment != "" {
		out.Comment = &r.Comment
	}
	return out
}

// Knftables has the key as nft writes it.
func (e *SetElement) Knftables() knftables.Object {
	out := &knftables.Element{Key: e.Set.keyTexts(e.Key)}
	if e.Set.Value == NoValue {
		out.Set = e.Set.Name
		return out
	}
	out.Map = e.Set.Name
	if e.Value.Do != Nothing {
		out.Value = []string{string(e.Value.appendText(nil))}
	}
	return out
}

// Describe says what an operation does, for errors and logs.
func (op Op) Describe() string {
	verb := [...]string{Add: "add", Delete: "delete", Flush: "flush"}[op.Verb]
	switch o := op.Object.(type) {
	case *SetElement:
		out := verb + " element " + o.Set.KeyText(o.Key) + " of " + o.Set.Name
		if o.Value.Do != Nothing {
			out += " " + string(o.Value.appendText(nil))
		}
		return out
	case *ChainRule:
		return verb + " rule of chain " + o.Chain + ": " + o.String()
	case *Chain:
		return verb + " chain " + o.Name
	case *Set:
		out := verb + " set " + o.Name
		if o.Key.Len() > 0 {
			out += " of " + o.Key.String()
		}
		return out
	case *Counter:
		return verb + " counter " + o.Name
	}
	return verb + " table"
}

// NameOf is the name of an object that others refer to, empty for one of another kind.
// Each letter of names stands for a kind, so no two kinds share one.
func NameOf(o Object) string {
	switch o := o.(type) {
	case *Chain:
		return o.Name
	case *Set:
		return o.Name
	case *Counter:
		return o.Name
	}
	return ""
}
