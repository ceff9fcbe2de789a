package report

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
)

// Place is a line of a file; the zero value is none that is known.
type Place struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
}

func (p Place) String() string {
	switch {
	case p.File == "":
		return ""
	case p.Line == 0:
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Places says where a field of a policy stands; path has keys (string) and indices
// (int). Nil knows no place, as of a cluster.
type Places func(policy types.NamespacedName, path ...any) Place

// of is where a grant stands, or its policy where it is no rule.
func (p Places) of(g *connectivity.Grant) Place {
	if p == nil || g.Policy.Name == "" {
		return Place{}
	}
	if g.Rule < 0 {
		return p(g.Policy)
	}
	rules, peers := "ingress", "from"
	if g.Direction == policy.Egress {
		rules, peers = "egress", "to"
	}
	path := []any{"spec", rules, g.Rule}
	if g.Peer >= 0 {
		path = append(path, peers, g.Peer)
	}
	return p(g.Policy, path...)
}

// portsOf are the ports of stretches in words.
func portsOf(list []connectivity.Stretch) string {
	ports := make([]connectivity.Ports, len(list))
	for i := range list {
		ports[i] = list[i].Ports
	}
	return connectivity.Describe(ports)
}

// answered divides stretches by their answers, in words: "TCP 80", "UDP 53 (depends)".
func answered(list []connectivity.Stretch) string {
	var sure, unsure []connectivity.Stretch
	for _, s := range list {
		if s.Answer == connectivity.Depends {
			unsure = append(unsure, s)
		} else {
			sure = append(sure, s)
		}
	}
	var out []string
	if len(sure) > 0 {
		out = append(out, portsOf(sure))
	}
	if len(unsure) > 0 {
		out = append(out, portsOf(unsure)+" (depends"+families(unsure)+")")
	}
	return strings.Join(out, "; ")
}

// families says which family passes where it is that on which it depends.
func families(list []connectivity.Stretch) string {
	is := func(v4, v6 connectivity.Answer) bool {
		return !slices.ContainsFunc(list, func(s connectivity.Stretch) bool { return s.IPv4 != v4 || s.IPv6 != v6 })
	}
	switch {
	case is(connectivity.Allowed, connectivity.Denied):
		return ": IPv4 only"
	case is(connectivity.Denied, connectivity.Allowed):
		return ": IPv6 only"
	}
	return ""
}

// conditionText says whose address it is.
func conditionText(c connectivity.Condition, whose string) string {
	return strings.Replace(c.String(), "the address is", "the address "+whose+" is", 1)
}

// ownNodeOnly reports whether what passes does only from, or to, a Pod's own node.
func ownNodeOnly(s *connectivity.Stretch) bool {
	own := false
	for _, side := range []*connectivity.Side{&s.Egress, &s.Ingress} {
		if side.Answer != connectivity.Depends {
			continue
		}
		for _, g := range side.Grants {
			if g.If == nil || !g.If.OwnNode {
				return false
			}
			own = true
		}
	}
	return own
}

// why is the reasons of stretches, a line each: those that hold for the same ports
// together.
func why(list []connectivity.Stretch, places Places) []string {
	var out []string
	seen := map[string]int{}
	var ports [][]connectivity.Stretch
	note := func(text string, s connectivity.Stretch) {
		i, known := seen[text]
		if !known {
			i = len(out)
			seen[text] = i
			out = append(out, text)
			ports = append(ports, nil)
		}
		ports[i] = append(ports[i], s)
	}
	for _, d := range []policy.Direction{policy.Egress, policy.Ingress} {
		for i := range list {
			side := &list[i].Egress
			if d == policy.Ingress {
				side = &list[i].Ingress
			}
			for _, text := range sideText(side, d, places) {
				note(fmt.Sprintf("%-7s  %s", d, text), list[i])
			}
		}
	}
	for i := range out {
		if len(ports[i]) < len(list) {
			out[i] += "  on " + portsOf(ports[i])
		}
	}
	return out
}

func sideText(s *connectivity.Side, d policy.Direction, places Places) []string {
	switch s.Reason {
	case policy.ReasonNotIsolated:
		return []string{"no policy isolates it"}
	case policy.ReasonNoPod:
		return []string{"not asked: it is no Pod that policies select"}
	}
	whose := "of the source"
	if d == policy.Egress {
		whose = "of the destination"
	}
	var out []string
	for i := range s.Grants {
		if s.Grants[i].Policy.Name == "" && len(s.Grants) > 1 {
			continue // the own node, which the summary tells of
		}
		out = append(out, grantText(&s.Grants[i], whose, places))
	}
	return out
}

// grantText is a rule with its place, and on what it depends.
func grantText(g *connectivity.Grant, whose string, places Places) string {
	text := "from the Pod's own node"
	if g.Policy.Name != "" {
		text = "policy " + g.Policy.String()
		if path := g.Path(); path != "" {
			text += " " + path
		}
		if at := places.of(g).String(); at != "" {
			text += " (" + at + ")"
		}
	}
	if g.If != nil && (g.Policy.Name != "" || !g.If.OwnNode) {
		text += ", if " + conditionText(*g.If, whose)
	}
	return text
}
