package denials

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/policy"
)

// Reason says why a packet was denied. It is one of [Reasons].
type Reason string

const (
	// Policy: policies isolate the Pod, and none of their rules allows the flow.
	Policy Reason = "Policy"
	// Reply: the packet answers one of a connection that policies deny, mostly since a
	// moment ago.
	Reply Reason = "Reply"
	// TooManyClaims: so many Pods with different policies claim the address that
	// nothing passes.
	TooManyClaims Reason = "TooManyClaims"
	// UnknownPod: it came from, or goes to, a Pod's interface with an address that is no
	// known Pod's.
	UnknownPod Reason = "UnknownPod"
	// Misplaced: it has a local Pod's address and did not come from that Pod.
	Misplaced Reason = "Misplaced"
	// Invalid: conntrack calls it invalid, and an end is isolated.
	Invalid Reason = "Invalid"
	// MidStream: its connection was met in the middle, so that nobody knows who opened
	// it, and an end is isolated.
	MidStream Reason = "MidStream"
	// Tunnel: it was for a tunnel of a node, from somebody who has no business there.
	Tunnel Reason = "Tunnel"
	// Guard: it left the Pod in another's name.
	Guard Reason = "Guard"
	// Audit: it passed, and would not if the audited policies were enforced.
	Audit Reason = "Audit"
	// Unexplained: the kernel denied it by a policy, and no state of the policies of
	// which the agent still knows denies it.
	Unexplained Reason = "Unexplained"
)

// ReasonKind is a reason, and what it means.
type ReasonKind struct {
	Reason Reason
	// Help is for people.
	Help string
}

// Reasons are all there are.
var Reasons = []ReasonKind{
	{Policy, "policies isolate the Pod, and none of their rules allows it"},
	{Reply, "it answers a connection that policies deny"},
	{TooManyClaims, "too many Pods with different policies claim the address for anything to pass"},
	{UnknownPod, "an address at a Pod's interface that is no known Pod's"},
	{Misplaced, "a Pod's address, but not from that Pod's interface"},
	{Invalid, "conntrack calls it invalid, and an end is isolated"},
	{MidStream, "its connection was met in the middle, and an end is isolated"},
	{Tunnel, "it was for a node's tunnel, from somebody who has no business there"},
	{Guard, "it left the Pod in another's name"},
	{Audit, "it passed, and audited policies would deny it"},
	{Unexplained, "the kernel denied it, and no known state of the policies does"},
}

// ParseReason reads a reason as people write it: in any case, with dashes or without.
func ParseReason(s string) (Reason, error) {
	plain := strings.ReplaceAll(s, "-", "")
	names := make([]string, len(Reasons))
	for i, k := range Reasons {
		if strings.EqualFold(plain, string(k.Reason)) {
			return k.Reason, nil
		}
		names[i] = string(k.Reason)
	}
	return "", fmt.Errorf("%q is no reason of a denial: there are %s", s, strings.Join(names, ", "))
}

// cause is what the prefix of a log says: which rule denied the packet.
type cause struct {
	reason Reason
	// direction is that of the rule: for Policy and Reply that of the policies that
	// decided, else of the end that the rule is about.
	direction policy.Direction
	// reply: the packet goes against the direction of its connection.
	reply bool
}

// logPrefix is what all our logs begin with.
const logPrefix = "sluice:"

// causes are the logs that there are, by what follows the prefix. Those of policies are
// [compiler.LogPrefix]'s.
var causes = map[string]cause{
	"ingress":        {Policy, policy.Ingress, false},
	"egress":         {Policy, policy.Egress, false},
	"ingress-reply":  {Reply, policy.Ingress, true},
	"egress-reply":   {Reply, policy.Egress, true},
	"unknown-from":   {UnknownPod, policy.Egress, false},
	"unknown-to":     {UnknownPod, policy.Ingress, false},
	"misplaced":      {Misplaced, policy.Egress, false},
	"invalid-from":   {Invalid, policy.Egress, false},
	"invalid-to":     {Invalid, policy.Ingress, false},
	"midstream-from": {MidStream, policy.Egress, false},
	"midstream-to":   {MidStream, policy.Ingress, false},
	"tunnel":         {Tunnel, policy.Egress, false},
	"guard":          {Guard, policy.Egress, false},
}

// causeOf is false for a log that is not ours.
func causeOf(prefix []byte) (cause, bool) {
	rest, ok := strings.CutPrefix(string(prefix), logPrefix)
	if !ok {
		return cause{}, false
	}
	c, ok := causes[rest]
	return c, ok
}

// Prefixes are the prefixes of logs that are understood, sorted.
func Prefixes() []string {
	out := make([]string, 0, len(causes))
	for c := range causes {
		out = append(out, logPrefix+c)
	}
	slices.Sort(out)
	return out
}
