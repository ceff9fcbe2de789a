// Package findings writes what a command found in the formats that code hosts, CI systems
// and scanners read: SARIF, JUnit's report and GitHub's workflow commands. What is
// found, and how a person reads it, is the command's.
package findings

import (
	"cmp"
	"encoding/json"
	"io"
	"strconv"
	"strings"
)

// Levels of a finding. A note is told and fails nothing.
const (
	Note    = "note"
	Warning = "warning"
	Error   = "error"
)

// Check is something that was looked for.
type Check struct {
	ID string
	// Says is what a finding says in a sentence, Why and Mend the rest of it.
	Says, Why, Mend string
	Level           string
	HelpURI         string
}

// Finding is one thing that was found.
type Finding struct {
	// ID is the check's.
	ID    string
	Level string
	// Object is as "NetworkPolicy shop/web", empty where there is none, and Field a
	// path in it.
	Object, Field string
	// File and Line are where it stands, as far as it is known.
	File string
	Line int
	// Message says what is, Mend what to do; it may be empty.
	Message, Mend string
	// Silenced is where somebody asked for silence.
	Silenced string
	// Key tells findings of one check apart when lines move; Object and Field do
	// where it is empty.
	Key string
}

// Result is what was found.
type Result struct {
	// Tool is the command's name, as "lint".
	Tool               string
	Checks             []Check
	Findings, Silenced []Finding
}

// about is the object and the field.
func (f *Finding) about() string {
	out := ""
	if f.Object != "" {
		out = f.Object + ": "
	}
	if f.Field != "" {
		out += f.Field + ": "
	}
	return out
}

// place is as compilers have it.
func (f *Finding) place() string {
	if f.File == "" || f.Line == 0 {
		return f.File
	}
	return f.File + ":" + strconv.Itoa(f.Line)
}

// Sentence is a finding in one line, without what to do.
func (f *Finding) Sentence() string {
	text := ""
	if at := f.place(); at != "" {
		text = at + ": "
	}
	return text + f.Level + ": " + f.about() + f.Message
}

// told is a finding with what to do.
func (f *Finding) told() string { return strings.TrimSuffix(f.Sentence()+"\n"+f.Mend, "\n") }

func (f *Finding) key() string { return cmp.Or(f.Key, f.Object+"\x00"+f.Field) }

func encode(w io.Writer, document any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(document)
}
