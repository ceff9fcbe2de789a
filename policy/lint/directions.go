package lint

import (
	"fmt"
	"slices"

	"github.com/sluice-net/sluice/policy"
)

func directionChecks() []check {
	return []check{
		{Check{
			ID: "direction-not-isolated", Severity: Warning,
			Says:   "The policy has rules, or an empty list of rules, for a direction that its policyTypes do not name.",
			Why:    "They have no effect: the direction is not isolated by this policy. `egress: []` without policyTypes means Ingress alone, and egress stays open.",
			Mend:   "Name the direction in policyTypes, or remove the field.",
			Silent: "A direction that policyTypes names and that has no rules: that is how everything is denied. Where another policy isolates the same Pods in the direction, an empty list is a note.",
		}, (*linter).directionsNotIsolated},
		{Check{
			ID: "list-without-value", Severity: Warning,
			Says:   "A rule's from, to or ports is written without a value.",
			Why:    "No value is no list, and no list is everybody, or every port: the rule allows more than it seems to.",
			Mend:   "Write the entries, or leave the field out if everything is meant.",
			Silent: "`from: []`, which is an idiom for everybody; fields that are left out.",
		}, (*linter).listsWithoutValue},
	}
}

func (l *linter) directionsNotIsolated() {
	for _, p := range l.policies {
		if p.broken {
			continue
		}
		for _, d := range directions {
			rules, present := len(p.rules[d]), p.api.Spec.Ingress != nil
			if d == policy.Egress {
				present = p.api.Spec.Egress != nil
			}
			if p.isolates[d] || !present {
				continue
			}
			typ := directionType(d)
			severity, message := Warning, fmt.Sprintf("has no effect: policyTypes does not name %s, so this policy leaves %s open", typ, d)
			if rules > 0 {
				message = fmt.Sprintf("%s no effect: policyTypes does not name %s, so this policy does not isolate %s", haveOrHas(rules), typ, d)
			} else if l.isolatedBy(p, d) {
				severity, message = Note, fmt.Sprintf("has no effect: policyTypes does not name %s; another policy isolates the same Pods", typ)
			}
			l.find(severity, p.object, path{"spec", directionField(d)}, message,
				fmt.Sprintf("add %s to policyTypes, or remove the field", typ))
		}
	}
}

func haveOrHas(rules int) string {
	if rules == 1 {
		return "its rule has"
	}
	return fmt.Sprintf("its %d rules have", rules)
}

// isolatedBy reports whether another policy that counts where p does isolates all Pods
// of p in a direction.
func (l *linter) isolatedBy(p *policyModel, d policy.Direction) bool {
	return slices.ContainsFunc(p.beside(), func(q *policyModel) bool {
		return q != p && q.isolates[d] && q.subject.Covers(p.subject)
	})
}

func (l *linter) listsWithoutValue() {
	for _, r := range l.allRules() {
		sketch := l.input.Outline.Find(r.of.object.Kind, r.of.object.Namespace, r.of.object.Name)
		if sketch == nil {
			continue
		}
		for _, field := range []string{peerField(r.dir), "ports"} {
			at := r.path.at(field)
			if !sketch.Field(at...).Null {
				continue
			}
			all := "every port of every protocol"
			if field != "ports" {
				all = "everybody"
			}
			l.find(Warning, r.of.object, at, fmt.Sprintf("has no value, so the rule allows %s", all),
				"write the entries below it with their dashes, or leave the field out if that is meant")
		}
	}
}
