package compiler

import "net/netip"

// Is holds if a field has a value.
type Is struct {
	matching
	Field Field
	Not   bool
	Value Value
}

// Visit calls the method for such terms.
func (m Is) Visit(v Visitor) { v.Is(m) }

func (m Is) appendText(out []byte) []byte {
	out = appendNot(append(append(out, m.Field.String()...), ' '), m.Not)
	return m.Field.appendValue(out, m.Value)
}

// OneOf holds if a field has one of some values, each different. They are a set of the
// rule's own, but for a single one.
type OneOf struct {
	matching
	Field Field
	Not   bool
	// Values are those of [Value.Bytes], one after the other.
	Values string
}

// Visit calls the method for such terms.
func (m OneOf) Visit(v Visitor) { v.OneOf(m) }

func (m OneOf) appendText(out []byte) []byte {
	out = appendNot(append(append(out, m.Field.String()...), ' '), m.Not)
	out = append(out, "{ "...)
	size := m.Field.Size()
	for at := 0; at+size <= len(m.Values); at += size {
		if at > 0 {
			out = append(out, ", "...)
		}
		out = m.Field.appendValue(out, valueOf(m.Values[at:at+size]))
	}
	return append(out, " }"...)
}

// Between holds if a field is in a range, of which both ends are part.
type Between struct {
	matching
	Field       Field
	First, Last Value
}

// Visit calls the method for such terms.
func (m Between) Visit(v Visitor) { v.Between(m) }

func (m Between) appendText(out []byte) []byte {
	out = append(append(out, m.Field.String()...), ' ')
	out = m.Field.appendValue(out, m.First)
	return m.Field.appendValue(append(out, '-'), m.Last)
}

// AtMost holds if a field is not larger than a value.
type AtMost struct {
	matching
	Field Field
	Value Value
}

// Visit calls the method for such terms.
func (m AtMost) Visit(v Visitor) { v.AtMost(m) }

func (m AtMost) appendText(out []byte) []byte {
	out = append(append(out, m.Field.String()...), " <= "...)
	return m.Field.appendValue(out, m.Value)
}

// Within holds if an address is in a prefix, of one bit at least.
type Within struct {
	matching
	Field  Field
	Not    bool
	Prefix netip.Prefix
}

// Visit calls the method for such terms.
func (m Within) Visit(v Visitor) { v.Within(m) }

func (m Within) appendText(out []byte) []byte {
	out = appendNot(append(append(out, m.Field.String()...), ' '), m.Not)
	return m.Prefix.AppendTo(out)
}

// Masked holds if some bits of a field have a value.
type Masked struct {
	matching
	Field       Field
	Not         bool
	Mask, Value Value
}

// Visit calls the method for such terms.
func (m Masked) Visit(v Visitor) { v.Masked(m) }

func (m Masked) appendText(out []byte) []byte {
	out = append(append(out, m.Field.String()...), " & "...)
	// A mask of several flags is an expression to nft.
	if m.Field.Type() == TCPFlag {
		out = append(m.Field.appendValue(append(out, '('), m.Mask), ')')
	} else {
		out = m.Field.appendValue(out, m.Mask)
	}
	if m.Not {
		out = append(out, " != "...)
	} else {
		out = append(out, " == "...)
	}
	return m.Field.appendValue(out, m.Value)
}

// InState holds if the connection is in one of some states.
type InState struct {
	matching
	States uint32
}

// Visit calls the method for such terms.
func (m InState) Visit(v Visitor) { v.InState(m) }

func (m InState) appendText(out []byte) []byte {
	out = append(append(out, ConnState.String()...), ' ')
	return ConnState.appendValue(out, ConnState.Number(m.States))
}

// Exists holds if a packet has the header that a field is.
type Exists struct {
	matching
	Field Field
}

// Visit calls the method for such terms.
func (m Exists) Visit(v Visitor) { v.Exists(m) }

func (m Exists) appendText(out []byte) []byte {
	return append(append(out, m.Field.String()...), " exists"...)
}

// In holds if a set has the fields as an element.
type In struct {
	Key Concat
	Not bool
	Set string
	// Ranges: elements of the set may be ranges, which is another comparison to the
	// kernel.
	Ranges bool
}

// Visit calls the method for such terms.
func (m In) Visit(v Visitor) { v.In(m) }

func (m In) appendText(out []byte) []byte {
	return appendName(appendNot(append(m.Key.appendText(out), ' '), m.Not), m.Set)
}

func (m In) names(yield func(string) bool) bool { return yield(m.Set) }

func (In) isMatch() bool { return true }

// is, oneOf and the rest are for whoever writes rules.
func is(f Field, v Value) Term { return Is{Field: f, Value: v} }

func isNumber(f Field, n uint32) Term { return Is{Field: f, Value: f.Number(n)} }

func isNot(f Field, n uint32) Term { return Is{Field: f, Not: true, Value: f.Number(n)} }

func oneOf(f Field, list ...uint32) Term { return OneOf{Field: f, Values: f.Numbers(list...)} }

func between(f Field, first, last uint32) Term {
	return Between{Field: f, First: f.Number(first), Last: f.Number(last)}
}

func atMost(f Field, n uint32) Term { return AtMost{Field: f, Value: f.Number(n)} }

func within(f Field, p netip.Prefix) Term { return Within{Field: f, Prefix: p} }

func outside(f Field, p netip.Prefix) Term { return Within{Field: f, Not: true, Prefix: p} }

func in(set string, key ...Field) Term { return In{Key: concat(key...), Set: set} }

func notIn(set string, key ...Field) Term { return In{Key: concat(key...), Not: true, Set: set} }

// maskedNumber compares some bits of a number.
func maskedNumber(f Field, mask, value uint32) Term {
	return Masked{Field: f, Mask: f.Number(mask), Value: f.Number(value)}
}
