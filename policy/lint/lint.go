package lint

import (
	"slices"
	"strings"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/manifest"
)

// Input is what is linted.
type Input struct {
	// Set and Problems are what a [manifest.Loader] returns.
	Set      manifest.Set
	Problems []manifest.Problem
	// Outline is of the same manifests: places, comments, and the Pods that
	// workloads would make.
	Outline *manifest.Outline
}

// Run makes all checks.
func Run(in Input) Result {
	if in.Outline == nil {
		in.Outline = &manifest.Outline{}
	}
	l := &linter{world: newWorld(in), input: in}
	for _, g := range groups() {
		for _, c := range g.checks {
			l.check = c.Check
			c.run(l)
		}
	}
	sortFindings(l.findings)
	out := Result{Objects: Counts{
		Policies: len(in.Set.Policies), Workloads: len(l.ends),
		Namespaces: len(in.Set.Namespaces), Services: len(in.Set.Services),
	}}
	for _, f := range slices.Compact(l.findings) {
		if f.Silenced != "" {
			out.Silenced = append(out.Silenced, f)
		} else {
			out.Findings = append(out.Findings, f)
		}
	}
	return out
}

// linter is one run of all checks.
type linter struct {
	*world
	input    Input
	check    Check
	findings []Finding

	// Results that several checks share.
	covers *coverage
}

// find notes a finding of the check that is being made. A severity above the
// check's own would make the documentation a lie.
func (l *linter) find(s Severity, o Object, at path, message, mend string) {
	l.findIn(l.input.Outline.Find(o.Kind, o.Namespace, o.Name), s, o, at, message, mend)
}

// findIn notes a finding of an object that stands there; nil is nowhere.
func (l *linter) findIn(sketch *manifest.Sketch, s Severity, o Object, at path, message, mend string) {
	f := Finding{
		ID: l.check.ID, Severity: min(s, l.check.Severity), Object: o, Field: at.String(),
		Message: message, Mend: mend,
	}
	annotations := l.annotated[o]
	if sketch != nil {
		annotations = sketch.Annotations
		where := sketch.Field(at...)
		f.Place = Place{sketch.Source, where.Line}
		f.Silenced = silencedByComment(f.ID, sketch, where)
	}
	if f.Silenced == "" && ignores(annotations[IgnoreAnnotation], f.ID) {
		f.Silenced = "annotation"
	}
	l.findings = append(l.findings, f)
}

// IgnoreAnnotation on an object silences the checks that it lists, separated by
// commas; "*" silences all.
const IgnoreAnnotation = "sluice-net.github.io/lint-ignore"

// ignoreComment is what a comment begins with that silences checks at a field:
// "# sluice-lint-ignore: id, id".
const ignoreComment = "lint-ignore:"

// ignores reports whether a list of checks has this one. What follows the list
// after a space and is no check is the author's reason.
func ignores(list, id string) bool {
	return slices.ContainsFunc(listed(list), func(word string) bool { return word == id || word == "*" })
}

// listed are the words before a reason: IDs are separated by commas, and the first
// word that no comma leads to ends the list.
func listed(list string) []string {
	var out []string
	for _, part := range strings.Split(list, ",") {
		words := strings.Fields(part)
		if len(words) == 0 {
			continue
		}
		if out = append(out, words[0]); len(words) > 1 {
			break
		}
	}
	return out
}

func silencedByComment(id string, s *manifest.Sketch, at manifest.Field) string {
	for _, d := range s.Directives(at) {
		if list, ok := strings.CutPrefix(d.Text, ignoreComment); ok && ignores(list, id) {
			return "comment at " + d.String()
		}
	}
	return ""
}

// directionField is the field of a policy's rules.
func directionField(d policy.Direction) string {
	if d == policy.Egress {
		return "egress"
	}
	return "ingress"
}

// peerField is the field of a rule's peers.
func peerField(d policy.Direction) string {
	if d == policy.Egress {
		return "to"
	}
	return "from"
}

var directions = []policy.Direction{policy.Ingress, policy.Egress}
