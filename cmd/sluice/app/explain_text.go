package app

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/question"
)

// palette colours text for a terminal; the zero palette leaves it plain.
type palette struct{ on bool }

func (p palette) paint(code, s string) string {
	if !p.on {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p palette) green(s string) string { return p.paint("32", s) }
func (p palette) red(s string) string   { return p.paint("31", s) }
func (p palette) bold(s string) string  { return p.paint("1", s) }
func (p palette) faint(s string) string { return p.paint("2", s) }

func (p palette) verdict(allowed bool) string {
	if allowed {
		return p.bold(p.green("ALLOWED"))
	}
	return p.bold(p.red("DENIED"))
}

func (p palette) mark(matched bool) string {
	if matched {
		return p.green("✓")
	}
	return p.red("✗")
}

// text writes the explanation as a page.
func (e explanation) text(b *bytes.Buffer, p palette) {
	f := e.flow
	verdict := p.verdict(e.verdict.Allowed)
	if len(e.depends) > 0 {
		verdict = p.bold("DEPENDS")
	}
	fmt.Fprintf(b, "%s  %s\n", verdict, p.bold(e.name))
	fmt.Fprintf(b, "  from %s\n  to   %s\n", e.endDetail(f.Src), e.endDetail(f.Dst))
	for i, d := range e.depends {
		word := "on"
		if i > 0 {
			word = "or"
		}
		fmt.Fprintf(b, "  %s whether %s\n", word, d)
	}
	if len(e.depends) > 0 {
		fmt.Fprintln(b, "  below is what holds if it is not")
	}
	for _, n := range e.notices {
		fmt.Fprintf(b, "  note: %s\n", n)
	}
	e.direction(b, p, e.verdict.Egress)
	e.direction(b, p, e.verdict.Ingress)
	e.audit(b, p)
}

func (e explanation) endDetail(end policy.End) string {
	known := end.Addr.String()
	if question.StandIn(end.Addr) {
		known = "no address yet"
	}
	if end.Pod == nil {
		if of := e.stands[end.Addr]; of != "" {
			return known + ", no Pod, for all of " + of
		}
		return known + ", no Pod"
	}
	s := fmt.Sprintf("Pod %s, %s", end.Pod.NamespacedName, known)
	if end.Pod.Node != "" {
		s += ", on node " + end.Pod.Node
	}
	if len(end.Pod.Labels) > 0 {
		s += ", labels " + labelList(end.Pod.Labels)
	}
	return s
}

func (e explanation) direction(b *bytes.Buffer, p palette, d policy.DirectionVerdict) {
	title := "Egress from " + question.EndName(e.flow.Src)
	if d.Direction == policy.Ingress {
		title = "Ingress to " + question.EndName(e.flow.Dst)
	}
	fmt.Fprintf(b, "\n%s: %s\n  %s\n", p.bold(title), p.verdict(d.Allowed), question.Reason(e.flow, d))
	for _, n := range e.nearly {
		if n.Direction == d.Direction {
			fmt.Fprintf(b, "  %s: %s\n", p.bold("near miss"), n)
		}
	}
	if len(d.Claims) == 0 {
		e.policies(b, p, d)
		return
	}
	for _, c := range d.Claims {
		fmt.Fprintf(b, "\n  by the policies of Pod %s: %s\n", p.bold(c.Pod.String()), p.verdict(c.Allowed))
		e.policies(b, p, c.DirectionVerdict)
	}
}

func (e explanation) policies(b *bytes.Buffer, p palette, d policy.DirectionVerdict) {
	for _, trace := range d.Policies {
		e.policy(b, p, d, trace)
	}
}

func (e explanation) policy(b *bytes.Buffer, p palette, d policy.DirectionVerdict, trace policy.PolicyTrace) {
	audited := ""
	if trace.Audited {
		audited = " (audited)"
	}
	fmt.Fprintf(b, "\n  policy %s%s\n", p.bold(trace.Policy.String()), audited)
	for _, problem := range trace.Problems {
		fmt.Fprintf(b, "    invalid: %s\n", problem)
	}
	if len(trace.Rules) == 0 {
		fmt.Fprintf(b, "    has no %s rule, so it allows nothing\n", d.Direction)
	}
	for _, r := range trace.Rules {
		var suffix string
		switch {
		case r.Matched():
			suffix = p.green(" allows")
		case d.Nearest != nil && *d.Nearest == r.RuleRef:
			suffix = " does not allow" + p.bold("  ← nearest miss")
		default:
			suffix = " does not allow"
		}
		fmt.Fprintf(b, "    %s %s[%d]%s\n", p.mark(r.Matched()), r.Direction, r.Rule, suffix)
		if r.Invalid != "" {
			fmt.Fprintf(b, "        invalid: %s\n", r.Invalid)
		}
		peers := "from"
		if r.Direction == policy.Egress {
			peers = "to"
		}
		parts(b, p, peers, r.Peers, r.PeerMatched, "every peer")
		parts(b, p, "ports", r.Ports, r.PortMatched, "every port and protocol")
	}
}

// parts writes a from, to or ports list, or that it is left out.
func parts(b *bytes.Buffer, p palette, list string, entries []policy.PartTrace, matched bool, all string) {
	if len(entries) == 0 {
		if matched {
			fmt.Fprintf(b, "        %s %-8s is left out: %s\n", p.mark(true), list, all)
		}
		return
	}
	for _, entry := range entries {
		fmt.Fprintf(b, "        %s %-8s %s", p.mark(entry.Matched), fmt.Sprintf("%s[%d]", list, entry.Index), entry.What)
		if entry.Why != "" {
			fmt.Fprint(b, p.faint(": "+entry.Why))
		}
		b.WriteByte('\n')
	}
}

func labelList(labels map[string]string) string {
	pairs := make([]string, 0, len(labels))
	for _, key := range sortedKeys(labels) {
		pairs = append(pairs, key+"="+labels[key])
	}
	return strings.Join(pairs, ",")
}
