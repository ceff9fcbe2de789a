package diagnosis

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/enforcer/nodestatus"
)

// State is how well something is.
type State string

// The states, from well to bad.
const (
	// OK: it is as it should be.
	OK State = "ok"
	// Note: good to know when something else is wrong.
	Note State = "note"
	// Warning: something may not work, or not for long.
	Warning State = "warning"
	// Problem: policies do not hold, or what they allow does not work.
	Problem State = "problem"
)

// States are all, from well to bad.
var States = []State{OK, Note, Warning, Problem}

// AtLeast reports whether s is as bad as t. What is no state is the worst.
func (s State) AtLeast(t State) bool { return s.rank() >= t.rank() }

func (s State) rank() int {
	if i := slices.Index(States, s); i >= 0 {
		return i
	}
	return len(States)
}

// Worst is the worst of some findings, OK of none.
func Worst(findings []Finding) State {
	out := OK
	for _, f := range findings {
		if !out.AtLeast(f.State) {
			out = f.State
		}
	}
	return out
}

// Check is something that is looked at.
type Check struct {
	// ID is its name, for people and scripts.
	ID string
	// Cluster: it is about all nodes, and needs an API server.
	Cluster bool
	// AgentOnly: nobody but an agent knows anything of it.
	AgentOnly bool
	// Looks is what it looks at, Consequence what follows if it is not well, Mend what to
	// do about it. A finding may say either more exactly.
	Looks, Consequence, Mend string
	// Clean is what is said where nothing is found.
	Clean string
	// Conditions are the kinds of the agent's conditions that are told under it, and how
	// bad each is. A test of package enforcer holds them to what the agent says.
	Conditions map[string]State

	judge func(*Facts) []Finding
}

// Finding is what a check found.
type Finding struct {
	Check string `json:"check"`
	State State  `json:"state"`
	// Object is whom it concerns, such as "bridge cni0"; empty: the node or the cluster.
	Object string `json:"object,omitempty"`
	// Condition is the kind of the agent's condition that is told, if it is one.
	Condition string `json:"condition,omitempty"`
	// Found is what was seen, Consequence what follows from it, and Mend what to do. Run
	// is what to type for that, where that can be said.
	Found       string `json:"found"`
	Consequence string `json:"consequence,omitempty"`
	Mend        string `json:"mend,omitempty"`
	Run         string `json:"run,omitempty"`
}

// ByID finds a check.
func ByID(id string) (Check, bool) {
	for _, c := range Checks {
		if c.ID == id {
			return c, true
		}
	}
	return Check{}, false
}

// Findings are what the node's checks have to say of the facts, by each check at least one
// finding, in the order of the table.
func Findings(f *Facts) []Finding {
	var out []Finding
	for _, c := range Checks {
		if !c.Cluster {
			out = append(out, c.findings(f)...)
		}
	}
	return out
}

// findings are those of one check.
func (c Check) findings(f *Facts) []Finding {
	var out []Finding
	if c.judge != nil {
		out = c.judge(f)
	}
	for _, condition := range f.Conditions {
		if of, state := OfCondition(condition); of == c.ID {
			out = append(out, Finding{State: state, Object: condition.Object, Condition: condition.What, Found: condition.Message, Mend: condition.Mend, Run: toType(condition)})
		}
	}
	if why := f.Unread[c.ID]; why != "" {
		out = append(out, Finding{
			State: Note, Found: "it was not looked at: " + why,
			Consequence: "whether it is well is not known", Mend: "look on the node itself, as root", Run: "sudo sluice doctor",
		})
	}
	if len(out) == 0 {
		clean := c.Clean
		if c.AgentOnly && f.Agent == nil {
			clean = "no agent was asked"
		}
		out = append(out, Finding{State: OK, Found: clean})
	}
	for i := range out {
		out[i] = c.complete(out[i])
	}
	return out
}

// Finding completes a finding of a check: what it leaves unsaid, the table says.
func (c Check) complete(f Finding) Finding {
	f.Check = c.ID
	if f.State != OK {
		f.Consequence, f.Mend = cmp.Or(f.Consequence, c.Consequence), cmp.Or(f.Mend, c.Mend)
	}
	return f
}

// Complete fills in what a finding of a check leaves unsaid.
func Complete(f Finding) Finding {
	c, known := ByID(f.Check)
	if !known {
		return f
	}
	return c.complete(f)
}

// OfCondition says under which check a condition is told, and how bad it is. One of a kind
// that is not known here, of a newer agent, is told of the agent.
func OfCondition(condition nodestatus.Condition) (check string, state State) {
	for _, c := range Checks {
		if state, ok := c.Conditions[condition.What]; ok {
			return c.ID, state
		}
	}
	if condition.NotReady {
		return IDAgent, Problem
	}
	return IDAgent, Warning
}

// toType is the first command that a condition's mend quotes, or how to see the chain that
// it is about; empty if there is neither.
func toType(c nodestatus.Condition) string {
	quoted := strings.Split(c.Mend, `"`)
	for i := 1; i < len(quoted); i += 2 {
		program, _, _ := strings.Cut(quoted[i], " ")
		if slices.Contains([]string{"nft", "tc", "sysctl", "bpftool", "iptables-save", "ip"}, program) {
			return "sudo " + quoted[i]
		}
		if slices.Contains([]string{"kubectl", "aws", "az"}, program) {
			return quoted[i]
		}
	}
	if chain, ok := strings.CutPrefix(c.Object, "chain "); ok {
		return "sudo nft list chain " + chain
	}
	return ""
}

// count is a number of things.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// some names a few of a list, and says how many more there are.
func some(names []string, most int) []string {
	if len(names) <= most {
		return names
	}
	return append(names[:most:most], fmt.Sprintf("%d more", len(names)-most))
}
