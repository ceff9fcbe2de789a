package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/policy"
)

func ruleChecks() []check {
	return []check{
		{Check{
			ID: "rule-allows-all", Severity: Warning,
			Says:   "A rule without peers and ports stands beside others that say whom to allow.",
			Why:    "An entry `{}`, or a dash with nothing below it, allows everybody on every port. The other rules of the direction have no effect.",
			Mend:   "Remove the rule, or the others if everything is to be allowed.",
			Silent: "`- {}` as the only rule of a direction: that is how a policy allows everything on purpose.",
		}, (*linter).rulesAllowAll},
		{Check{
			ID: "rule-split", Severity: Note,
			Says:   "One rule names peers and no ports, and the next names ports and no peers.",
			Why:    "Each dash opens a rule of its own, and rules are alternatives: the first allows its peers on every port, the second everybody on its ports. With one dash less both would be asked for at once.",
			Mend:   "Remove the dash before ports, if its ports are only for the peers above.",
			Silent: "Ports that are commonly open to everybody (DNS, HTTP and HTTPS, by number or name), and directions with more than these two rules: they read like a list of alternatives that is meant.",
		}, (*linter).rulesSplit},
		{Check{
			ID: "rule-adds-nothing", Severity: Note,
			Says:   "Another rule allows all that this one allows, to the same Pods or more.",
			Why:    "It can be removed and nothing changes. Whoever narrows it to deny something will be surprised.",
			Mend:   "Remove it, or narrow the other.",
			Silent: "What only an audited policy covers, of one that is enforced. What is covered only by several rules together, or only by the Pods that there are: the comparison holds for any Pods. Blocks of addresses do not count as covering Pods.",
		}, (*linter).rulesAddNothing},
	}
}

// all reports whether the rule allows everybody on every port.
func (r *rule) all() bool { return len(r.peers) == 0 && len(r.ports) == 0 }

func (l *linter) rulesAllowAll() {
	for _, r := range l.allRules() {
		siblings := r.of.rules[r.dir]
		if !r.all() || !slices.ContainsFunc(siblings, func(o *rule) bool { return !o.all() }) {
			continue
		}
		l.find(Warning, r.of.object, r.path,
			fmt.Sprintf("allows everybody on every port, so of the other rules of %s none has an effect", directionField(r.dir)),
			"remove it, or the others if everything is to be allowed; a dash with nothing below it is such a rule")
	}
}

func (l *linter) rulesSplit() {
	for _, p := range l.policies {
		for _, d := range directions {
			rules := p.rules[d]
			if p.broken || !p.isolates[d] || len(rules) != 2 {
				continue
			}
			a, b := rules[0], rules[1]
			if len(a.peers) == 0 || len(a.ports) > 0 || len(b.peers) > 0 || len(b.ports) == 0 || slices.ContainsFunc(b.ports, forEverybody) {
				continue
			}
			l.find(Note, p.object, b.path.at("ports"),
				fmt.Sprintf("allows everybody on %s, and %s[0] allows its peers on every port: each dash is a rule of its own", portList(b.ports), directionField(d)),
				"remove the dash before ports, if these ports are meant only for the peers of the rule above")
		}
	}
}

// forEverybody reports whether a port is one that is commonly open to everybody.
func forEverybody(p *port) bool {
	if p.name != "" {
		return strings.Contains(p.name, "http") || strings.Contains(p.name, "web") || strings.Contains(p.name, "dns") || strings.Contains(p.name, "grpc")
	}
	for _, n := range []uint16{53, 80, 123, 443, 5353, 8000, 8080, 8443} {
		if p.First <= n && n <= p.Last {
			return true
		}
	}
	return false
}

func portList(ports []*port) string {
	words := make([]string, len(ports))
	for i, p := range ports {
		words[i] = p.String()
	}
	return strings.Join(words, ", ")
}

func (l *linter) rulesAddNothing() {
	for _, r := range l.allRules() {
		by := l.coverage().rules[r]
		if by == nil || by.of == r.of && by.all() {
			// rule-allows-all says it once for all.
			continue
		}
		where := fmt.Sprintf("%s[%d]", directionField(by.dir), by.index)
		if by.of != r.of {
			where += " of " + by.of.object.String()
		}
		message := "adds nothing: " + where + " allows all of it"
		if by.covers(r) && r.covers(by) {
			message = "adds nothing: it says the same as " + where
		}
		if by.of != r.of {
			message += ", for the same Pods"
		}
		l.find(Note, r.of.object, r.path, message, "remove it, or narrow the other")
	}
}

// directionType is d as policyTypes writes it.
func directionType(d policy.Direction) string {
	if d == policy.Egress {
		return "Egress"
	}
	return "Ingress"
}
