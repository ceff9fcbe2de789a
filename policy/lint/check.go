package lint

import "slices"

// Check is one kind of finding, for documents and for SARIF's rules.
type Check struct {
	ID string
	// Severity is the highest that the check has; where it is less sure, it is less.
	Severity Severity
	// Says is one sentence, Why what goes wrong, Mend what to do, and Silent what it
	// does not report, and why.
	Says, Why, Mend, Silent string
}

// check is a Check with the code that makes it.
type check struct {
	Check
	run func(*linter)
}

// Checks are all checks, in the order of the documentation.
func Checks() []Check {
	var out []Check
	for _, g := range groups() {
		for _, c := range g.checks {
			out = append(out, c.Check)
		}
	}
	return out
}

// group is the checks about one noun.
type group struct {
	title  string
	checks []check
}

// groups is the table of all checks. A finding of a check that is not in it cannot
// be made: see linter.find.
func groups() []group {
	return []group{
		{"Policies", policyChecks()},
		{"Directions", directionChecks()},
		{"Rules", ruleChecks()},
		{"Peers", peerChecks()},
		{"Blocks of addresses", blockChecks()},
		{"Ports", portChecks()},
		{"DNS", dnsChecks()},
		{"Workloads and namespaces", workloadChecks()},
		{"Input", inputChecks()},
	}
}

// known reports whether there is a check with this ID.
func known(id string) bool {
	return slices.ContainsFunc(Checks(), func(c Check) bool { return c.ID == id })
}
