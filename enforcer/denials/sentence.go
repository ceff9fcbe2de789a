package denials

import (
	"fmt"
	"strings"

	"github.com/sluice-net/sluice/policy"
)

const (
	// mostPolicies is how many policies a denial names.
	mostPolicies = 8
	// mostWords bounds a sentence: names of labels and policies are long, and there may be
	// many.
	mostWords = 600
)

// because fills in what the policies say.
func (d *Denial) because(j *policy.Judgement) {
	direction := policy.Ingress
	if d.Direction == policy.Egress.String() {
		direction = policy.Egress
	}
	if j.Reason == policy.ReasonTooManyClaims {
		d.Reason = TooManyClaims
		d.Message = sentence(d.Reason, j.Flow, direction)
		return
	}
	for i, p := range j.Policies {
		if i == mostPolicies {
			d.MorePolicies = len(j.Policies) - mostPolicies
			break
		}
		d.Policies = append(d.Policies, p.Policy.String())
	}
	if j.Nearest != nil {
		d.Nearest = &Nearest{Policy: j.Nearest.Policy.String(), Rule: j.Nearest.Rule, Why: cut(nearestMiss(j))}
	}
	d.Message = cut(denial(d, j))
	if d.Reason == Reply {
		d.Message = cut("it answers a connection that is denied: " + d.Message)
	}
}

// denial names the policies that isolate: the implicit default deny is theirs together.
func denial(d *Denial, j *policy.Judgement) string {
	verb, whose := "isolate", "their"
	if len(j.Policies) == 1 {
		verb, whose = "isolates", "its"
	}
	rules := 0
	for _, p := range j.Policies {
		rules += len(p.Rules)
	}
	s := fmt.Sprintf("%s %s %s for %s", policyList(d.Policies, d.MorePolicies), verb, j.Subject, j.Direction)
	switch {
	case j.Untraced:
		return s + " and none of " + whose + " rules, too many to be told, allows it"
	case rules == 0:
		return s + " with no rule at all"
	case d.Nearest == nil:
		return s + " and none of " + whose + " rules allows it"
	}
	return fmt.Sprintf("%s and none of %s rules allows it; nearest: %s %s[%d], where %s",
		s, whose, d.Nearest.Policy, j.Direction, d.Nearest.Rule, d.Nearest.Why)
}

func policyList(names []string, more int) string {
	switch n := len(names); {
	case n == 0:
		return "a policy"
	case n == 1 && more == 0:
		return "policy " + names[0]
	case n <= 4 && more == 0:
		return "policies " + strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	default:
		most := min(n, 3)
		return fmt.Sprintf("policies %s and %d more", strings.Join(names[:most], ", "), n+more-most)
	}
}

// nearestMiss says what of the nearest rule does not match.
func nearestMiss(j *policy.Judgement) string {
	for _, p := range j.Policies {
		for _, r := range p.Rules {
			if r.RuleRef != *j.Nearest {
				continue
			}
			if r.Invalid != "" {
				return r.Invalid
			}
			var why []string
			if !r.PeerMatched {
				why = append(why, miss(r.Peers, "peers"))
			}
			if !r.PortMatched {
				why = append(why, miss(r.Ports, "ports"))
			}
			return strings.Join(why, ", and ")
		}
	}
	return "it does not match"
}

func miss(parts []policy.PartTrace, nouns string) string {
	if len(parts) == 1 {
		return parts[0].Why
	}
	return fmt.Sprintf("none of its %d %s matches", len(parts), nouns)
}

// sentence says a reason that is none of the policies'.
func sentence(r Reason, f policy.Flow, about policy.Direction) string {
	switch r {
	case TooManyClaims:
		end := f.Dst
		if about == policy.Egress {
			end = f.Src
		}
		return fmt.Sprintf("too many Pods with different policies claim %s for anything to pass", end.Addr)
	case UnknownPod:
		if about == policy.Egress {
			return fmt.Sprintf("it came from a Pod's interface, and %s is no known Pod's address", f.Src.Addr)
		}
		return fmt.Sprintf("it goes to a Pod's interface, and %s is no known Pod's address", f.Dst.Addr)
	case Misplaced:
		return fmt.Sprintf("it has the address of %s and did not come from there", nameOf(f.Src))
	case Invalid:
		return "conntrack calls it invalid: it fits no connection, or its checksum is wrong"
	case MidStream:
		return "its connection was met in the middle, so it was reset for the client to open a new one"
	case Tunnel:
		return "it was for a tunnel of a node, and its sender is no far end of it"
	case Guard:
		return "it left the Pod with an address, or in a form, that is not the Pod's"
	}
	return "no state of the policies that is still known denies it"
}

func nameOf(e policy.End) string {
	if e.Pod == nil {
		return e.Addr.String()
	}
	return "Pod " + e.Pod.NamespacedName.String()
}

// cut shortens a sentence, between two letters.
func cut(s string) string {
	if len(s) <= mostWords {
		return s
	}
	return strings.ToValidUTF8(s[:mostWords], "") + "…"
}
