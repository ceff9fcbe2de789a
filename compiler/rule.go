package compiler

import "slices"

// Rule is a rule as data: what it asks of a packet and what it does, in the order in
// which the kernel takes them. The first term that does not hold ends the rule. There
// are two renderings: as nft's text ([Rule.String]), by which chains are named too, and
// as the kernel's bytes, which whoever talks to the kernel has ([Visitor]).
type Rule struct {
	Terms   []Term
	Comment string
}

// Term is a match, a statement or a verdict. The set is closed: a kind is a type of this
// package, with its text. [Visitor] has a method for each, so that what renders rules
// some other way and lacks one does not compile.
//
// Terms are values that can be compared: two are the same if they are equal.
type Term interface {
	// Visit calls the method of v for the term's kind.
	Visit(v Visitor)
	// appendText writes the term as nft does.
	appendText(out []byte) []byte
	// names yields the names of sets, chains and counters that it refers to, until
	// yield returns false, and reports whether it never did.
	names(yield func(string) bool) bool
	isMatch() bool
}

// IsMatch reports whether the term only asks something of a packet.
func IsMatch(t Term) bool { return t.isMatch() }

// Visitor is told of terms, each by its kind.
type Visitor interface {
	matchVisitor
	statementVisitor
	verdictVisitor
}

type matchVisitor interface {
	Is(Is)
	OneOf(OneOf)
	Between(Between)
	AtMost(AtMost)
	Within(Within)
	Masked(Masked)
	InState(InState)
	Exists(Exists)
	In(In)
}

type statementVisitor interface {
	Count(Count)
	CountNamed(CountNamed)
	CountMapped(CountMapped)
	MarkConnection(MarkConnection)
	Remember(Remember)
	Limit(Limit)
	Log(Log)
}

type verdictVisitor interface {
	Accept(Accept)
	Drop(Drop)
	Return(Return)
	Jump(Jump)
	Goto(Goto)
	VerdictMap(VerdictMap)
	Reject(Reject)
}

// rule puts one together.
func rule(terms ...Term) Rule { return Rule{Terms: terms} }

// because gives it a comment.
func (r Rule) because(comment string) Rule {
	r.Comment = comment
	return r
}

// inBoth makes a rule for each family, beside one another, with IPv4 first.
func inBoth(of func(f family) Rule) []Rule {
	out := make([]Rule, len(families))
	for i, f := range families {
		out[i] = of(f)
	}
	return out
}

// String is the rule as nft writes it, without its comment.
func (r Rule) String() string { return string(r.appendText(make([]byte, 0, 128))) }

func (r Rule) appendText(out []byte) []byte {
	for i, t := range r.Terms {
		if i > 0 {
			out = append(out, ' ')
		}
		out = t.appendText(out)
	}
	return out
}

// Equal reports whether two rules are the same.
func (r Rule) Equal(o Rule) bool { return r.Comment == o.Comment && slices.Equal(r.Terms, o.Terms) }

// Refers reports whether the rule names something of which it is asked: a set, a chain
// or a counter.
func (r Rule) Refers(to func(name string) bool) bool {
	return slices.ContainsFunc(r.Terms, func(t Term) bool {
		return !t.names(func(name string) bool { return !to(name) })
	})
}

// matching is of matches that refer to nothing, acting of statements and verdicts.
type matching struct{}

func (matching) names(func(string) bool) bool { return true }

func (matching) isMatch() bool { return true }

type acting struct{}

func (acting) names(func(string) bool) bool { return true }

func (acting) isMatch() bool { return false }

// appendName writes a set's name.
func appendName(out []byte, set string) []byte { return append(append(out, '@'), set...) }

// appendNot writes what turns a match round.
func appendNot(out []byte, not bool) []byte {
	if not {
		return append(out, "!= "...)
	}
	return out
}
