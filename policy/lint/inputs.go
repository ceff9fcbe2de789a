package lint

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/policy/manifest"
)

func inputChecks() []check {
	return []check{
		{Check{
			ID: "invalid-object", Severity: Error,
			Says:   "The API server would refuse the object.",
			Why:    "It is not applied, and what was there before stays. Sluice itself has a policy with an error allow nothing, and isolate.",
			Mend:   "As the message says.",
			Silent: "Kinds that have nothing to do with policies; what newer versions of Kubernetes may know. An object with an error is not linted further.",
		}, (*linter).invalidObjects},
		{Check{
			ID: "unreadable", Severity: Error,
			Says:   "A document of the input could not be read, or is no object.",
			Why:    "A policy in it would be missed.",
			Mend:   "As the message says, or leave the file out.",
			Silent: "Valid documents that are no Kubernetes objects: they belong to something else, and are counted apart.",
		}, (*linter).unreadables},
		{Check{
			ID: "object-given-twice", Severity: Warning,
			Says:   "Two objects of one name differ. The later one is linted, as it is the one that stays where both are applied in this order.",
			Why:    "Which of them holds depends on the order in which files are applied.",
			Mend:   "Remove one, or lint what is applied together by itself.",
			Silent: "The two are alike. Of kinds other than NetworkPolicy and Namespace it is a note.",
		}, (*linter).givenTwice},
		{Check{
			ID: "unknown-ignore", Severity: Warning,
			Says:   "An annotation or a comment silences a check that does not exist.",
			Why:    "It silences nothing, or no longer.",
			Mend:   "Write the ID of a check of this page, or remove it.",
			Silent: "A check that exists and finds nothing here.",
		}, (*linter).unknownIgnores},
	}
}

func (l *linter) invalidObjects() {
	for _, p := range l.input.Problems {
		if !p.Notice && p.Object != "" {
			l.findProblem(Error, p, "mend this first: an object with an error is not linted further")
		}
	}
}

func (l *linter) unreadables() {
	for _, p := range l.input.Problems {
		if p.Notice || p.Object != "" {
			continue
		}
		l.findProblem(Error, p, "mend the file, or leave it out")
	}
}

func (l *linter) givenTwice() {
	for _, p := range l.input.Problems {
		if p.Topic != manifest.Replaced {
			continue
		}
		severity := Note
		if kind := objectOf(p.Object).Kind; kind == "NetworkPolicy" || kind == "Namespace" {
			severity = Warning
		}
		l.findProblem(severity, p, "remove one, or lint what is applied together by itself")
	}
}

// findProblem is find for what the Loader said, which has a place of its own.
func (l *linter) findProblem(s Severity, p manifest.Problem, mend string) {
	o := objectOf(p.Object)
	l.find(s, o, nil, p.Message, mend)
	f := &l.findings[len(l.findings)-1]
	f.Field = p.Field
	if at := placeOf(p.Source); at.File != "" {
		f.Place = at
	}
}

// objectOf reads "Kind namespace/name" and its shorter forms.
func objectOf(text string) Object {
	kind, rest, _ := strings.Cut(text, " ")
	namespace, name, found := strings.Cut(rest, "/")
	if !found {
		namespace, name = "", rest
	}
	return Object{Kind: kind, Namespace: namespace, Name: name}
}

// placeOf reads "file:line"; a file alone has no line.
func placeOf(source string) Place {
	if i := strings.LastIndexByte(source, ':'); i >= 0 {
		if line, err := strconv.Atoi(source[i+1:]); err == nil {
			return Place{source[:i], line}
		}
	}
	return Place{File: source}
}

func (l *linter) unknownIgnores() {
	const mend = "write the ID of a check, or remove it"
	for _, s := range l.input.Outline.Objects() {
		o := Object{Kind: s.Kind, Namespace: s.Namespace, Name: s.Name}
		if s.Kind == "Namespace" || s.Kind == "Node" {
			o.Namespace = ""
		}
		for _, word := range listed(s.Annotations[IgnoreAnnotation]) {
			if word != "*" && !known(word) {
				l.findIn(s, Warning, o, path{"metadata", "annotations", IgnoreAnnotation}, fmt.Sprintf("there is no check %q%s", word, meant(word)), mend)
			}
		}
	}
	for _, d := range l.input.Outline.AllDirectives() {
		list, is := strings.CutPrefix(d.Text, ignoreComment)
		if !is {
			if word, _, _ := strings.Cut(d.Text, ":"); strings.HasPrefix(word, "lint-") && similar(word, "lint-ignore") {
				l.findComment(d, fmt.Sprintf("there is no comment sluice-%s: write sluice-lint-ignore:", word), mend)
			}
			continue
		}
		for _, word := range listed(list) {
			if word != "*" && !known(word) {
				l.findComment(d, fmt.Sprintf("there is no check %q%s", word, meant(word)), mend)
			}
		}
	}
}

func (l *linter) findComment(d manifest.Directive, message, mend string) {
	l.findings = append(l.findings, Finding{
		ID: l.check.ID, Severity: Warning, Place: Place{d.Source, d.Line}, Message: message, Mend: mend,
	})
}

// meant completes a message with the check whose ID is nearly that.
func meant(word string) string {
	all := Checks()
	if i := slices.IndexFunc(all, func(c Check) bool { return similar(c.ID, word) }); i >= 0 {
		return ": did you mean " + all[i].ID + "?"
	}
	return ""
}
