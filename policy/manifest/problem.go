package manifest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Problem is something to tell the author of a manifest.
type Problem struct {
	// Source is the file and the line of the document, or of the very fault
	// where it is known: "shop.yaml:12".
	Source string
	// Object is kind, namespace and name: "NetworkPolicy shop/web". Empty where
	// none could be made out.
	Object string
	// Field is a path as "spec.ingress[0].ports[1].endPort", empty where the
	// problem is about the whole.
	Field string
	// Message says what is wrong and how to mend it.
	Message string
	// Notice: nothing is wrong, but the author may want to know.
	Notice bool
	// Topic says what kind of notice it is, so that many can be told as one.
	Topic Topic
}

// Topic is a kind of notice; the zero value is none that comes in numbers.
type Topic string

const (
	// OtherKind: an object of a kind of which nothing is read.
	OtherKind Topic = "other-kind"
	// Foreign: a document that is no Kubernetes object.
	Foreign Topic = "foreign"
	// NotGiven: a Namespace is named and not given. It changes verdicts.
	NotGiven Topic = "not-given"
	// Replaced: an object replaces another one of its name. It changes verdicts.
	Replaced Topic = "replaced"
	// NoAddress: a Pod has none.
	NoAddress Topic = "no-address"
)

// String is one line.
func (p Problem) String() string {
	var b strings.Builder
	for _, part := range []string{p.Source, p.Object, p.Field} {
		if part != "" {
			b.WriteString(part + ": ")
		}
	}
	if p.Notice {
		b.WriteString("notice: ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// place is where an object stands.
type place struct {
	source string
	// line counts from 1.
	line int
	// flat: the text no longer has the lines of the source, so all that is in
	// it is at this line.
	flat bool
}

func (p place) String() string { return p.source + ":" + strconv.Itoa(p.line) }

// after is the place behind text that begins at p.
func (p place) after(text []byte) place {
	if !p.flat {
		p.line += bytes.Count(text, newline)
	}
	return p
}

// below is the place some lines below p.
func (p place) below(lines int) place {
	p.line += lines
	return p
}

// flattened is p for a text without the lines of the source.
func (p place) flattened() place {
	p.flat = true
	return p
}

var newline = []byte("\n")

func (l *Loader) fail(at place, object, path, message string) {
	l.tell(at, Problem{Source: at.String(), Object: object, Field: path, Message: shorten(message)})
}

func (l *Loader) notice(at place, object, path, message string) {
	l.tell(at, Problem{Source: at.String(), Object: object, Field: path, Message: shorten(message), Notice: true})
}

// remark is a notice of a kind that comes in numbers.
func (l *Loader) remark(topic Topic, at place, object, path, message string) {
	l.tell(at, Problem{Source: at.String(), Object: object, Field: path, Message: shorten(message), Notice: true, Topic: topic})
}

// mostErrors and mostNotices are how many of them are listed for a source, so
// that a large file of nonsense stays readable, and its problems in memory.
const (
	mostErrors  = 1_000
	mostNotices = 100_000
)

// tally counts the problems of a source.
type tally struct{ errors, notices int }

func (l *Loader) tell(at place, p Problem) {
	if l.told == nil {
		l.told = make(map[string]tally)
	}
	t := l.told[at.source]
	if p.Notice {
		t.notices++
	} else {
		t.errors++
	}
	l.told[at.source] = t
	if p.Notice && t.notices <= mostNotices || !p.Notice && t.errors <= mostErrors {
		l.problems = append(l.problems, p)
	}
}

// untold says how many problems are not listed.
func (l *Loader) untold() {
	for _, source := range slices.Sorted(maps.Keys(l.told)) {
		if more := l.told[source].errors - mostErrors; more > 0 {
			l.problems = append(l.problems, Problem{Source: source, Message: fmt.Sprintf("%d more errors are not listed", more)})
		}
		if more := l.told[source].notices - mostNotices; more > 0 {
			l.problems = append(l.problems, Problem{Source: source, Message: fmt.Sprintf("%d more notices are not listed", more), Notice: true})
		}
	}
}

func (l *Loader) fieldErrors(at place, object string, errs field.ErrorList) {
	for _, err := range errs {
		l.fail(at, object, err.Field, err.ErrorBody())
	}
}

// longest keeps a message that quotes a value readable, whatever the value.
const longest = 600

func shorten(message string) string {
	message = strings.ToValidUTF8(message, "�")
	if len(message) <= longest {
		return message
	}
	cut := longest / 2
	for !utf8.RuneStart(message[cut]) {
		cut--
	}
	rest := len(message) - longest/2
	for !utf8.RuneStart(message[rest]) {
		rest++
	}
	return message[:cut] + " … " + message[rest:]
}
