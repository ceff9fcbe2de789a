package question

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

// Reason says in a sentence what decided a direction. Give it a verdict that
// [World.Explain] or [policy.Index.Explain] filled in, or it cannot name the
// policies.
func Reason(f policy.Flow, d policy.DirectionVerdict) string {
	end := f.Dst
	if d.Direction == policy.Egress {
		end = f.Src
	}
	name := decider(end, d)
	switch d.Reason {
	case policy.ReasonNoPod:
		return name + " is no Pod, so no policy selects it"
	case policy.ReasonNotIsolated:
		return fmt.Sprintf("no policy isolates %s for %s, so all is allowed", name, d.Direction)
	case policy.ReasonSelf:
		return "a Pod always reaches itself"
	case policy.ReasonOwnNode:
		if d.Direction == policy.Egress {
			return "a Pod's own node is always allowed out to"
		}
		return "a Pod's own node always reaches it"
	case ReasonNodeDNS:
		return "the agent opens it to every Pod with --node-dns"
	case policy.ReasonRule:
		if d.AllowedBy != nil {
			return "a rule allows it: " + d.AllowedBy.String()
		}
		return "a rule allows it"
	case policy.ReasonTooManyClaims:
		return fmt.Sprintf("too many Pods with different policies claim %s for anything to pass", end.Addr)
	case policy.ReasonNoRule:
		return denial(name, d)
	}
	return string(d.Reason)
}

// denial names the policies that isolate: the implicit default deny is theirs
// together.
func denial(name string, d policy.DirectionVerdict) string {
	policies := make([]types.NamespacedName, len(d.Policies))
	rules := 0
	for i, p := range d.Policies {
		policies[i] = p.Policy
		rules += len(p.Rules)
	}
	verb, whose := "isolate", "their"
	if len(policies) == 1 {
		verb, whose = "isolates", "its"
	}
	s := fmt.Sprintf("%s %s %s for %s", policyList(policies), verb, name, d.Direction)
	if rules == 0 {
		return s + " with no rule at all (implicit default deny)"
	}
	return s + " and none of " + whose + " rules allows the flow (implicit default deny)"
}

// FullReason also names the rule that came nearest, for where the rules are not
// listed beside it.
func FullReason(f policy.Flow, d policy.DirectionVerdict) string {
	s := Reason(f, d)
	if miss := nearestMiss(d); miss != "" {
		s += "; nearest: " + miss
	}
	return s
}

func policyList(policies []types.NamespacedName) string {
	names := make([]string, len(policies))
	for i, p := range policies {
		names[i] = p.String()
	}
	switch n := len(names); {
	case n == 0:
		return "a policy"
	case n == 1:
		return "policy " + names[0]
	case n <= 4:
		return "policies " + strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	default:
		return fmt.Sprintf("policies %s and %d more", strings.Join(names[:3], ", "), n-3)
	}
}

// nearestMiss names the rule that came closest, and what of it did not match.
func nearestMiss(d policy.DirectionVerdict) string {
	if d.Nearest == nil {
		return ""
	}
	for _, p := range d.Policies {
		for _, r := range p.Rules {
			if r.RuleRef == *d.Nearest {
				return r.RuleRef.String() + ", where " + whyNot(r)
			}
		}
	}
	return d.Nearest.String()
}

// whyNot says what keeps a rule from allowing.
func whyNot(r policy.RuleTrace) string {
	if r.Invalid != "" {
		return r.Invalid
	}
	var why []string
	if !r.PeerMatched {
		why = append(why, partsMiss(r.Peers, "peer"))
	}
	if !r.PortMatched {
		why = append(why, partsMiss(r.Ports, "port"))
	}
	return strings.Join(why, ", and ")
}

func partsMiss(parts []policy.PartTrace, noun string) string {
	if len(parts) == 1 {
		return parts[0].Why
	}
	return fmt.Sprintf("none of its %d %ss matches", len(parts), noun)
}
